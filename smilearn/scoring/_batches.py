"""Samples that come in batches, again and again."""

import mmap
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from sklearn.utils import check_consistent_length

from smilearn.exceptions import InvalidInputError

ENOUGH = 2**24  # numbers of a batch: 64 MB in single precision


class ArrayBatches:
    """Rows of an array that may be larger than memory."""

    def __init__(self, X, y, weight=None):
        self.X, self.y, self.weight = X, _on_host(y), None
        if weight is not None:
            weight = _on_host(weight)
            self.weight = weight if weight.ndim else np.full(len(X), weight)
        check_consistent_length(X, self.y, self.weight)

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
    """Batches under other labels."""

    def __init__(self, batches, y):
        self.batches, self.y = batches, y

    def __iter__(self):
        begin = 0
        for X, *_, weight in map(triple, self.batches):
            end = begin + len(X)
            yield X, self.y[begin:end], weight
            begin = end


def repeatable(batches):
    """Refuse what can be gone through only once."""
    if isinstance(batches, Iterator) or not hasattr(batches, "__iter__"):
        raise InvalidInputError(
            "batches must be an iterable that can be gone through more than once, such "
            "as a list or an object whose __iter__ opens the data anew; got a "
            f"{type(batches).__name__}. For batches that come only once use "
            "partial_fit(X, y) on each."
        )
    return batches


def pieces(batches, validated):
    """Batches of a fair size: small ones joined, large ones cut."""
    held, n_held = [], 0
    for batch in filled(batches):
        X, y, weight = validated(*batch)
        rows = max(1, ENOUGH // X.shape[1])
        for begin in range(0, len(X), rows):
            some = slice(begin, begin + rows)
            part = [None if v is None else v[some] for v in (X, y, weight)]
            n_held += len(part[0])
            last = n_held < rows  # is kept until more batches have come
            # the iterable may write the next batch where this one is
            held.append([_copy(v) if i or last else v for i, v in enumerate(part)])
            if not last:
                yield _joined(held)
                held, n_held = [], 0
    if held:
        yield _joined(held)


def filled(batches):
    """Leave out batches without samples, as a filter makes them."""
    for batch in map(triple, batches):
        X = batch[0]
        if X.shape[0] if getattr(X, "shape", ()) else len(X):
            yield batch


def one_kind(y, before):
    """Refuse labels of another kind than those before: words, or numbers."""
    if len(y) and len(before) and _is_word(y) != _is_word(before):
        raise InvalidInputError(
            "Labels must be of one kind in all batches; got "
            f"{y[:1].tolist()[0]!r} after {before[:1].tolist()[0]!r}."
        )


def _is_word(labels):
    """Tell by an element, as arrays of objects hold words too."""
    return isinstance(labels[0], str | bytes)


def _on_host(values):
    return np.asarray(values.cpu() if isinstance(values, torch.Tensor) else values)


def _copy(values):
    if isinstance(values, torch.Tensor):
        return values.clone()
    return None if values is None else values.copy()


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
    for labels in y[1:]:  # NumPy would make words of numbers
        one_kind(labels, y[0])
    weight = None
    if any(part is not None for part in weights):
        weight = np.concatenate(
            [
                np.ones(len(p)) if w is None else w
                for p, w in zip(y, weights, strict=True)
            ]
        )
    if isinstance(X[0], torch.Tensor):
        X = torch.cat([torch.as_tensor(part).to(X[0].device) for part in X])
    else:
        X = np.concatenate([_on_host(part) for part in X])
    return X, np.concatenate(y), weight
