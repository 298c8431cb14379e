"""Which samples a rule removes, and which a class keeps all the same."""

from dataclasses import dataclass

import numpy as np

from smilearn.exceptions import InvalidInputError


@dataclass
class Rule:
    """How many samples go."""

    name: str | None
    value: float | None
    by_class: bool = False

    @classmethod
    def of(cls, estimator):
        """Read the rule from parameters, of which one at most may be set."""
        names = ("share", "threshold", "n_remove", "alpha")
        rules = {name: getattr(estimator, name) for name in names}
        given = {name: value for name, value in rules.items() if value is not None}
        if len(given) > 1:
            raise InvalidInputError(
                f"Set one of share, threshold, n_remove and alpha; got {given}."
            )
        name, value = next(iter(given.items()), (None, None))
        if estimator.by_class and name not in ("share", "n_remove"):
            raise InvalidInputError(
                "by_class=True needs share or n_remove; a line in nats is the same for "
                "all classes."
            )
        return cls(name, value, estimator.by_class)

    def apply(self, scores, codes, n_classes, offset):
        """Choose the samples that go, before any floor."""
        if self.name not in ("share", "n_remove"):
            line = self.value if self.name == "threshold" else -offset
            return -scores > line, np.full(n_classes, float(line))
        pools = codes if self.by_class else np.zeros_like(codes)
        sizes = np.bincount(pools)
        if self.name == "share":
            n_remove = (self.value * sizes + 1e-9).astype(int)
        else:
            n_remove = np.full(len(sizes), self.value)
        if (n_remove > sizes).any():
            raise InvalidInputError(
                f"n_remove={self.value} is more than the {sizes.min()} samples of "
                f"{'a class' if self.by_class else 'the data'}."
            )
        remove = riskiest(scores, pools, n_remove)
        lines = lines_between(scores, pools, remove, len(sizes))
        return remove, np.broadcast_to(lines, n_classes).copy()


def riskiest(scores, codes, n_remove):
    """Mark the samples with the lowest scores of each group."""
    order = np.lexsort((scores, codes))
    starts = np.searchsorted(codes[order], np.arange(len(n_remove)))
    place = np.empty(len(codes), np.int64)
    place[order] = np.arange(len(codes)) - starts[codes[order]]
    return place < n_remove[codes]


def spared(scores, codes, remove, floor):
    """Take back removals that leave a group with too few samples; the safest stay."""
    size = np.bincount(codes)
    kept = np.bincount(codes[~remove], minlength=len(size))
    missing = np.maximum(np.minimum(floor, size) - kept, 0)
    gone = np.flatnonzero(remove)
    safest = riskiest(-scores[gone], codes[gone], missing)
    remove = remove.copy()
    remove[gone[safest]] = False
    return remove, missing


def lines_between(scores, codes, remove, n_groups):
    """Risk half-way between what a rule keeps and what it removes, for each group."""
    safest_removed = np.full(n_groups, np.inf)
    riskiest_kept = np.full(n_groups, -np.inf)
    np.minimum.at(safest_removed, codes[remove], -scores[remove])
    np.maximum.at(riskiest_kept, codes[~remove], -scores[~remove])
    nothing, everything = np.isinf(safest_removed), np.isinf(riskiest_kept)
    with np.errstate(invalid="ignore"):  # of infinities, which are not taken
        between = safest_removed / 2 + riskiest_kept / 2
    return np.select([nothing, everything], [np.inf, -np.inf], between)
