"""Log densities against SciPy, and left-out ones against moments made anew."""

import numpy as np
import pytest
import torch
from oracles import log_density
from scipy.stats import norm, t

from smilearn.scoring._densities import DENSITIES, PRIOR_COUNT, PRIOR_DOF

KINDS = sorted(DENSITIES)
SIZES = (40, 5, 3, 2, 1)


def column(values):
    """One slice, one value a class: (1, K, 1)."""
    return torch.as_tensor(np.asarray(values, np.float64))[None, :, None]


def density_of(kind, classes, pooled, dtype=torch.float64):
    moments = [
        [len(values) for values in classes],
        [values.mean() for values in classes],
        [values.var() for values in classes],
        [pooled],
    ]
    return DENSITIES[kind](*(column(values).to(dtype) for values in moments))


def at(function, z):
    """Values of a log density at some points, (K, G)."""
    return function(torch.as_tensor(np.atleast_1d(z))[None, None])[0].numpy()


def samples(seed, sizes=SIZES):
    """Projections of classes of different place and spread."""
    rng = np.random.default_rng(seed)
    return [
        rng.normal(2 * rng.normal(), rng.uniform(0.3, 3), size=size) for size in sizes
    ]


def test_gaussian_is_normal(seed):
    classes, z = samples(seed, (40, 5, 3)), np.linspace(-30, 30, 61)
    logs = at(density_of("gaussian", classes, 1.7).log_density, z)
    for values, own in zip(logs, classes, strict=True):
        expected = norm.logpdf(z, own.mean(), own.std())
        np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_student_is_the_posterior_predictive(seed):
    """Murphy (2007), equations 139 to 142 and 201, with the prior at 0."""
    classes, pooled, z = samples(seed), 1.7, np.linspace(-30, 30, 61)
    logs = at(density_of("student", classes, pooled).log_density, z)
    for values, own in zip(logs, classes, strict=True):
        n, mean = len(own), own.mean()
        kappa, nu = PRIOR_COUNT + n, PRIOR_DOF + n
        squares = PRIOR_DOF * pooled + ((own - mean) ** 2).sum()
        squares += n * PRIOR_COUNT / kappa * mean**2
        scale = np.sqrt((1 + kappa) / kappa * squares / nu)
        expected = t.logpdf(z, nu, n * mean / kappa, scale)
        np.testing.assert_allclose(values, expected, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_left_out_equals_moments_made_without_the_sample(seed, kind, size):
    own, pooled = samples(seed, (size,))[0], 1.7
    left_out = at(density_of(kind, [own], pooled).log_left_out, own)[0]
    for i, value in enumerate(own):
        others = np.delete(own, i)
        expected = log_density(value, others, pooled, kind)
        assert left_out[i] == pytest.approx(expected, rel=1e-9, abs=1e-9)
        if size > 1:
            anew = at(density_of(kind, [others], pooled).log_density, value)[0, 0]
            assert left_out[i] == pytest.approx(anew, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_left_out_is_finite_between_and_beyond_samples(seed, kind):
    """Nodes of a table lie where no sample can: there a floor must hold."""
    classes, z = samples(seed), np.linspace(-1e3, 1e3, 4001)
    assert np.isfinite(at(density_of(kind, classes, 1.7).log_left_out, z)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("left_out", [False, True])
@pytest.mark.parametrize("count", [5, 100, 10_000, 1_000_000, 10_000_000])
def test_float32_agrees_for_classes_of_any_size(kind, left_out, count):
    """Ten million samples: no term as large as the count may round."""
    moments = (column([value]) for value in (count, 0.3, 0.8, 1.1))
    double = DENSITIES[kind](*moments)
    single = DENSITIES[kind](*(value.float() for value in vars(double).values()))
    name = "log_left_out" if left_out else "log_density"
    z = np.linspace(-1.2, 1.8, 31)
    expected = at(getattr(double, name), z)
    np.testing.assert_allclose(
        at(getattr(single, name), z.astype(np.float32)), expected, atol=2e-5
    )
