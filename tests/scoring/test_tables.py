"""The exact pmi against logsumexp, and tables against the functions they hold."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from smilearn.scoring import _densities
from smilearn.scoring._densities import class_pmi, grid_of, locate, read, tabulate

FLOATS = [torch.float64, torch.float32]


def log_joints(seed, n_classes, spread, shape=(3, 40)):
    """Log densities (S, K, G) far apart, those left out, and log priors (K, 1)."""
    rng = np.random.default_rng(seed)
    n_slices, n_points = shape
    logs = spread * rng.normal(size=(n_slices, n_classes, n_points))
    left_out = logs - spread * rng.exponential(size=logs.shape)
    count = rng.integers(1, 100, n_classes)
    return logs, left_out, np.log(count / count.sum())[:, None]


def others(log_joint):
    """Log of the sum over all classes but one, class by class."""
    rest = [np.delete(log_joint, c, axis=1) for c in range(log_joint.shape[1])]
    return np.stack([logsumexp(terms, axis=1) for terms in rest], 1)


def plain_pmi(logs, left_out, log_prior):
    if left_out is None:
        mixture = logsumexp(logs + log_prior, axis=1, keepdims=True)
        return np.minimum(logs - mixture, -log_prior)
    mixture = np.logaddexp(others(logs + log_prior), left_out + log_prior)
    return np.minimum(left_out - mixture, -log_prior)


def measured_pmi(logs, left_out, log_prior, dtype=torch.float64):
    """`class_pmi` of a density that is nothing but given values."""

    def tensor(values):
        return torch.as_tensor(values, dtype=dtype)

    density = SimpleNamespace(
        log_density=lambda z, offset: tensor(logs) + offset,
        log_left_out=lambda z, offset: tensor(left_out) + offset,
    )
    z = torch.zeros((logs.shape[0], 1, logs.shape[2]), dtype=dtype)
    prior = tensor(log_prior)
    return class_pmi(density, prior, z, left_out=left_out is not None).numpy()


def assert_equal_to_rounding(got, expected, dtype, size, roundings=20):
    """Within some roundings of the largest number on the way."""
    atol = roundings * torch.finfo(dtype).eps * max(1, size)
    np.testing.assert_allclose(got, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("n_classes", [2, 3, 50])
@pytest.mark.parametrize("left_out", [False, True])
def test_pmi_equals_logsumexp(seed, left_out, n_classes, spread, dtype):
    """Whether all classes tie, or all but one underflow."""
    logs, own, log_prior = log_joints(seed, n_classes, spread)
    own = own if left_out else None
    pmi = measured_pmi(logs, own, log_prior, dtype)
    expected = plain_pmi(logs, own, log_prior)
    size = max(np.abs(logs).max(), 0 if own is None else np.abs(own).max())
    assert_equal_to_rounding(pmi, expected, dtype, size)
    assert (pmi <= -log_prior.astype(pmi.dtype)).all()


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


def interpolated(function, low, high, n_nodes, z):
    """What the table of `function` says at z (S, n) for class 1."""
    origin, step = (torch.as_tensor(v) for v in grid_of(low, high, n_nodes))
    table = tabulate(function, origin, step, n_nodes)
    node, fraction = locate(torch.as_tensor(z), origin, step)
    return read(table, node + n_nodes, fraction).numpy()


LOW, HIGH = np.array([-3.0, -1.0]), np.array([2.0, 6.0])


def test_error_of_a_parabola_is_known_in_closed_form():
    """``f'' h^2 (u (1 - u) / 2 - 1 / 12)`` at u steps into a cell: of mean 0."""
    (origin,), (step,) = grid_of(LOW[:1], HIGH[:1], 64)
    u = np.linspace(0.001, 0.999, 500)
    for cell in (1, 20, 61):  # the first and the last within the range, and one between
        z = (origin + step * (cell + u))[None]
        got = interpolated(parabolas, LOW[:1], HIGH[:1], 64, z.copy())
        expected = 4 * step**2 * (u * (1 - u) / 2 - 1 / 12)
        np.testing.assert_allclose(got - (2 * z**2 - z), expected[None], atol=1e-13)


def test_the_last_node_can_be_read(seed):
    """In float32 it may lie a rounding beyond itself."""
    ends = np.sort(np.random.default_rng(seed).normal(size=(2, 200)), axis=0)
    origin, step = (torch.as_tensor(v).float() for v in grid_of(*ends, 1024))
    table = tabulate(lambda z: 2 * z, origin, step, 1024)
    last = origin + step * 1023
    value = read(table, *locate(last[:, None].clone(), origin, step))[:, 0]
    torch.testing.assert_close(value, 2 * last, atol=1e-5, rtol=1e-5)
