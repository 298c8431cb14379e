"""Ranks of scores and the order they give (floor 0)."""

import numpy as np


def ranks_of(psmi):
    """Rank scores, 1 for the lowest; ties keep their order.

    Parameters
    ----------
    psmi : ndarray of shape (n_rows,)
        The scores.

    Returns
    -------
    rank : ndarray of shape (n_rows,), dtype int64
        1 to n_rows.
    """
    rank = np.empty(len(psmi), np.int64)
    order = np.argsort(psmi)  # faster than a stable sort, which only ties need
    in_order = psmi[order]
    if (in_order[1:] == in_order[:-1]).any():
        order = np.argsort(psmi, kind="stable")
    rank[order] = np.arange(1, len(psmi) + 1)
    return rank


def are_ranks(rank, psmi):
    """Tell whether ranks are those that :func:`ranks_of` gives, without a sort.

    Parameters
    ----------
    rank, psmi : ndarray of shape (n_rows,)
        The ranks and the scores.

    Returns
    -------
    are_ranks : bool
        False also where a score is NaN.
    """
    order = order_of(rank)
    if not np.array_equal(rank[order], np.arange(1, len(rank) + 1)):
        return False
    low, high = psmi[order[:-1]], psmi[order[1:]]
    rising = (low < high) | ((low == high) & (order[:-1] < order[1:]))
    return bool(rising.all()) and not np.isnan(psmi).any()


def order_of(rank):
    """Order rows by rank; quick where ranks are 1 to n_rows.

    Parameters
    ----------
    rank : ndarray of shape (n_rows,)
        Ranks, not of these rows alone perhaps.

    Returns
    -------
    order : ndarray of shape (n_rows,), dtype int64
        Rows, lowest rank first, ties in their order.
    """
    n_rows = len(rank)
    if n_rows and rank.min() == 1 and rank.max() == n_rows:
        order = np.full(n_rows, -1)
        order[rank - 1] = np.arange(n_rows)
        if order.min() >= 0:
            return order
    return np.argsort(rank, kind="stable")
