"""Which samples go in which arm of an audit of a filter."""

import numpy as np

from smilearn.exceptions import InvalidInputError

ALL, FILTERED, RANDOM = "everything", "filtered", "random"


def removed_samples(removed, n_samples):
    """Read which samples go."""
    filtered = getattr(removed, "filter_", removed)
    if hasattr(filtered, "support_"):
        gone = ~np.asarray(filtered.support_, bool)
    elif hasattr(filtered, "fit"):
        raise InvalidInputError(
            f"{type(removed).__name__} must be fitted to the samples first, so that it "
            "says which of them go."
        )
    else:
        gone = np.asarray(removed)
        gone = gone.astype(np.int64) if gone.shape == (0,) else gone
    if gone.dtype != bool and (gone.ndim != 1 or gone.dtype.kind not in "iu"):
        raise InvalidInputError(
            "removed must be a mask or indices of samples, or a fitted filter; got "
            f"{gone.dtype} of shape {gone.shape}."
        )
    if gone.dtype != bool:
        wrong = (gone < 0) | (gone >= n_samples)
        if wrong.any():
            raise InvalidInputError(
                f"removed must be indices from 0 to {n_samples - 1}; got "
                f"{gone[wrong][:5].tolist()}."
            )
        if len(np.unique(gone)) < len(gone):
            raise InvalidInputError(
                "removed must name each sample once; got repeated indices. Give a mask "
                "as booleans, not as 0 and 1."
            )
        gone = np.isin(np.arange(n_samples), gone)
    if gone.shape != (n_samples,):
        raise InvalidInputError(
            f"removed must say of each of the {n_samples} samples whether it goes; got "
            f"shape {gone.shape}."
        )
    if gone.all() or not gone.any():
        raise InvalidInputError(
            f"Some samples must go and some stay; {gone.sum()} of {n_samples} go."
        )
    return gone


def as_many(gone, labels, rng):
    """Draw as many samples of each class at random, from all."""
    drawn = np.zeros(len(gone), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        drawn[rng.choice(members, gone[members].sum(), replace=False)] = True
    return drawn


def comparable_groups(withheld):
    """Find the samples of each group that can be compared between all arms."""
    gone, drawn = withheld[FILTERED], withheld.get(RANDOM, withheld[ALL])
    groups = {
        "all": np.ones(len(gone), bool),
        "kept": ~gone & ~drawn,
        "removed": gone & ~drawn,
    }
    for name, rows in groups.items():
        if not rows.any():
            raise InvalidInputError(
                f"No sample is {name} in all arms, as those drawn at random for the "
                "control took them all. Give control=False."
            )
    return groups
