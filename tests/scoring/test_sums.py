"""Moments against plain float64 NumPy."""

import numpy as np
import pytest
import torch

from smilearn.scoring._moments import ClassMoments, moments_of

FLOATS = [np.float32, np.float64]
FIELDS = ("mean", "variance", "reach", "low", "high")


def rounding(dtype, factor):
    return factor * np.finfo(dtype).eps


def projections(seed, counts=(40, 7, 2, 1), n_slices=5, apart=3.0):
    """Centred projections (S, n) sorted by class, and the columns of each class."""
    rng = np.random.default_rng(seed)
    ends = np.cumsum(counts)
    segments = [slice(e - c, e) for e, c in zip(ends, counts, strict=True)]
    Z = rng.normal(size=(n_slices, ends[-1]))
    for columns in segments:
        Z[:, columns] += apart * rng.normal(size=(n_slices, 1))
    return Z - Z.mean(1, keepdims=True), segments


def plain_moments(Z, segments):
    parts = [Z[:, columns] for columns in segments]
    mean = np.stack([part.mean(1) for part in parts], 1)
    return ClassMoments(
        count=np.array([part.shape[1] for part in parts]),
        mean=mean,
        variance=np.stack([part.var(1) for part in parts], 1),
        reach=np.stack(
            [np.abs(p - m[:, None]).max(1) for p, m in zip(parts, mean.T, strict=True)],
            1,
        ),
        low=Z.min(1),
        high=Z.max(1),
    )


def measured(Z, segments, dtype):
    """Moments by `moments_of`, and the projections it leaves behind."""
    expected = plain_moments(Z, segments)
    residual = Z.copy()
    for code, columns in enumerate(segments):
        residual[:, columns] -= expected.mean[:, [code]]
    tensor = torch.as_tensor(residual.astype(dtype))
    moments = moments_of(tensor, segments, expected.count, expected.mean)
    return moments, tensor.numpy(), expected


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("apart", [0.0, 3.0, 1e4])
def test_moments_are_those_of_numpy(seed, dtype, apart):
    """Even where class means are 1e4 standard deviations apart: nothing cancels."""
    moments, left, expected = measured(*projections(seed, apart=apart), dtype)
    Z, _ = projections(seed, apart=apart)
    np.testing.assert_array_equal(moments.count, [40, 7, 2, 1])
    size = np.abs(Z).max()
    np.testing.assert_array_equal(moments.mean, expected.mean)
    spread = {"rtol": rounding(dtype, 20), "atol": 1e-15}
    np.testing.assert_allclose(moments.variance, expected.variance, **spread)
    np.testing.assert_allclose(moments.reach, expected.reach, **spread)
    np.testing.assert_allclose(moments.low, expected.low, atol=rounding(dtype, size))
    np.testing.assert_allclose(moments.high, expected.high, atol=rounding(dtype, size))
    np.testing.assert_allclose(left, Z, atol=rounding(dtype, size))  # means are back
    assert all(getattr(moments, name).dtype == np.float64 for name in FIELDS)
