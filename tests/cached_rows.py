"""Rows of a few texts, computed and counted, for the tests of the row cache."""

import hashlib

import numpy as np

from smilearn.embedding import RowCache

KEY = {"model": "a", "layer": [1, 2]}
TEXTS = [f"text {i}" for i in range(40)]


def expected(texts, shape=(3,)):
    """A row for each text: numbers that no other text has."""
    seeds = [hashlib.sha256(t.encode("utf-8", "surrogatepass")).digest() for t in texts]
    rows = [np.random.default_rng(list(seed)).normal(size=shape) for seed in seeds]
    return np.array(rows, np.float32).reshape(-1, *shape)


class Compute:
    """Computes rows in batches, last texts first, and counts; may stop at a number."""

    def __init__(self, batch_size=8, *, shape=(3,), end=None):
        self.batch_size, self.shape, self.end = batch_size, shape, end
        self.texts = []

    def __call__(self, texts):
        order = np.arange(len(texts))[::-1]
        for begin in range(0, len(texts), self.batch_size):
            if self.end is not None and begin >= self.end:
                raise KeyboardInterrupt
            batch = order[begin : begin + self.batch_size]
            batch_texts = [texts[place] for place in batch]
            self.texts += batch_texts
            yield batch, expected(batch_texts, self.shape)


def computed(folder, texts=TEXTS, *, shape=(3,), key=KEY, **options):
    """Texts that a new cache on the folder computes; its rows must be right."""
    compute = Compute(shape=shape)
    rows = RowCache(folder, key, shape, **options).rows(texts, compute)
    np.testing.assert_array_equal(rows, expected(texts, shape))
    return compute.texts
