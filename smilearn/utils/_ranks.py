"""Ranks of scores and the order they give."""

import numpy as np

from smilearn.utils._weights import ranks


def ranks_of(psmi):
    """Rank scores, 1 for the lowest; ties keep their order."""
    rank = np.empty(len(psmi), np.int64)
    order = np.argsort(psmi)  # faster than a stable sort, which only ties need
    in_order = psmi[order]
    if (in_order[1:] == in_order[:-1]).any():
        order = np.argsort(psmi, kind="stable")
    rank[order] = np.arange(1, len(psmi) + 1)
    return rank


def order_of(rank):
    """Order rows by rank; quick where ranks are 1 to n_rows."""
    order = _permutation(rank)
    return np.argsort(rank, kind="stable") if order is None else order


def rank_correlation(first, second, weight=None):
    """Correlate two rankings of the same samples, after Spearman."""
    both = np.stack([ranks(first, weight), ranks(second, weight)])
    spread = np.ptp(both, 1)
    if not spread.all():
        return float(not spread.any())
    covariance = np.cov(both, ddof=0, aweights=weight)
    return float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))


def _permutation(rank):
    """Row of each rank where they are 1 to n_rows, each once; else None."""
    n_rows = len(rank)
    if not n_rows or rank.min() != 1 or rank.max() != n_rows:
        return None
    order = np.full(n_rows, -1)
    order[rank - 1] = np.arange(n_rows)
    return order if order.min() >= 0 else None
