"""
Low-rank adapters on half-frozen layers
=======================================

MiniLM's embeddings and lowest four layers run once for each text. Adapters on the
layers above learn three hundred film reviews. Any other encoder or decoder works, too,
from a folder or the Hugging Face Hub.
"""

from smilearn import FineTunedClassifier
from smilearn.datasets import load_rotten_tomatoes, packaged_minilm
from smilearn.report import EarlyPointDisplay

# %%
# Reviews for training, and others for testing.
reviews = load_rotten_tomatoes(500, random_state=0)
texts, labels = reviews.texts[:300], reviews.labels[:300]

# %%
# The classifier has scikit-learn's fit, predict and score.
classifier = FineTunedClassifier(
    packaged_minilm(),
    lora={"rank": 8, "target_modules": ["query", "value", "dense"]},
    freeze_layers=4,
    learning_rate=2e-3,
    max_epochs=3,
    random_state=0,
)
classifier.fit(texts, labels)

# %%
# The early point, the accuracy, and the least expected label.
EarlyPointDisplay.from_estimator(classifier)
for entry in classifier.history_:
    print(f"epoch {entry['epoch']:.1f}: {entry['share_fitted']:.0%} fitted")
accuracy = classifier.score(reviews.texts[300:], reviews.labels[300:])
hardest = classifier.losses_.argmax()
print(f"{accuracy:.0%} of 200 new reviews are classified as labelled.")
print(f"The least expected training label: {labels[hardest]}, {texts[hardest]!r}")
