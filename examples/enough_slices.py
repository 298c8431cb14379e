"""
How many slices are enough?
===========================

A scorer is fitted on a thousand film reviews, with more slices than it should need. A
thousand other reviews show the count beyond which more slices change nothing.
"""

from smilearn import SentenceEmbedder, SliceConvergence, SlicedMIScorer
from smilearn.datasets import load_rotten_tomatoes, packaged_minilm
from smilearn.report import SliceConvergenceDisplay

# %%
# Sentence embeddings; the scorer is fitted on one half of them.
reviews = load_rotten_tomatoes(2000, random_state=0)
X = SentenceEmbedder(packaged_minilm()).fit_transform(reviews.texts)
y = reviews.labels
scorer = SlicedMIScorer(3072, pooled=False, random_state=0)
scorer.fit(X[:1000], y[:1000])

# %%
# The curve on the other half.
curve = SliceConvergence.from_estimator(scorer, X[1000:], y[1000:])
SliceConvergenceDisplay.from_estimator(curve)
print(curve)
print(f"{curve.smallest_within()} slices are enough.")
