"""Sparse samples score as dense ones, and are never made dense."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import fitted, sparse_rows
from scipy.sparse import csc_matrix, csr_array, csr_matrix

from smilearn import SlicedMIScorer
from smilearn.exceptions import InvalidInputError


def sparse_problem(seed, n=150, d=40):
    rng = np.random.default_rng(seed)
    X = sparse_rows(rng, (n, d), 0.15)
    y = rng.integers(0, 3, n)
    X = (X + csr_array(np.eye(3)[y] @ np.eye(3, d) * 0.4)).tocsr()
    return X, y


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("slicing", ["isotropic", "principal"])
@pytest.mark.parametrize("make", [csr_array, csr_matrix, csc_matrix])
def test_sparse_scores_as_dense(seed, make, slicing, weighted):
    X, y = sparse_problem(seed)
    parameters = {"slicing": slicing, "n_components": 5, "dtype": "float64"}
    dense, sparse = (
        SlicedMIScorer(200, random_state=0, **parameters) for _ in range(2)
    )
    weight = np.random.default_rng(seed).integers(0, 3, len(y)) if weighted else None
    dense.fit(X.toarray(), y, sample_weight=weight)
    sparse.fit(make(X), y, sample_weight=weight)
    assert_allclose(sparse.scores_, dense.scores_, atol=1e-6)
    table = dense.score_table(X.toarray())
    assert_allclose(sparse.score_table(make(X)), table, atol=1e-6)
    if slicing == "principal":
        assert_allclose(sparse.components_, dense.components_, atol=1e-6)


def test_sparse_is_never_made_dense(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    X = sparse_rows(rng, (300, 60_000), 5e-4)
    y = rng.integers(0, 2, 300)
    monkeypatch.setattr(csr_array, "todense", None)
    whole = []
    toarray = csr_array.toarray

    def watched(self, *arguments, **options):
        whole.append(self.shape)
        return toarray(self, *arguments, **options)

    monkeypatch.setattr(csr_array, "toarray", watched)
    one = SlicedMIScorer(20, slicing="isotropic", random_state=0).fit(X, y)
    one.score_samples(X, y)
    assert all(min(shape) <= 2 for shape in whole)


def test_sparse_with_entries_given_twice(seed):
    X, y = sparse_problem(seed)
    entries = X.tocoo()
    rows, columns = entries.coords
    halves = np.concatenate([entries.data / 2, entries.data / 2])
    order = np.argsort(np.tile(rows, 2), kind="stable")
    ends = np.concatenate([[0], np.cumsum(2 * np.diff(X.indptr))])
    twice = csr_array((halves[order], np.tile(columns, 2)[order], ends), X.shape)
    kept = twice.copy()
    expected = fitted(X, y).scores_
    assert_allclose(fitted(twice, y).scores_, expected, atol=1e-9)
    assert_array_equal(twice.data, kept.data)


def test_sparse_far_samples_and_odd_scales(seed):
    X, y = sparse_problem(seed)
    one = fitted(X, y)
    for scale in (1e-30, 1e30):
        assert_allclose(fitted(scale * X, y).scores_, one.scores_, atol=1e-9)
    assert np.isfinite(one.score_samples(1e200 * X, y)).all()


def test_covariances_of_sparse_data_are_refused(seed):
    X, y = sparse_problem(seed)
    for slicing in ("whitened", "discriminant", "joint"):
        with pytest.raises(InvalidInputError, match="TruncatedSVD"):
            fitted(X, y, slicing=slicing)
    with pytest.raises(TypeError, match="dense"):
        SlicedMIScorer(4, slicing="isotropic").partial_fit(X, y)


def test_sparse_means_of_many_classes_need_little_memory(seed):
    rng = np.random.default_rng(seed)
    X = sparse_rows(rng, (20_000, 4_000), 1e-3)
    y = rng.integers(0, 5, 20_000)
    tracemalloc.start()
    SlicedMIScorer(8, slicing="isotropic", random_state=0).fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000 * 4_000 * 8 / 5  # bytes of X, dense


def test_a_map_of_dense_samples_takes_no_sparse_ones(seed):
    X, y = sparse_problem(seed)
    for slicing in ("joint", "discriminant", "adaptive"):
        one = fitted(X.toarray(), y, slicing=slicing)
        with pytest.raises(InvalidInputError, match="toarray"):
            one.score_samples(X, y)
