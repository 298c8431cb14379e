"""Standardizing against plain float64 NumPy, at every scale."""

import numpy as np
import pytest
import torch
from oracles import features, rounding

from smilearn.scoring import _standardize
from smilearn.scoring._standardize import FARTHEST, feature_moments, inverse_scale_of
from smilearn.utils._indexing import as_tensor, row_blocks

FLOATS = [np.float32, np.float64]


CPU = torch.device("cpu")


def centre_and_scale(X):
    return _standardize.centre_and_scale(as_tensor(X, CPU))[:2]


def standardize(X, centre, inverse_scale, dtype, order=None):
    dtype = torch.from_numpy(np.empty(0, dtype)).dtype
    order = None if order is None else torch.as_tensor(order)
    tensor = as_tensor(X, CPU)
    return _standardize.standardize(tensor, centre, inverse_scale, dtype, order).numpy()


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
    [(np.float64, e) for e in (-300, -160, 160, 300)]
    + [(np.float32, e) for e in (-37, -20, 20, 37)],
)
def test_scale_of_the_features_does_not_matter(seed, dtype, exponent):
    """Squares of these numbers under- or overflow; all are negative."""
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


@pytest.mark.parametrize("far", ["sample", "centre", "factor", "difference"])
def test_features_that_are_not_near_are_moved_in_all_the_same(seed, far):
    X, (centre, inverse) = features(seed), centre_and_scale(features(seed))
    if far == "sample":
        X[3] *= 1e9
    if far == "centre":  # of other samples than these
        centre = centre + 1e9
    if far == "factor":
        X, centre, inverse = X * 1e-40, centre * 1e-40, inverse * 1e40
    if far == "difference":
        X, centre, inverse = X * 1e37, centre - 3e38, inverse * 1e-37
    X = X.astype(np.float32)
    some = [torch.from_numpy(X), centre, inverse, torch.float32]
    known = _standardize.standardize(*some, largest=np.abs(X).max(0).astype(float))
    assert torch.equal(known, _standardize.standardize(*some))
    assert known.isfinite().all()
    assert known.abs().max() <= FARTHEST * (1 + 1e-6)


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


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", FLOATS)
def test_pieces_are_merged_in_units_of_their_own(seed, dtype, weighted, monkeypatch):
    """Within a feature, pieces whose squares over- and underflow, and zeros."""
    X = features(seed, (3000, 7)) + 100
    scale = 1e30 if dtype == np.float32 else 1e250
    X[:1000, 1] *= scale
    X[1000:2000, 2] /= scale
    X[2000:, 3] = 0
    X[:, 4] = scale
    X = X.astype(dtype)
    weight = np.random.default_rng(seed).integers(0, 4, 3000).astype(float)
    weight[:64] = 0  # a piece without any weight
    weight = weight if weighted else np.ones(3000)
    monkeypatch.setattr(row_blocks, "__defaults__", (None, 64 * 7 * X.itemsize / 2**20))
    assert len(list(row_blocks(torch.from_numpy(X)))) == 47
    given = torch.from_numpy(weight) if weighted else None
    centre, spread, largest = feature_moments(torch.from_numpy(X), given)
    unit = np.abs(X.astype(np.float64)).max(0)
    plain, tolerance = X / unit, rounding(dtype, 20)
    mean = np.average(plain, axis=0, weights=weight)
    np.testing.assert_allclose(centre, mean * unit, rtol=tolerance)
    np.testing.assert_array_equal(largest, unit)
    rms = np.sqrt(np.average((plain - mean) ** 2, axis=0, weights=weight))
    np.testing.assert_allclose(spread / unit, rms, rtol=5 * tolerance, atol=tolerance)


def test_weighted_moments_of_a_large_offset(seed):
    """A thousandth of a feature is rounded away, no more; a constant stays one."""
    rng = np.random.default_rng(seed)
    X = (1e6 + rng.normal(size=(20_000, 3)) * [4, 4, 0]).astype(np.float32)
    weight = rng.integers(0, 3, len(X)).astype(float)
    centre, spread, largest = feature_moments(
        torch.from_numpy(X), torch.from_numpy(weight)
    )
    plain = X.astype(np.float64)
    mean = np.average(plain, axis=0, weights=weight)
    rms = np.sqrt(np.average((plain - mean) ** 2, axis=0, weights=weight))
    np.testing.assert_allclose(centre, mean, rtol=1e-7)
    np.testing.assert_allclose(spread[:2], rms[:2], rtol=1e-3)
    assert (inverse_scale_of(spread, largest, 2**-23) == 0)[2]


def test_pieces_of_zeros_have_no_unit(seed, monkeypatch):
    X = features(seed)
    X[:200, 1] = 0
    X[:, 1] *= 1e-170
    whole = feature_moments(torch.from_numpy(X))
    monkeypatch.setattr(row_blocks, "__defaults__", (None, 1e-9))
    pieces = feature_moments(torch.from_numpy(X))
    np.testing.assert_allclose(pieces[1], whole[1], rtol=1e-12)
    assert pieces[1][1] > 1e-171
