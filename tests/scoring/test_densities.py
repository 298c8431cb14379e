"""Log densities against SciPy, and left-out ones against moments made anew."""

import numpy as np
import pytest
import torch
from oracles import log_density
from scipy.stats import norm, t

from smilearn.scoring._densities import DENSITIES, PRIOR_COUNT, PRIOR_DOF, nodes_needed
from smilearn.scoring._moments import ClassMoments

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


def slice_of(rng, crowd):
    """Samples and moments of one slice with classes of 1 to 100 samples."""
    count = np.append(rng.choice([20, 100]), rng.choice([1, 2, 3, 5, 40], size=2))
    y = np.repeat(np.arange(len(count)), count)
    z = rng.normal(size=len(y)) + rng.normal(size=len(count))[y]
    if crowd == "outlier":
        z[-1] = 10 ** rng.uniform(0.3, 3)
    if crowd == "narrow classes":
        z *= (10 ** rng.uniform(-2.5, 0, size=len(count)))[y]
    z -= z.mean()
    classes = [z[y == c] for c in range(len(count))]

    def each(function):
        return np.array([[function(own) for own in classes]])

    reach = each(lambda own: np.abs(own - own.mean()).max())
    spread = each(np.mean), each(np.var), reach
    return classes, ClassMoments(count, *spread, z.min(keepdims=1), z.max(keepdims=1))


def bends(function, classes, width):
    """Largest second difference in the range of each class, in units of `width`."""
    ranges = torch.linspace(0, 1, 301, dtype=torch.float64)
    low, high = (column([end(own) for own in classes]) for end in (np.min, np.max))
    z, step = low + (high - low) * ranges, width / 12
    left, middle, right = (function(z + shift) for shift in (-step, 0, step))
    bend = (left - 2 * middle + right).abs() * 12**2
    return bend.amax((0, 2)).numpy()


@pytest.mark.parametrize("crowd", ["even", "outlier", "narrow classes"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_log_density_bends_more_than_a_parabola_at_its_width(seed, kind, crowd):
    """Of tabulated slices; a parabola of width 1 has bend 1.

    A left-out normal of n samples bends by ``(4 - 3 s) n / (n - 1)``, where s is the
    share of the variance that its sample spares. That of a pair has a kink where the
    floor of its variance begins. For a left-out Student t the bound was measured.
    """
    rng, tabulated = np.random.default_rng(seed), 0
    for _ in range(200):
        classes, moments = slice_of(rng, crowd)
        density = density_of(kind, classes, moments.pooled[0])
        if nodes_needed(density, moments)[0] == 0:
            continue
        tabulated += 1
        width = density.narrowest(column(moments.reach[0]))
        assert (bends(density.log_density, classes, width) <= 1 + 1e-6).all()
        largest = 2.75
        if kind == "gaussian":
            others = np.maximum(moments.count - 1, 1)
            largest = np.where(others > 1, 4 * moments.count / others + 1e-6, 20)
        assert (bends(density.log_left_out, classes, width) <= largest).all()
    assert tabulated >= 3
