"""Devices: which one, in full float32, and in halved blocks where memory runs out."""

from functools import cache

import numpy as np
import pytest
import torch
from oracles import wide_and_narrow

from smilearn import SlicedMIScorer
from smilearn.exceptions import DeviceMemoryError, InvalidInputError
from smilearn.scoring import _slices, _sums
from smilearn.scoring._reader import Settings, SliceReader
from smilearn.utils import _devices
from smilearn.utils._devices import full_float32, resolve_device, working_on

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
N_SLICES = 37


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(InvalidInputError, match="device='nowhere' is not to be had"):
        resolve_device("nowhere")
    assert resolve_device("cpu") == CPU


def precision():
    matmul = torch.backends.cuda.matmul
    if hasattr(matmul, "fp32_precision"):
        return matmul.fp32_precision
    return torch.get_float32_matmul_precision()


@pytest.fixture(params=["allow_tf32", "fp32_precision", "set_float32_matmul_precision"])
def tf32(request):
    """TF32 turned on by one of torch's switches: what `precision` gives by then."""
    matmul, how = torch.backends.cuda.matmul, request.param
    if how == "fp32_precision" and not hasattr(matmul, how):
        # it came with torch 2.9; older ones are served by the switch for all devices
        pytest.skip("this torch has no switch for CUDA alone")
    if how == "set_float32_matmul_precision":
        torch.set_float32_matmul_precision("high")
    else:
        setattr(matmul, how, "tf32" if how == "fp32_precision" else True)
    yield precision()
    torch.set_float32_matmul_precision("highest")
    for backend in (torch.backends.cuda, torch.backends.mkldnn):
        if hasattr(backend.matmul, "fp32_precision"):
            backend.matmul.fp32_precision = "none"


def test_products_on_cuda_are_in_full_float32(tf32):
    with pytest.raises(KeyError), working_on(CUDA):
        assert precision() in ("ieee", "highest") != tf32
        with full_float32():
            pass
        assert precision() != tf32  # the last one to go puts the switch back
        raise KeyError
    assert precision() == tf32
    with working_on(CPU):  # where nothing is to change
        assert precision() == tf32


class Memory:
    """Makes products or look-ups fail, each after it has done its work."""

    def __init__(self, monkeypatch, where="project"):
        self.failures, self.sizes, self._patch = 0, [], monkeypatch.setattr
        self.error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        self.fails = lambda n_slices: n_slices > 5
        if where == "project":
            for module in (_slices, _sums):
                self._replace(module, where, _slices.project, lambda d, *_: d)
        else:
            self._replace(SliceReader, where, SliceReader.add_to, lambda *a: a[2])

    def _replace(self, owner, name, function, block_of):
        def limited(*arguments):
            result = function(*arguments)
            self.sizes.append(len(block_of(*arguments)))
            if self.fails(self.sizes[-1]):
                self.failures += 1
                raise self.error
            return result

        self._patch(owner, name, limited)


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(_devices, "_most_bytes", {})


def problem():
    return wide_and_narrow(0, n_classes=4, size=25)


def fitted(how, X, y, **parameters):
    settled = {"device": "cpu", "dtype": "float64", "outliers": None, "random_state": 0}
    weight = np.linspace(0.5, 1.5, len(y)) if how == "weighted" else None
    settled["pooled"] = how != "psmi"
    scorer = SlicedMIScorer(N_SLICES, **settled | parameters)
    if how == "batches":
        return scorer.fit_batches([(X[:70], y[:70]), (X[70:], y[70:])])
    return scorer.fit(X, y, sample_weight=weight)


def answers(scorer, X, y):
    """What a scorer says of other samples."""
    stages = [*scorer.staged_score_samples(X, y, at=[1, 5, 20, N_SLICES])]
    return [scorer.score_samples(X, y), scorer.predict_proba(X), *stages]


def state_of(scorer):
    values = [getattr(scorer, name) for name in ("scores_", "psmi_", "scores_std_")]
    sums = [scorer.sums_.slice_square, scorer.sums_.low, scorer.sums_.high]
    return [*values, *sums, np.array(scorer.reliability_)]


@cache
def undisturbed(how):
    """A scorer fitted without failures, its state, and what it says of others."""
    X, y = problem()
    scorer = fitted(how, X, y)
    return scorer, state_of(scorer), answers(scorer, X[::3], y[::3])


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


HOW = ["psmi", "pooled", "weighted", "batches"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("where", ["project", "add_to"])
def test_scores_are_those_of_a_run_without_failures(where, how, monkeypatch):
    X, y = problem()
    plain, state, expected = undisturbed(how)
    memory = Memory(monkeypatch, where)
    assert_same(state_of(fitted(how, X, y)), state)
    failures, memory.failures = memory.failures, 0
    _devices._most_bytes.clear()
    assert_same(answers(plain, X[::3], y[::3]), expected)
    assert failures + memory.failures > 0


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 18.04 GB)."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"),
    ],
    ids=["cuda", "mps", "cublas"],
)
def test_the_smaller_block_is_remembered(error, monkeypatch):
    X, y = problem()
    memory = Memory(monkeypatch)
    memory.error = error
    for _ in range(2):
        fitted("pooled", X, y)
        assert memory.failures == 3  # 37; then cut evenly, 13 and 6
    settings = Settings("student", CPU, "float64")
    counts = len(X), len(X) // 3, 100 * len(X)
    blocks = [settings.blocks(0, 18, n_samples)[0] for n_samples in counts]
    assert [block.stop for block in blocks] == [3, 9, 1]


@pytest.mark.parametrize("how", ["pooled", "batches"])
def test_one_slice_too_many_is_an_error_that_says_what_to_do(how, monkeypatch):
    memory = Memory(monkeypatch)
    memory.fails = lambda n_slices: True
    match = r"fit_batches.*device=\"cpu\""
    with pytest.raises(DeviceMemoryError, match=match) as caught:
        fitted(how, *problem())
    assert isinstance(caught.value, MemoryError)
    assert memory.sizes[-1] == 1


def test_other_errors_pass(monkeypatch):
    memory = Memory(monkeypatch)
    memory.error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        fitted("pooled", *problem())
    assert memory.failures == 1
