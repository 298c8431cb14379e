"""
Before, early and held-out: what each finds
===========================================

Four hundred film reviews, 40 of them with a wrong label, are scored before any
training, at the early point of a fine-tune, and by two short runs on halves. Flipped
labels stand for memorized samples here; the user guide has real audits.
"""

from sklearn.pipeline import make_pipeline

from smilearn import (
    FineTunedClassifier,
    FineTunedEmbedder,
    HeldOutScorer,
    HiddenStateEmbedder,
    SlicedMIScorer,
    compare_scorers,
)
from smilearn.datasets import flip_labels, load_rotten_tomatoes, packaged_minilm
from smilearn.report import EarlyPointDisplay, IntervalDisplay

reviews = load_rotten_tomatoes(400, random_state=0)
labels, flipped = flip_labels(reviews.labels, 0.1, random_state=0)

# %%
# Before any training: one forward pass.
before = make_pipeline(
    HiddenStateEmbedder(packaged_minilm(), layer="spread"),
    SlicedMIScorer(random_state=0),
).fit(reviews.texts, labels)

# %%
# At the early point: training stops where the median loss has halved.
tuned = FineTunedEmbedder(packaged_minilm(), max_epochs=5, random_state=0)
early = SlicedMIScorer(random_state=0).fit(
    tuned.fit_transform(reviews.texts, labels), labels
)
EarlyPointDisplay.from_estimator(tuned)

# %%
# Held-out: two runs of two epochs, each on half of the texts.
runs = FineTunedClassifier(packaged_minilm(), max_epochs=2, random_state=0)
held_out = HeldOutScorer(runs, prior=before, random_state=0).fit(reviews.texts, labels)

# %%
# Which score finds the flipped labels best? With so few samples, intervals are wide.
scorers = {"before": before, "early": early, "held-out": held_out}
scorers["loss at the early point"] = -tuned.losses_
comparison = compare_scorers(scorers, flipped, random_state=0)
IntervalDisplay.from_estimator(comparison)
print(comparison)
