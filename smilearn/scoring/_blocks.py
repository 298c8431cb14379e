"""Samples in blocks: at hand, or read again and again in batches of this process.

The three ways to hold samples (`AtHand`, `Streamed`, and `smilearn.scoring._dask`) have
one interface: `labels_and_weights()` once, then `map` and `total`, which work on each
block and give results in the order of the samples, or their sum. The work is a function
``work(block, settings, *aligned, *shared)``: of `aligned` arrays, of one entry a
sample, it is handed the rows of the block.
"""

from functools import reduce

import numpy as np

from smilearn.exceptions import InvalidInputError
from smilearn.scoring._points import content_keys, features_of
from smilearn.utils._devices import working_on


class Block:
    """Samples of a block: as they were checked, and their features as a tensor."""

    def __init__(self, X, projection, device):
        self._X, self.features = X, features_of(X, projection, device)
        self._is_projected = projection is not None

    def __len__(self):
        return len(self.features)

    def keys(self, rows):
        """Keys of rows by content, if projected: products round by how rows are cut."""
        return content_keys(self._X)[rows] if self._is_projected else None


class Streamed:
    """Samples of batches that come again each time; `batches` makes an iterable."""

    at_hand = False

    def __init__(self, batches, recipe, settings):
        self._batches, self._projection = batches, recipe.projection
        self._settings, self._labels = settings, None

    def labels_and_weights(self):
        """Classes (K,), codes (n,) and weights (n,), or None where all are 1."""
        labels, weights = [], []
        for _, y, weight in self._batches():
            labels.append(y)
            weights.append(np.ones(len(y)) if weight is None else weight)
        weight, self._labels = np.concatenate(weights), np.concatenate(labels)
        classes, codes = np.unique(self._labels, return_inverse=True)
        return classes, codes, None if (weight == 1).all() else weight

    def map(self, work, aligned=(), shared=()):
        """Results of each block, in order."""
        begin, device = 0, self._settings.device
        for X, y, _ in self._batches():
            rows = slice(begin, begin + len(y))
            if not np.array_equal(y, self._labels[rows]):
                break
            with working_on(device):  # batches are made with the threads of the user
                block = Block(X, self._projection, device)
                yield work(block, self._settings, *of_rows(aligned, rows), *shared)
            begin += len(y)
        if begin < len(self._labels):
            raise InvalidInputError(
                "batches must give the same samples in the same order each time they "
                f"are gone through; the {len(self._labels)} labels of the first time "
                f"did not come again from sample {begin} on."
            )

    def total(self, work, merge, aligned=(), shared=()):
        """Sum of the results of all blocks."""
        return reduce(merge, self.map(work, aligned, shared))


class AtHand(Streamed):
    """Samples in memory, whose features are kept."""

    at_hand = True

    def __init__(self, X, y, weight, recipe, settings):
        super().__init__(lambda: [(X, y, weight)], recipe, settings)
        self.block = Block(X, recipe.projection, settings.device)

    def map(self, work, aligned=(), shared=()):
        """Results of the one block there is."""
        yield work(self.block, self._settings, *aligned, *shared)


def of_rows(aligned, rows):
    """Some rows of arrays, of which some may be None."""
    return [None if values is None else values[rows] for values in aligned]
