"""
From labelled texts to a cleaner training set
=============================================

Sixty of two thousand film reviews get a wrong label. The score is made from three
layers of a model as it comes; the filter takes out the riskiest twentieth.
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
# Texts go into the pipeline, scores come out of its last step.
embedder = HiddenStateEmbedder(packaged_minilm(), layer="spread")
scorer = make_pipeline(embedder, SlicedMIScorer(random_state=0))
cleaner = RiskFilter(scorer, share=0.05)
texts_kept, labels_kept = cleaner.fit_resample(reviews.texts, labels)

# %%
# What a person looks at.
table = cleaner.scorer_[-1].to_table(texts=reviews.texts)
RiskDisplay.from_estimator(table)
print(table.riskiest(10))

# %%
# What was learnt.
removed = ~cleaner.support_
print(
    f"{removed.sum()} of {len(removed)} sentences removed; {flipped[removed].sum()} of "
    f"the {flipped.sum()} flipped labels were among them."
)
