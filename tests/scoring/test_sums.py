"""Sums over a batch against plain float64 NumPy."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from oracles import embeddings, rounding

from smilearn.scoring._reader import Settings
from smilearn.scoring._sums import Sums

DTYPES = ["float32", "float64"]
CPU = torch.device("cpu")


def directions_of(seed, n_features, n_slices=5):
    rows = np.random.default_rng(seed).normal(size=(n_slices, n_features))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def sums_of(X, y, directions, weight=None, dtype="float64"):
    settings = Settings("student", CPU, dtype)
    X = torch.as_tensor(X)
    return Sums.of(X, y, weight, directions, settings, pooled=True)


def plain(X, y, directions, weight):
    """Mean, squares, range of each class on each slice, and scatter within classes."""
    centre = weight @ X / weight.sum()
    mean, square, low, high, scatter = [], [], [], [], 0.0
    for c in np.unique(y):
        own, w = X[y == c], weight[y == c]
        mean.append(w @ own / w.sum())
        apart = own - mean[-1]
        Z = apart @ directions.T
        square.append(w @ Z**2)
        low.append(Z.min(0))
        high.append(Z.max(0))
        scatter = scatter + (w[:, None] * apart).T @ apart
    return (
        np.array(mean),
        weight @ (X - centre) ** 2,
        *(np.array(v).T for v in (square, low, high)),
        scatter,
    )


NAMES = ("mean", "square", "slice_square", "low", "high", "scatter")


def assert_sums(sums, X, y, directions, weight, dtype):
    expected = plain(X, y, directions, weight)
    for name, values in zip(NAMES, expected, strict=True):
        # centres are of the precision of X
        atol = rounding(dtype, 100) * np.abs(values).max() + 1e-15 * np.abs(X).max()
        assert_allclose(getattr(sums, name), values, atol=atol, err_msg=name)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("apart", [0.0, 3.0, 1e4])
def test_sums_are_those_of_numpy(seed, dtype, apart, weighted):
    """Even where class means are 1e4 standard deviations apart: nothing cancels."""
    X, y = embeddings(seed, (40, 7, 2, 1), 6, apart=apart)
    directions, rng = directions_of(seed, 6), np.random.default_rng(seed)
    order = rng.permutation(len(y))
    X, y = X[order], y[order]
    weight = rng.integers(1, 4, len(y)).astype(float) if weighted else None
    known = np.ones(len(y)) if weight is None else weight
    whole, merged = sums_of(X, y, directions, weight, dtype), None
    assert_sums(whole, X, y, directions, known, dtype)
    for rows in np.array_split(np.arange(len(y)), 6):
        some = None if weight is None else weight[rows]
        fresh = sums_of(X[rows], y[rows], directions, some, dtype)
        merged = fresh if merged is None else merged.merged(fresh, directions)
    assert_sums(merged, X, y, directions, known, dtype)
    assert_array_equal(merged.count, np.bincount(y, known))


def test_the_rows_kept_are_the_same_whichever_come_first(seed, monkeypatch):
    """By content, with copies as weights; another label is another row."""
    monkeypatch.setattr("smilearn.scoring._sums.SAMPLE", 30)
    X, y = embeddings(seed, (60, 35, 12))
    copies = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(y)), 3))
    X, y = X[copies], y[copies]
    y[0] = (y[0] + 1) % 3
    directions = directions_of(seed, 6)
    whole = sums_of(X, y, directions).sample
    assert len(whole.keys) == 30
    parts = [
        sums_of(X[rows], y[rows], directions)
        for rows in np.array_split(np.arange(len(y)), 5)
    ]
    for order in ([0, 1, 2, 3, 4], [3, 4, 0, 2, 1]):
        merged = parts[order[0]]
        for place in order[1:]:
            merged = merged.merged(parts[place], directions)
        for found, expected in zip(merged.sample, whole, strict=True):
            assert_array_equal(found, expected)
    rest = sums_of(np.asfortranarray(X), y, directions).sample
    assert_array_equal(rest.keys, whole.keys)
