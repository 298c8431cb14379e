"""Densities against SciPy, the exact pmi against logsumexp, tables against both."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from oracles import log_density
from scipy.special import logsumexp
from scipy.stats import norm, t

from smilearn.scoring import _densities
from smilearn.scoring._densities import (
    DENSITIES,
    PRIOR_COUNT,
    PRIOR_DOF,
    class_pmi,
    grid_of,
    tabulate,
)

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


FLOATS = [torch.float64, torch.float32]


def log_joints(seed, n_classes, spread, shape=(3, 40)):
    """Log densities (S, K, G) far apart, those left out, and counts (K, 1)."""
    rng = np.random.default_rng(seed)
    n_slices, n_points = shape
    logs = spread * rng.normal(size=(n_slices, n_classes, n_points))
    left_out = logs - spread * rng.exponential(size=logs.shape)
    return logs, left_out, rng.integers(2, 100, n_classes)[:, None].astype(float)


def others(log_joint):
    """Log of the sum over all classes but one, class by class."""
    rest = [np.delete(log_joint, c, axis=1) for c in range(log_joint.shape[1])]
    return np.stack([logsumexp(terms, axis=1) for terms in rest], 1)


def plain_pmi(logs, left_out, count, weight):
    """The sample leaves the density and the share of its class."""
    if left_out is None:
        log_prior = np.log(count / count.sum())
        mixture = logsumexp(logs + log_prior, axis=1, keepdims=True)
        return np.minimum(logs - mixture, -log_prior)
    total = count.sum() - weight
    share = np.log((count - weight) / total)
    rest = others(logs + np.log(count / total))
    return left_out - np.logaddexp(rest, left_out + share)


def measured_pmi(logs, left_out, count, weight, dtype=torch.float64):
    """`class_pmi` of a density that is nothing but given values."""

    def tensor(values):
        return torch.as_tensor(values, dtype=dtype)

    density = SimpleNamespace(
        log_density=lambda z: tensor(logs) + 0,
        log_left_out=lambda z, weight: tensor(left_out) + 0,
    )
    z = torch.zeros((logs.shape[0], 1, logs.shape[2]), dtype=dtype)
    options = {"left_out": left_out is not None, "weight": weight}
    return class_pmi(density, tensor(count), z, **options).numpy()


def assert_equal_to_rounding(got, expected, dtype, size, roundings=20):
    """Within some roundings of the largest number on the way."""
    atol = roundings * torch.finfo(dtype).eps * max(1, size)
    np.testing.assert_allclose(got, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("n_classes", [2, 3, 50])
@pytest.mark.parametrize("weight", [None, 1.0, 0.5])
def test_pmi_equals_logsumexp(seed, weight, n_classes, spread, dtype):
    """Whether all classes tie, or all but one underflow."""
    logs, own, count = log_joints(seed, n_classes, spread)
    own = None if weight is None else own
    pmi = measured_pmi(logs, own, count, weight or 1.0, dtype)
    expected = plain_pmi(logs, own, count, weight)
    size = max(np.abs(logs).max(), 0 if own is None else np.abs(own).max())
    assert_equal_to_rounding(pmi, expected, dtype, size)


def test_a_class_of_one_has_no_share_left(seed):
    """What is left of the label is the density of a class without samples."""
    logs, own, count = log_joints(seed, 3, 1.0)
    count[1] = 1
    pmi = measured_pmi(logs, own, count, 1.0)[:, 1]
    rest = logsumexp((logs + np.log(count / (count.sum() - 1)))[:, [0, 2]], axis=1)
    np.testing.assert_allclose(pmi, own[:, 1] - rest)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "gap", [0, 1e-3, 5, 36, 60, 80, 86, 90, 94, 103, 700, 740, 1e4]
)
@pytest.mark.parametrize("n_classes", [2, 3, 50])
def test_others_of_the_largest_class_survive_underflow(seed, n_classes, gap, dtype):
    """One class `gap` nats above the others: their sum must not drown or vanish."""
    rng = np.random.default_rng(seed)
    joint = rng.uniform(-1, 1, size=(2, n_classes, 30)) - gap
    joint[0, 0] += gap
    joint[1, -1] += gap
    got = _densities._log_of_others(torch.as_tensor(joint, dtype=dtype))
    rounded = torch.as_tensor(joint, dtype=dtype).double().numpy()
    assert_equal_to_rounding(got, others(rounded), dtype, gap + 5, roundings=3)


def parabolas(z):
    return torch.cat([-0.5 * z.square(), 2 * z.square() - z], 1)


def test_error_of_a_table_of_a_parabola_is_known_in_closed_form():
    """``f'' h^2 (u (1 - u) / 2 - 1 / 12)`` at u steps into a cell: of mean 0."""
    low, high, n_nodes = np.array([-3.0]), np.array([2.0]), 64
    (origin,), (step,) = grid_of(low, high, n_nodes)
    assert origin + step == low[0]
    assert origin + (n_nodes - 2) * step == pytest.approx(high[0])
    grid = torch.tensor([origin]), torch.tensor([step])
    (table,) = tabulate(parabolas, *grid, n_nodes).numpy()
    u = np.linspace(0.001, 0.999, 500)
    for cell in (1, 20, 61):  # the first and the last within the range, and one between
        z = origin + step * (cell + u)
        entry = table[n_nodes + cell]  # of class 1
        got = entry.real + u * entry.imag
        expected = 4 * step**2 * (u * (1 - u) / 2 - 1 / 12)
        np.testing.assert_allclose(got - (2 * z**2 - z), expected, atol=1e-13)
    assert not table.imag[[n_nodes - 1, -1]].any()  # beyond the grid nothing changes
