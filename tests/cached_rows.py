"""Rows of a few texts, computed and counted, for the tests of the row cache."""

import hashlib
from pathlib import Path

import numpy as np

from smilearn.embedding import RowCache

KEY = {"model": "a", "layer": [1, 2]}
TEXTS = [f"text {i}" for i in range(40)]


def oracle(text, shape=(3,)):
    """The row of a text: numbers that no other text has."""
    seed = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(list(seed)).normal(size=shape).astype(np.float32)


class Compute:
    """Computes rows in batches, and counts; stops or kills itself at a number."""

    def __init__(self, batch_size=8, *, shape=(3,), end=None):
        self.batch_size, self.shape, self.end = batch_size, shape, end
        self.texts = []

    def __call__(self, texts):
        order = np.arange(len(texts))[::-1]  # not that of the texts
        for begin in range(0, len(texts), self.batch_size):
            if self.end is not None and begin >= self.end:
                raise KeyboardInterrupt
            few = order[begin : begin + self.batch_size]
            self.texts += [texts[place] for place in few]
            yield few, np.array([oracle(texts[place], self.shape) for place in few])


def expected(texts, shape=(3,)):
    return np.array([oracle(text, shape) for text in texts]).reshape(-1, *shape)


def filled(folder, texts=TEXTS, **options):
    cache = RowCache(folder, KEY, (3,))
    np.testing.assert_array_equal(
        cache.rows(texts, Compute(**options)), expected(texts)
    )
    return cache


def recomputed(folder, texts=TEXTS):
    """Texts that a new cache on the folder computes; its rows must be right."""
    compute = Compute()
    rows = RowCache(folder, KEY, (3,)).rows(texts, compute)
    np.testing.assert_array_equal(rows, expected(texts))
    return compute.texts


def files_of(folder):
    return sorted(Path(folder).rglob("*.rows"))


def never(texts):
    raise AssertionError(f"computed again: {texts}")
