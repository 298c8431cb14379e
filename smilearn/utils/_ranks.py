"""Ranks of scores and the order they give."""

import numpy as np

from smilearn.utils._weights import ranks


def ranks_of(scores):
    """Rank scores, 1 for the lowest; ties keep their order."""
    rank = np.empty(len(scores), np.int64)
    order = np.argsort(scores)  # faster than a stable sort, which only ties need
    in_order = scores[order]
    if (in_order[1:] == in_order[:-1]).any():
        order = np.argsort(scores, kind="stable")
    rank[order] = np.arange(1, len(scores) + 1)
    return rank


def order_of(rank):
    """Order rows by rank; without a sort where ranks are 1 to n_rows, each once."""
    n_rows = len(rank)
    if n_rows and rank.min() == 1 and rank.max() == n_rows:
        order = np.full(n_rows, -1)
        order[rank - 1] = np.arange(n_rows)
        if order.min() >= 0:
            return order
    return np.argsort(rank, kind="stable")


def rank_correlation(first, second, weight=None):
    """Correlate two rankings of the same samples, after Spearman."""
    both = np.stack([ranks(first, weight), ranks(second, weight)])
    spread = np.ptp(both, 1)
    if not spread.all():
        return float(not spread.any())
    covariance = np.cov(both, ddof=0, aweights=weight)
    return float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))
