"""Cheap rivals of the PSMI, under one contract.

Estimators have ``fit(X, y)``, ``score_samples(X, y)`` and `scores_` of the training
samples; functions take arrays. Low = at risk throughout.
"""

from smilearn.baselines._feature_models import LDAScorer, MahalanobisScorer
from smilearn.baselines._feature_places import LeverageScorer, NeighborScorer
from smilearn.baselines._logits import logit_scores
from smilearn.baselines._probe import ProbeScorer
from smilearn.baselines._rank_mean import rank_mean
from smilearn.baselines._traces import trace_scores

__all__ = [
    "LDAScorer",
    "LeverageScorer",
    "MahalanobisScorer",
    "NeighborScorer",
    "ProbeScorer",
    "logit_scores",
    "rank_mean",
    "trace_scores",
]
