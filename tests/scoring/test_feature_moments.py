"""Mean, spread and largest value of each feature, in pieces, against float64 NumPy."""

import numpy as np
import pytest
import torch
from oracles import features, rounding

from smilearn.scoring._standardize import feature_moments, inverse_scale_of
from smilearn.utils._indexing import row_blocks

FLOATS = [np.float32, np.float64]


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
