"""The look-up on CUDA: what is compiled there, run here, against the plain path."""

import warnings

import numpy as np
import pytest
import torch
from oracles import embeddings

from smilearn import SlicedMIScorer
from smilearn.exceptions import SmilearnWarning
from smilearn.scoring import _fused, _kernels, _reader
from smilearn.scoring._fused import compiled, fused_for, read_sums

CPU = torch.device("cpu")


def answers(X, y, **parameters):
    scorer = SlicedMIScorer(60, device="cpu", random_state=0).set_params(**parameters)
    scorer.fit(X, y)
    new = np.concatenate([X[::2], 3 * X[::5], -50 * X[::7]])  # beyond the grids too
    labels = np.resize(y, len(new))
    table = scorer.score_table(new)
    return scorer.scores_, scorer.scores_std_, scorer.score_samples(new, labels), table


@pytest.fixture
def in_torch(monkeypatch):
    monkeypatch.setattr(_kernels, "njit", None)


@pytest.mark.usefixtures("in_torch")
@pytest.mark.parametrize("density", ["gaussian", "student"])
@pytest.mark.parametrize(("dtype", "bound"), [("float32", 2e-5), ("float64", 1e-10)])
@pytest.mark.parametrize("slicing", ["isotropic", "whitened"])
def test_scores_are_those_of_the_plain_path(
    seed, slicing, density, dtype, bound, monkeypatch
):
    X, y = embeddings(seed)
    parameters = {"slicing": slicing, "density": density, "dtype": dtype}
    expected, calls = answers(X, y, **parameters), []

    def fused(*arguments):
        calls.append(arguments)
        return read_sums(*arguments)

    monkeypatch.setattr(_reader, "fused_for", lambda Z, n_groups: fused)
    for one, other in zip(answers(X, y, **parameters), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=bound, atol=bound)
    assert calls


def test_sums_are_those_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    n_slices, n_samples, n_nodes = 5, 30, 16
    Z = rng.normal(scale=2, size=(7, n_samples))  # some beyond the grid
    rows, group = np.array([6, 0, 3, 2, 5]), np.array([0, 3, 1, 3, 2])
    origin, step = -2 - rng.random(n_slices), 0.2 + 0.1 * rng.random(n_slices)
    table = rng.normal(size=(n_slices, 3 * n_nodes, 2))
    offset = n_nodes * rng.integers(0, 3, n_samples)
    total, squares = np.zeros((4, n_samples)), np.zeros(n_samples)
    for s in range(n_slices):
        for i in range(n_samples):
            place = (Z[rows[s], i] - origin[s]) / step[s]
            place = min(max(place, 0), n_nodes - 1)
            value, change = table[s, offset[i] + int(place)]
            pmi = value + change * (place - int(place))
            total[group[s], i] += pmi
            squares[i] += pmi**2
    tensors = (
        torch.as_tensor(v) for v in (Z, rows, origin, step, table, offset, group)
    )
    Z, rows, origin, step, table, offset, group = tensors
    found = read_sums(Z, rows, (origin, step, n_nodes), table, offset, group)
    for one, other in zip(found, (total, squares), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


class OnCuda:
    """What `fused_for` asks of projections."""

    device, dtype = torch.device("cuda"), torch.float32

    def __init__(self, size):
        self.numel = lambda: size


def test_fused_on_cuda_only_and_where_it_pays(monkeypatch):
    asked = []
    monkeypatch.setattr(_fused, "_known", {})
    monkeypatch.setattr(
        _fused, "compiled", lambda *what: asked.append(what) or read_sums
    )
    many = 2**30
    assert fused_for(torch.empty((1, 1)).expand(2**15, 2**15), 4) is None
    assert fused_for(OnCuda(1000), 4) is None
    assert fused_for(OnCuda(many), 40) is None
    assert asked == []
    assert {fused_for(OnCuda(many), n) for n in (1, 4, 1)} == {read_sums}
    assert asked == [(OnCuda.device, OnCuda.dtype)]


def test_without_a_compiler_plain_torch_is_used_and_said_once(monkeypatch):
    def no_compiler(*_, **__):
        raise RuntimeError("no compiler here\nand a long story")

    monkeypatch.setattr(torch, "compile", no_compiler)
    monkeypatch.setattr(_fused, "_known", {})
    monkeypatch.setattr(_fused, "compiled", lambda *_: compiled(CPU, torch.float32))
    with pytest.warns(SmilearnWarning, match=r"RuntimeError: no compiler here\)"):
        assert fused_for(OnCuda(2**30), 4) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fused_for(OnCuda(2**30), 4) is None


@pytest.mark.parametrize("wrong", [1e-3, float("nan")])
def test_a_compiler_that_gives_other_numbers_is_not_used(wrong, monkeypatch):
    def spoiled(function, **_):
        return lambda *some: tuple(part + wrong for part in function(*some))

    monkeypatch.setattr(torch, "compile", spoiled)
    with pytest.warns(SmilearnWarning, match="sums are off by"):
        assert compiled(CPU, torch.float32) is None


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("in_torch")
def test_compiled_scores_are_those_of_the_plain_path(monkeypatch):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        look_up = compiled(CPU, torch.float32)
    if look_up is None:
        # it needs a C++ compiler, which a machine that runs the tests may lack
        pytest.skip(f"torch.compile does not work here: {caught[-1].message}")
    X, y = embeddings(0)
    expected = answers(X, y, dtype="float32")
    monkeypatch.setattr(_reader, "fused_for", lambda Z, n_groups: look_up)
    for one, other in zip(answers(X, y, dtype="float32"), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)
