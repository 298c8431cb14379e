"""Which samples a filter removes, and the thresholds between them and the others."""

import numpy as np

from smilearn.exceptions import InvalidInputError


def rule_of(parameters, by_class):
    """Name and value of the one rule that is set; None, None where none is."""
    rules = {name: value for name, value in parameters.items() if value is not None}
    if len(rules) > 1:
        raise InvalidInputError(
            f"Set one of share, threshold, n_remove and alpha; got {rules}."
        )
    name, value = next(iter(rules.items()), (None, None))
    if by_class and name not in ("share", "n_remove"):
        raise InvalidInputError(
            "by_class=True needs share or n_remove; a threshold in nats is the same "
            "for all classes."
        )
    return name, value


def ranked_removal(name, value, scores, groups):
    """Remove a share or a number of each group: which samples, and (n_groups,) risks"""
    sizes = np.bincount(groups)
    if name == "share":
        n_remove = (value * sizes + 1e-9).astype(int)
    else:
        n_remove = np.full(len(sizes), value)
    if (n_remove > sizes).any():
        raise InvalidInputError(
            f"n_remove={value} is more than the {sizes.min()} samples of "
            f"{'a class' if len(sizes) > 1 else 'the data'}."
        )
    remove = riskiest(scores, groups, n_remove)
    return remove, thresholds_between(scores, groups, remove, len(sizes))


def riskiest(scores, groups, n_marked):
    """Mark so many of the lowest scores of each group; of equal ones the first."""
    order = np.lexsort((scores, groups))
    starts = np.searchsorted(groups[order], np.arange(len(n_marked)))
    place = np.empty(len(groups), np.int64)
    place[order] = np.arange(len(groups)) - starts[groups[order]]
    return place < n_marked[groups]


def spared(scores, codes, remove, min_per_class):
    """Take back removals that leave a class too small; and how many of each class."""
    size = np.bincount(codes)
    kept = np.bincount(codes[~remove], minlength=len(size))
    missing = np.maximum(np.minimum(min_per_class, size) - kept, 0)
    removed = np.flatnonzero(remove)
    safest = riskiest(-scores[removed], codes[removed], missing)
    remove = remove.copy()
    remove[removed[safest]] = False
    return remove, missing


def thresholds_between(scores, groups, remove, n_groups):
    """Risk half-way between what is kept and what is removed, for each group."""
    safest_removed = np.full(n_groups, np.inf)
    riskiest_kept = np.full(n_groups, -np.inf)
    np.minimum.at(safest_removed, groups[remove], -scores[remove])
    np.maximum.at(riskiest_kept, groups[~remove], -scores[~remove])
    nothing, everything = np.isinf(safest_removed), np.isinf(riskiest_kept)
    with np.errstate(invalid="ignore"):  # of infinities, which are not taken
        between = safest_removed / 2 + riskiest_kept / 2
    return np.select([nothing, everything], [np.inf, -np.inf], between)
