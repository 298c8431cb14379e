"""
From labelled texts to a cleaner training set
=============================================

Sixty of two thousand film reviews get a wrong label. They are scored from three layers
of the base model, and the filter removes the riskiest twentieth.
"""

from sklearn.pipeline import make_pipeline

from smilearn import HiddenStateEmbedder, RiskFilter, SlicedMIScorer
from smilearn.datasets import flip_labels, load_rotten_tomatoes, packaged_minilm
from smilearn.report import RiskDisplay

# %%
# Texts and labels, some of them wrong.
reviews = load_rotten_tomatoes(2000, random_state=0)
labels, flipped = flip_labels(reviews.labels, 0.03, random_state=0)

# %%
# The pipeline takes texts, and its last step gives scores.
embedder = HiddenStateEmbedder(packaged_minilm(), layer="spread")
scorer = make_pipeline(embedder, SlicedMIScorer(random_state=0))
cleaner = RiskFilter(scorer, share=0.05)
texts_kept, labels_kept = cleaner.fit_resample(reviews.texts, labels)

# %%
# The riskiest samples, for a person to check.
table = cleaner.scorer_[-1].to_table(texts=reviews.texts)
RiskDisplay.from_estimator(table)
print(table.riskiest(10))

# %%
# How many of the removed labels were wrong?
removed = ~cleaner.support_
print(
    f"{removed.sum()} of {len(removed)} sentences removed; {flipped[removed].sum()} of "
    f"the {flipped.sum()} flipped labels were among them."
)
