"""Compiled loops against plain NumPy, and against torch where there is no numba."""

import numpy as np
import pytest
import torch
from oracles import fitted, wide_and_narrow

from smilearn.scoring import _kernels
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
    """On some rows, in two columns and groups, beyond the ends of the grid too."""
    monkeypatch.setattr(_threads, "_LEAST", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    rng, n_nodes = np.random.default_rng(seed), 16
    Z, rows = rng.normal(size=(7, n_samples)).astype(dtype), np.array([5, 0, 3])
    table = tables(seed, dtype, 3, 4, n_nodes)
    origin, step = np.array([-1, -2, -0.5], dtype), np.array([0.1, 0.3, 0.1], dtype)
    codes, group = rng.integers(0, 4, (2, n_samples)), np.array([1, 0, 1])
    total = rng.normal(size=(2, 2, n_samples)).astype(dtype)
    expected, expected_squares = total.astype(float), np.ones((2, n_samples))
    squares = expected_squares.astype(dtype)
    for s in range(3):
        place = np.clip((Z[rows[s]] - origin[s]) / step[s], 0, n_nodes - 1)
        node = np.floor(place).astype(int)
        entry = table[s, codes * n_nodes + node]
        value = entry.real + (place - node) * entry.imag
        expected[:, group[s]] += value
        expected_squares += value**2
    offset = (codes * n_nodes).astype(np.int32)
    grid = origin, step, n_nodes
    with own_threads(CPU):
        _kernels.look_up(Z, rows, grid, table, offset, group, total, squares)
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(total, expected, atol=tolerance)
    np.testing.assert_allclose(squares, expected_squares, atol=4 * tolerance)


def scores(density="student", **parameters):
    X, y = wide_and_narrow(0, n_classes=4, size=300)
    defaults = {"n_slices": 100, "density": density, "dtype": "float32"}
    scorer = fitted(X.astype(np.float32), y, **defaults | parameters)
    new = np.concatenate([X[::7], 3 * X[::5]])
    weights = np.array([*scorer.pool_["weights"].values()])
    assert weights.all()
    told = [scorer.scores_, scorer.psmi_, scorer.scores_std_]
    return [*told, scorer.score_samples(new), scorer.predict_proba(new)]


@pytest.mark.parametrize("density", ["student", "gaussian"])
def test_torch_and_compiled_loops_agree(density, monkeypatch):
    """So that a GPU, or a machine without numba, gives the same scores."""
    compiled = scores(density)
    monkeypatch.setattr(_kernels, "usable", lambda device: False)
    for a, b in zip(compiled, scores(density), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


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
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_no_projection_reads_beyond_its_table():
    """Whatever went wrong before, memory stays safe."""
    Z = np.array([[np.nan, np.inf, -np.inf, 1e38, -1e38, 0.5]], np.float32)
    table, n_samples = np.ones((1, 8), np.complex64), Z.shape[1]
    total = np.zeros((1, 1, n_samples), np.float32)
    grid = np.zeros(1, np.float32), np.full(1, 0.25, np.float32), 8
    zeros = np.zeros((1, n_samples), np.int32), np.zeros(1, int)
    _kernels.look_up(Z, np.arange(1), grid, table, *zeros, total, total[0].copy())
    assert (total[0, 0, 3:] >= 1).all()


def test_without_compilation_torch_does_the_work(monkeypatch):
    monkeypatch.setattr(_kernels.config, "DISABLE_JIT", 1)
    assert not _kernels.usable(CPU)
    monkeypatch.setattr(_kernels, "njit", None)
    assert not _kernels.usable(CPU)
