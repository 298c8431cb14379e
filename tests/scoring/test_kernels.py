"""Compiled loops against plain NumPy, and against torch where there is no numba."""

import numpy as np
import pytest
import torch
from oracles import embeddings, fitted

from smilearn.scoring import _kernels
from smilearn.scoring._densities import DENSITIES
from smilearn.scoring._kernels import _exp, _log
from smilearn.scoring._moments import ClassMoments
from smilearn.scoring._reader import PmiReader, Settings
from smilearn.utils import _threads
from smilearn.utils._threads import own_threads

CPU = torch.device("cpu")
FLOATS = [np.float32, np.float64]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("value", [0.0, -0.0, 1e-38, -1e38, 1e38])
def test_range_of_any_floats(dtype, value):
    """Zero with either sign, and numbers of one sign only."""
    Z = np.full((1, 5), value, dtype)
    Z[0, 2] *= 0.5
    _, low, high = _kernels.moments(Z.copy(), np.array([5]), np.zeros((1, 1)))
    assert (low[0, 0], high[0, 0]) == (Z.min(), Z.max())


def tables(seed, dtype, n_slices, n_classes, n_nodes):
    rng = np.random.default_rng(seed)
    shape = n_slices, n_classes * n_nodes
    table = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    return table.astype(np.result_type(dtype, np.complex64))


@pytest.mark.parametrize("n_samples", [1, 1024, 2600])
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("dtype", FLOATS)
def test_look_up_is_linear_between_nodes_and_adds_up(
    seed, dtype, n_threads, n_samples, monkeypatch
):
    """On some rows, in several groups, beyond the ends of the grid too."""
    monkeypatch.setattr(_threads, "_LEAST", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    rng, n_nodes = np.random.default_rng(seed), 16
    Z, rows = rng.normal(size=(7, n_samples)).astype(dtype), np.array([5, 0, 3])
    table = tables(seed, dtype, 3, 4, n_nodes)
    origin, step = np.array([-1, -2, -0.5], dtype), np.array([0.1, 0.3, 0.1], dtype)
    codes, group = rng.integers(0, 4, n_samples), np.array([1, 0, 1])
    total, squares = rng.normal(size=(2, n_samples)).astype(dtype), np.ones(n_samples)
    expected, expected_squares = total.astype(float), squares.copy()
    squares = squares.astype(dtype)
    for s in range(3):
        place = np.clip((Z[rows[s]] - origin[s]) / step[s], 0, n_nodes - 1)
        node = np.floor(place).astype(int)
        entry = table[s, codes * n_nodes + node]
        value = entry.real + (place - node) * entry.imag
        expected[group[s]] += value
        expected_squares += value**2
    offset = (codes * n_nodes).astype(np.int32)
    grid = origin, step, n_nodes
    with own_threads(CPU):
        _kernels.look_up(Z, rows, grid, table, offset, group, total, squares)
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(total, expected, atol=tolerance)
    np.testing.assert_allclose(squares, expected_squares, atol=4 * tolerance)


def scores(density="student", **parameters):
    X, y = embeddings(0, (900, 500, 20), 12)
    scorer = fitted(
        X.astype(np.float32), y, n_slices=200, density=density, **parameters
    )
    new = np.concatenate([X[::7], 3 * X[::5]])
    return scorer.scores_, scorer.scores_std_, scorer.score_table(new)


@pytest.mark.parametrize("density", ["student", "gaussian"])
def test_torch_and_compiled_loops_agree(density, monkeypatch):
    """So that a GPU, or a machine without numba, gives the same scores."""
    compiled = scores(density)
    monkeypatch.setattr(_kernels, "usable", lambda device: False)
    for a, b in zip(compiled, scores(density), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-4), ("float64", 1e-9)])
def test_a_gpu_gives_the_scores_of_the_cpu(dtype, bound):
    """Factors rounded to TF32 would make 3e-4."""
    on_gpu, on_host = (scores(device=name, dtype=dtype) for name in ("cuda", "cpu"))
    for a, b in zip(on_gpu, on_host, strict=True):
        np.testing.assert_allclose(a, b, rtol=bound, atol=bound)


def test_threads_do_not_change_a_score(monkeypatch):
    monkeypatch.setattr(_threads, "_LEAST", 0)
    many = scores()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    for a, b in zip(many, scores(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_no_projection_reads_beyond_its_table():
    """Whatever went wrong before, memory stays safe."""
    Z = np.array([[np.nan, np.inf, -np.inf, 1e38, -1e38, 0.5]], np.float32)
    table, n_samples = np.ones((1, 8), np.complex64), Z.shape[1]
    total = np.zeros((1, n_samples), np.float32)
    grid = np.zeros(1, np.float32), np.full(1, 0.25, np.float32), 8
    zeros = np.zeros(n_samples, np.int32), np.zeros(1, int)
    _kernels.look_up(Z, np.arange(1), grid, table, *zeros, total, total[0].copy())
    assert (total[0, 3:] >= 1).all()


def test_without_compilation_torch_does_the_work(monkeypatch):
    monkeypatch.setattr(_kernels.config, "DISABLE_JIT", 1)
    assert not _kernels.usable(CPU)
    monkeypatch.setattr(_kernels, "njit", None)
    assert not _kernels.usable(CPU)


def test_logarithm_of_any_normal_number(seed):
    x = np.exp(np.random.default_rng(seed).uniform(-690, 700, 5000))
    x = np.concatenate([x, [1.0, 2.0, 0.5, np.sqrt(2), 1 - 1e-16, 1 + 1e-15, 1e-300]])
    found = [_log(each) for each in x]
    np.testing.assert_allclose(found, np.log(x), rtol=1e-15, atol=1e-16)


def test_exponential_of_numbers_up_to_zero(seed):
    x = -np.exp(np.random.default_rng(seed).uniform(-40, np.log(690), 5000))
    found = [_exp(each) for each in [*x, 0.0, -1e-300]]
    np.testing.assert_allclose(found, np.exp([*x, 0.0, -1e-300]), rtol=1e-14)
    assert [_exp(each) for each in (0.0, -701.0, -1e6)] == [1.0, 0.0, 0.0]


def crowd(seed, n_classes, apart, n_slices=7):
    """Moments of some slices with classes from 1 to 5,000 samples."""
    rng = np.random.default_rng(seed)
    count = np.append([1, 2], rng.integers(3, 5000, n_classes - 2))
    shape = n_slices, n_classes
    variance = rng.uniform(0.3, 2, shape)
    variance[:, 0] = 0
    mean = apart * rng.normal(size=shape)
    mean -= (mean @ count / count.sum())[:, None]
    reach = 3 * np.sqrt(variance)
    low, high = (mean - reach).min(1), (mean + reach).max(1)
    return ClassMoments(count, mean, variance, reach, low, high)


@pytest.mark.parametrize("left_out", [True, False])
@pytest.mark.parametrize("density", sorted(DENSITIES))
@pytest.mark.parametrize(
    ("apart", "dtype"), [(0.0, "float32"), (0.0, "float64"), (60.0, "float64")]
)
@pytest.mark.parametrize("n_classes", [2, 9])
def test_tables_are_those_of_torch(seed, n_classes, apart, density, left_out, dtype):
    """Classes may be so far apart that no other is left in units of the largest."""
    moments = crowd(seed, n_classes, apart)
    settings = Settings(density, torch.device("cpu"), dtype)
    nodes, rows = np.full(7, 300), np.arange(7)
    reader = PmiReader(settings, moments, nodes, left_out=left_out)
    found = [table for _, table, _ in reader._compiled_tables(rows, 300)]
    exactly = PmiReader(settings.exactly, moments, nodes, left_out=left_out)
    expected = [table.numpy() for _, table, _ in exactly._tables(rows, 300)]
    (found, expected) = map(np.concatenate, (found, expected))
    assert found.dtype == np.result_type(dtype, np.complex64)
    bound = 1e-3 if dtype == "float32" else 1e-9  # where the grid is rounded
    np.testing.assert_allclose(found.real, expected.real, rtol=bound, atol=bound)
    np.testing.assert_allclose(found.imag, expected.imag, rtol=bound, atol=5 * bound)


@pytest.mark.parametrize("density", sorted(DENSITIES))
def test_a_sample_that_carries_its_class_alone(density):
    """Left out, its class is 1,000 nats away, and so is every other: sums are lost."""
    count = np.array([5000, 4])
    moments = ClassMoments(
        count=count,
        mean=np.array([[-0.04, 50.0]]),
        variance=np.array([[1.0, 1e-3]]),
        reach=np.array([[3.0, 0.1]]),
        low=np.array([-3.0]),
        high=np.array([60.0]),
    )
    settings = Settings(density, torch.device("cpu"), "float64")
    reader = PmiReader(settings, moments, np.full(1, 2000), left_out=True)
    ((_, found, _),) = reader._compiled_tables(np.arange(1), 2000)
    ((_, expected, _),) = reader._tables(np.arange(1), 2000)
    assert expected.real.min() < -800
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-9, atol=1e-9)
