"""Cheap rivals of the score, under one contract.

Estimators have ``fit(X, y)``, ``score_samples(X, y)`` and `scores_` of the training
samples; functions take arrays. Low = at risk throughout.
"""

from smilearn.baselines._lda import LDAScorer
from smilearn.baselines._leverage import LeverageScorer
from smilearn.baselines._mahalanobis import MahalanobisScorer
from smilearn.baselines._neighbors import NeighborScorer
from smilearn.baselines._training import logit_scores, rank_mean, trace_scores

__all__ = [
    "LDAScorer",
    "LeverageScorer",
    "MahalanobisScorer",
    "NeighborScorer",
    "logit_scores",
    "rank_mean",
    "trace_scores",
]
