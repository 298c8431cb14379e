"""Statistics of weighted samples: a weight of w counts as w copies."""

import numpy as np

from smilearn.exceptions import InvalidInputError
from smilearn.utils._sklearn_compat import check_sample_weight

_MOST = 1e15  # sum of weights; beyond, one copy is lost in rounding


def checked_weights(sample_weight, X):
    """Check the weights of samples."""
    if sample_weight is None:
        return None
    weight = check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    if weight.sum() > _MOST:
        raise InvalidInputError(
            f"sample_weight must sum to {_MOST:.0e} at most, as it counts copies of a "
            f"sample; got {weight.sum():.3g}."
        )
    nearest = np.round(weight)
    weight = np.where(np.abs(weight - nearest) <= 1e-9 * nearest, nearest, weight)
    return None if (weight == 1).all() else weight


def enough_weight(weight, y):
    """Refuse weights that leave a class without any, or with too little on average."""
    if weight is None:
        return
    labels, codes = np.unique(y, return_inverse=True)
    n_classes, empty = len(labels), labels[np.bincount(codes, weight) == 0]
    if len(empty):
        raise InvalidInputError(
            f"All samples of class {empty.tolist()[0]!r} have weight 0, so nothing is "
            "known of it. Drop them, or give them some weight."
        )
    if weight.sum() < n_classes:
        raise InvalidInputError(
            "sample_weight counts copies of a sample, so it must add up to at least "
            f"one a class; got a sum of {weight.sum():.3g} over {len(weight)} samples "
            f"of {n_classes} classes. Weights that sum to 1 are to be multiplied by "
            "the number of samples."
        )


def weighted_quantile(values, shares, weight=None):
    """Quantiles between which values are interpolated, as of repeated values."""
    if weight is None:
        return np.quantile(values, shares)
    order = np.argsort(values)
    ends = np.cumsum(weight[order])
    position = np.asarray(shares) * max(ends[-1] - 1, 0)
    below = np.floor(position)
    ordered, last = values[order], len(values) - 1
    low, high = (
        ordered[np.searchsorted(ends, place, side="right").clip(max=last)]
        for place in (below, np.ceil(position))
    )
    return low + (position - below) * (high - low)
