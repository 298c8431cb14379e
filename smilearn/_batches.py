"""Samples that come in batches, again and again (floor 0)."""

import mmap
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from smilearn.exceptions import InvalidInputError

ENOUGH = 2**24  # numbers of a batch: 64 MB in single precision


class ArrayBatches:
    """Rows of an array that may be larger than memory.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Embeddings, best a memory map.

    y : array-like of shape (n_samples,)
        Labels.

    weight : ndarray of shape (n_samples,), default=None
        Weights.
    """

    def __init__(self, X, y, weight=None):
        self.X, self.y, self.weight = X, y, weight

    def __iter__(self):
        n_samples, n_features = self.X.shape
        n_batches = max(1, -(-n_samples * n_features // ENOUGH))
        ends = np.linspace(0, n_samples, n_batches + 1).astype(int)
        for begin, end in pairwise(ends):
            weight = None if self.weight is None else self.weight[begin:end]
            yield self.X[begin:end], self.y[begin:end], weight
            self._let_go()

    def _let_go(self):
        """Tell the system that the pages read so far are not needed for now."""
        pages, mode = getattr(self.X, "_mmap", None), getattr(self.X, "mode", None)
        # what was written to a private copy of the pages would be lost
        if mode in ("r", "r+") and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)


class Relabelled:
    """Batches under other labels.

    Parameters
    ----------
    batches : iterable
        Batches.

    y : ndarray of shape (n_samples,)
        The labels of all samples, in the order of the batches.
    """

    def __init__(self, batches, y):
        self.batches, self.y = batches, y

    def __iter__(self):
        begin = 0
        for X, *_, weight in map(triple, self.batches):
            end = begin + len(X)
            yield X, self.y[begin:end], weight
            begin = end


def repeatable(batches):
    """Refuse what can be gone through only once.

    Raises
    ------
    InvalidInputError
        If `batches` is an iterator, or no iterable.
    """
    if isinstance(batches, Iterator) or not hasattr(batches, "__iter__"):
        raise InvalidInputError(
            "batches must be an iterable that can be gone through more than once, such "
            "as a list or an object whose __iter__ opens the data anew; got a "
            f"{type(batches).__name__}. For batches that come only once use "
            "partial_fit(X, y) on each."
        )
    return batches


def pieces(batches, validated):
    """Batches of a fair size: small ones joined, large ones cut.

    Parameters
    ----------
    batches : iterable of (X, y) or (X, y, sample_weight)
        Batches as they come.

    validated : callable
        From `X`, `y` and weights to arrays, the weights maybe None.

    Yields
    ------
    X : ndarray of shape (n_samples, n_features)
        Embeddings: about 64 MB of them in single precision.

    y : ndarray of shape (n_samples,)
        Labels.

    weight : ndarray of shape (n_samples,) or None
        Weights.
    """
    held, n_held = [], 0
    for batch in batches:
        X, y, weight = validated(*triple(batch))
        rows = max(1, ENOUGH // X.shape[1])
        for begin in range(0, len(X), rows):
            some = slice(begin, begin + rows)
            held.append((X[some], y[some], weight if weight is None else weight[some]))
            n_held += len(held[-1][0])
            if n_held >= rows:
                yield _joined(held)
                held, n_held = [], 0
    if held:
        yield _joined(held)


def triple(batch):
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        raise InvalidInputError(
            "Each batch must be (X, y) or (X, y, sample_weight); got "
            f"{type(batch).__name__}"
            + (f" of {len(batch)}." if hasattr(batch, "__len__") else ".")
        )
    return (*batch, None)[:3]


def _joined(held):
    if len(held) == 1:
        return held[0]
    X, y, weights = zip(*held, strict=True)
    weight = None
    if any(part is not None for part in weights):
        weight = np.concatenate(
            [
                np.ones(len(p)) if w is None else w
                for p, w in zip(y, weights, strict=True)
            ]
        )
    return np.concatenate(X), np.concatenate(y), weight
