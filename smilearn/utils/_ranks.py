"""Ranks of scores; a sample of weight w takes as many places as w equal ones."""

import numpy as np
from scipy.stats import rankdata


def ranks_of(scores):
    """Rank scores, 1 for the lowest; ties keep their order."""
    rank = np.empty(len(scores), np.int64)
    rank[np.argsort(scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return rank


def mean_ranks(values, weight=None):
    """Rank weighted values; ties share the mean of their ranks."""
    if weight is None:
        return rankdata(values)
    _, place = np.unique(values, return_inverse=True)
    tied = np.bincount(place, weight)
    return (np.cumsum(tied) - (tied - 1) / 2)[place]


def rank_correlation(first, second, weight=None):
    """Correlate two rankings of the same samples, after Spearman."""
    both = np.stack([mean_ranks(first, weight), mean_ranks(second, weight)])
    spread = np.ptp(both, 1)
    if not spread.all():
        return float(not spread.any())
    covariance = np.cov(both, ddof=0, aweights=weight)
    return float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))
