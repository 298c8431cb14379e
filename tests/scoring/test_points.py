"""Embeddings of any scale, width and kind of matrix, as points of one scale."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from oracles import embeddings, features, fitted, rounding, sparse_rows
from scipy.sparse import csc_matrix, csr_array, csr_matrix

from smilearn import SlicedMIScorer
from smilearn.scoring._points import class_means, inverse_scale_of, residuals
from smilearn.utils._indexing import as_tensor

FLOATS = [np.float32, np.float64]
FARTHEST = 1e6  # root mean squares
CPU = torch.device("cpu")


def centre_and_scale(X):
    """Middle and common factor of one class that is all samples."""
    eps = np.finfo(X.dtype).eps
    _, means, squares, largest = class_means(
        as_tensor(X, CPU), np.zeros(len(X), int), 1
    )
    return means[0], inverse_scale_of(np.sqrt(squares / len(X)), largest, eps)


def standardize(X, centre, inverse_scale, dtype):
    dtype = torch.from_numpy(np.empty(0, dtype)).dtype
    return residuals(as_tensor(X, CPU), centre, inverse_scale, dtype).numpy()


def plainly_standardized(X):
    centred = np.asarray(X, np.float64) - np.asarray(X, np.float64).mean(0)
    return centred / np.sqrt((centred**2).mean())


def standardized(X, dtype=None, **options):
    return standardize(X, *centre_and_scale(X), dtype or X.dtype, **options)


@pytest.mark.parametrize("result", FLOATS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_standardize_ordinary_features(seed, dtype, result):
    X = features(seed).astype(dtype)
    Z = standardized(X, result)
    assert Z.dtype == result
    coarsest = max(rounding(dtype, 20), rounding(result, 20))
    np.testing.assert_allclose(Z, plainly_standardized(X), atol=coarsest)


@pytest.mark.parametrize(
    ("dtype", "exponent"),
    [(np.float64, e) for e in (-97, -50, 50, 97)]
    + [(np.float32, e) for e in (-37, -20, 20, 37)],
)
def test_scale_of_the_features_does_not_matter(seed, dtype, exponent):
    """In single precision squares under- or overflow; all are negative."""
    unit = features(seed) / 30 - 2
    Z = standardized((unit * 10.0**exponent).astype(dtype))
    np.testing.assert_allclose(Z, plainly_standardized(unit), atol=rounding(dtype, 50))


@pytest.mark.parametrize("value", [0.0, 0.1, -1234.5678, 1e-30, 1e30])
@pytest.mark.parametrize("dtype", FLOATS)
def test_constant_columns_get_factor_zero(seed, dtype, value):
    X = features(seed)
    X[:, [1, 4]] = value
    X = X.astype(dtype)
    _, inverse = centre_and_scale(X)
    assert np.flatnonzero(inverse == 0).tolist() == [1, 4]
    Z = standardized(X)
    assert not Z[:, [1, 4]].any()
    expected = X.astype(np.float64)
    expected[:, [1, 4]] = 0
    np.testing.assert_allclose(
        Z, plainly_standardized(expected), atol=rounding(dtype, 50)
    )


@pytest.mark.parametrize("dtype", FLOATS)
def test_rounding_of_a_constant_is_no_signal_but_a_little_more_is(seed, dtype):
    X, eps = features(seed), np.finfo(dtype).eps
    ulps = np.random.default_rng(seed).integers(-1, 2, len(X))
    X[:, 0] = 1 + 2 * eps * ulps
    X[:, 1] = 1 + 200 * eps * ulps
    _, inverse = centre_and_scale(X.astype(dtype))
    assert inverse[0] == 0 < inverse[1]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("distance", [1e7, 1e12, 1e25])
def test_farthest_rows_are_moved_in_along_their_direction(seed, dtype, distance):
    X = features(seed) - features(seed).mean(0)
    fitted = centre_and_scale(X)
    new = X[:20].copy()
    new[3] *= distance / np.abs(new[3]).max()
    Z = standardize(new.astype(dtype), *fitted, dtype)
    expected = new * fitted[1]
    assert np.abs(expected[3]).max() > FARTHEST
    expected[3] *= FARTHEST / np.abs(expected[3]).max()
    np.testing.assert_allclose(Z, expected, rtol=1e-5, atol=rounding(dtype, 100))
    Z = standardize(-new.astype(dtype), *fitted, dtype)
    np.testing.assert_allclose(Z, -expected, rtol=1e-5, atol=rounding(dtype, 100))


def test_farthest_row_beyond_float32_does_not_overflow(seed):
    """The row is 1e40 times the scale of the others: no float32 holds that."""
    X = (features(seed) * 1e-12).astype(np.float32)
    new = np.vstack([X[:5], np.float32(1e28) * np.eye(7, dtype=np.float32)])
    Z = standardize(new, *centre_and_scale(X), np.float32)
    np.testing.assert_allclose(Z[:5], standardized(X)[:5], atol=1e-6)
    np.testing.assert_allclose(Z[5:], FARTHEST * np.eye(7), rtol=1e-6, atol=1e-6)


def sparse_problem(seed, n=150, d=40):
    rng = np.random.default_rng(seed)
    X, y = sparse_rows(rng, (n, d), 0.15), rng.integers(0, 3, n)
    return (X + csr_array(np.eye(3)[y] @ np.eye(3, d) * 0.4)).tocsr(), y


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("make", [csr_array, csr_matrix, csc_matrix])
def test_sparse_scores_as_dense(seed, make, pooled, weighted):
    X, y = sparse_problem(seed)
    weight = np.random.default_rng(seed).integers(0, 3, len(y)) if weighted else None
    dense, sparse = (
        SlicedMIScorer(32, random_state=0, pooled=pooled).fit(some, y, weight)
        for some in (X.toarray(), make(X))
    )
    assert_allclose(sparse.scores_, dense.scores_, atol=1e-6)
    table = dense.predict_proba(X.toarray())
    assert_allclose(sparse.predict_proba(make(X)), table, atol=1e-6)
    stream = SlicedMIScorer(32, random_state=0, pooled=pooled, outliers=None)
    stream.partial_fit(make(X[:90]), y[:90]).partial_fit(make(X[90:]), y[90:])
    stream.partial_fit(make(X[:9]), y[:9], sample_weight=0)
    if not weighted:
        batches = [(make(X[:90]), y[:90]), (make(X[90:]), y[90:])]
        one = SlicedMIScorer(32, random_state=0, pooled=pooled).fit_batches(batches)
        assert_allclose(one.scores_, dense.scores_, atol=1e-4)
    plain = fitted(X.toarray(), y, n_slices=32, pooled=pooled, outliers=None)
    scores = stream.score_training_samples(make(X), y)
    assert_allclose(scores, plain.scores_, atol=1e-4)


def test_wide_sparse_data_are_never_made_dense(seed, monkeypatch):
    rng, n_features = np.random.default_rng(seed), 60_000
    X = sparse_rows(rng, (300, n_features), 20 / n_features)
    y = rng.integers(0, 2, 300)
    monkeypatch.setattr(csr_array, "todense", None)
    widths, toarray = [], csr_array.toarray

    def watched(self, *arguments, **options):
        widths.append(self.shape[1])
        return toarray(self, *arguments, **options)

    monkeypatch.setattr(csr_array, "toarray", watched)
    one = SlicedMIScorer(8, random_state=0).fit(X, y)
    assert np.isfinite([*one.scores_, *one.score_samples(X, y)]).all()
    assert max(widths, default=0) <= 1536
    assert one.directions_.shape == (8, n_features)
    assert_allclose(np.linalg.norm(one.directions_, axis=1), 1)


def test_sparse_with_entries_given_twice(seed):
    X, y = sparse_problem(seed)
    entries = X.tocoo()
    halves = np.concatenate([entries.data / 2, entries.data / 2])
    rows, columns = (np.tile(places, 2) for places in entries.coords)
    order = np.argsort(rows, kind="stable")
    ends = np.concatenate([[0], np.cumsum(2 * np.diff(X.indptr))])
    twice = csr_array((halves[order], columns[order], ends), X.shape)
    kept = twice.copy()
    assert_allclose(fitted(twice, y).scores_, fitted(X, y).scores_, atol=1e-9)
    assert_array_equal(twice.data, kept.data)


WAYS = ["sparse", "partial_fit", "fit_batches", "single"]


def assert_projected_alike(seed, n_features, ways, **options):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 90)
    X = rng.normal(size=(90, n_features))
    X += rng.normal(size=(3, n_features))[y] * 10 / np.sqrt(n_features)
    parts = [(X[:40], y[:40]), (X[40:], y[40:])]
    options = {"n_slices": 8, "random_state": 0, "outliers": None} | options
    dense = SlicedMIScorer(**options).fit(X, y)
    for way in ways:
        one = SlicedMIScorer(**options)
        if way == "sparse":
            one.fit(csr_array(X), y)
        elif way == "single":
            one.fit(X.astype(np.float32), y)
        elif way == "fit_batches":
            one.fit_batches(parts)
        else:
            one.partial_fit(*parts[0]).partial_fit(*parts[1])
        assert_allclose(one.score_training_samples(X, y), dense.scores_, atol=1e-4)
        assert_allclose(one.score_samples(X[:9]), dense.score_samples(X[:9]), atol=1e-4)
    assert_allclose(np.linalg.norm(dense.directions_, axis=1), 1)


@pytest.mark.parametrize("pooled", [True, False])
def test_more_features_than_are_kept_are_projected(seed, pooled, monkeypatch):
    """Whichever way they come."""
    for module in ("_points", "_recipe", "_batches"):
        monkeypatch.setattr(f"smilearn.scoring.{module}.MOST_FEATURES", 20)
    assert_projected_alike(seed, 50, WAYS, pooled=pooled)


def test_more_than_1536_features(seed):
    assert_projected_alike(seed, 1_600, ["sparse"])


def test_the_sample_of_projected_rows_does_not_hang_on_how_they_are_cut(
    seed, monkeypatch
):
    """Products round by it, so that rows are known by what they were before."""
    for module in ("_points", "_recipe", "_batches"):
        monkeypatch.setattr(f"smilearn.scoring.{module}.MOST_FEATURES", 20)
    monkeypatch.setattr("smilearn.scoring._sums.SAMPLE", 60)
    X, y = embeddings(seed, (150, 100, 50), 50)
    X = X.astype(np.float32)
    whole = fitted(X, y, outliers=None, dtype="float32")
    for length in (1, 7):
        cut = SlicedMIScorer(64, random_state=0)
        for begin in range(0, len(y), length):
            rows = slice(begin, begin + length)
            cut.partial_fit(X[rows], y[rows])
        np.testing.assert_array_equal(cut.sums_.sample.keys, whole.sums_.sample.keys)
        assert_allclose(cut.score_training_samples(X, y), whole.scores_, atol=1e-4)
