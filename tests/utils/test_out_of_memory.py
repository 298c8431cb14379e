"""A lack of memory halves the block of slices, and nothing is counted twice."""

from functools import cache

import numpy as np
import pytest
import torch
from oracles import embeddings

from smilearn import SlicedMIScorer
from smilearn.exceptions import DeviceMemoryError
from smilearn.scoring import _engine, _stream
from smilearn.scoring._reader import PmiReader, Settings
from smilearn.utils import _devices

CPU = torch.device("cpu")
N_SLICES = 37
ERRORS = {
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
    "mps": RuntimeError("MPS backend out of memory (MPS allocated: 18.04 GB)."),
    "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"),
}


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(_devices, "_most_bytes", {})


class Memory:
    """Makes products or look-ups fail, each after it has done its work."""

    def __init__(self, monkeypatch, where="project"):
        self.failures, self.sizes, self._patch = 0, [], monkeypatch.setattr
        self.error, self.fails = ERRORS["cuda"], lambda n_slices: False
        if where == "project":
            project = _engine.project
            for module in (_engine, _stream):
                self._replace(
                    module, "project", project, lambda directions, *_: directions
                )
        else:
            self._replace(PmiReader, "add_to", PmiReader.add_to, lambda *a: a[2])

    def _replace(self, owner, name, function, block_of):
        def limited(*arguments):
            result = function(*arguments)
            n_slices = len(block_of(*arguments))
            self.sizes.append(n_slices)
            if self.fails(n_slices):
                self.failures += 1
                raise self.error
            return result

        self._patch(owner, name, limited)

    def holds(self, most):
        self.fails = lambda n_slices: n_slices > most

    def fails_first(self, times):
        self.fails = lambda _: self.failures < times


def scorer_of(**parameters):
    settled = {"device": "cpu", "dtype": "float64", "slicing": "isotropic", "far": None}
    return SlicedMIScorer(N_SLICES, random_state=0, **settled | parameters)


def fitted(how, X, y):
    weight = np.linspace(0.5, 1.5, len(y)) if how == "in folds" else None
    if how == "batches":
        return scorer_of().fit_batches([(X[:70], y[:70]), (X[70:], y[70:])])
    slicing = how if how in ("principal", "whitened", "discriminant") else "isotropic"
    return scorer_of(slicing=slicing).fit(X, y, sample_weight=weight)


def answers(scorer, X, y):
    """What a scorer says of other samples."""
    stages = []
    if scorer.slicing == "isotropic":
        stages = [*scorer.staged_score_samples(X, y, at=[1, 5, 20, N_SLICES])]
    return [scorer.score_samples(X, y), scorer.score_table(X), *stages]


def state_of(scorer):
    names = ("scores_", "scores_std_", "slice_means_", "slice_variances_")
    values = [getattr(scorer, name) for name in names]
    return [*values, scorer.slice_nodes_, np.array(scorer.reliability_)]


HOW = ["isotropic", "in folds", "principal", "whitened", "discriminant", "batches"]


@cache
def undisturbed(how):
    """A run without failures, its state, and what it says of other samples."""
    X, y = embeddings(0)
    scorer = fitted(how, X, y)
    return scorer, state_of(scorer), answers(scorer, X[::3], y[::3])


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("where", ["project", "add_to"])
@pytest.mark.parametrize("limit", [("holds", 5), ("fails_first", 3)], ids=str)
def test_scores_are_those_of_a_run_without_failures(where, how, limit, monkeypatch):
    X, y = embeddings(0)
    plain, state, expected = undisturbed(how)
    memory = Memory(monkeypatch, where)
    getattr(memory, limit[0])(limit[1])
    scorer = fitted(how, X, y)
    assert_same(state_of(scorer), state)
    failures, memory.failures = memory.failures, 0
    _devices._most_bytes.clear()
    assert_same(answers(plain, X[::3], y[::3]), expected)
    assert failures + memory.failures > 0


@pytest.mark.parametrize("where", ["project", "add_to"])
def test_new_samples_are_scored_in_halved_blocks(where, monkeypatch):
    X, y = embeddings(0)
    scorer = scorer_of().fit(X, y)
    expected = answers(scorer, X, y)
    memory = Memory(monkeypatch, where)
    memory.holds(5)
    assert_same(answers(scorer, X, y), expected)
    assert memory.failures == 3  # 37; then cut evenly, 13 and 6; 3 is remembered


def test_float32_scores_are_bit_for_bit_those_of_small_blocks(monkeypatch):
    X, y = embeddings(0)
    options = {"dtype": "float32"}
    expected = scorer_of(block_size=4, **options).fit(X, y)
    memory = Memory(monkeypatch, "add_to")
    memory.holds(5)
    scorer = scorer_of(block_size=16, **options).fit(X, y)
    for one, other in zip(state_of(scorer), state_of(expected), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("error", ERRORS)
def test_the_smaller_block_is_remembered(error, monkeypatch):
    X, y = embeddings(0)
    memory = Memory(monkeypatch)
    memory.error = ERRORS[error]
    memory.holds(5)
    scorer_of().fit(X, y)
    assert memory.failures == 3
    scorer_of().fit(X, y)
    assert memory.failures == 3
    settings = Settings("student", CPU, "float64")
    counts = len(X), len(X) // 3, 100 * len(X)
    blocks = [settings.blocks(0, 18, n_samples)[0] for n_samples in counts]
    assert [block.stop for block in blocks] == [3, 9, 1]


def test_what_a_pass_keeps_is_let_go(monkeypatch):
    """The room for projections would else stay as large as it was."""
    X, y = embeddings(0)
    memory, passes = Memory(monkeypatch), []
    memory.holds(5)
    begin = _engine.TrainingPass.__init__

    def watched(self, *arguments, **options):
        passes.append(self)
        begin(self, *arguments, **options)

    monkeypatch.setattr(_engine.TrainingPass, "__init__", watched)
    scorer_of().fit(X, y)
    assert [len(each._buffer) for each in passes] == [3]


@pytest.mark.parametrize("how", ["isotropic", "whitened", "batches"])
def test_one_slice_too_many_is_an_error_that_says_what_to_do(how, monkeypatch):
    memory = Memory(monkeypatch)
    memory.holds(0)
    with pytest.raises(
        DeviceMemoryError, match=r"fit_batches.*device=\"cpu\""
    ) as caught:
        fitted(how, *embeddings(0))
    assert isinstance(caught.value, MemoryError)
    assert memory.sizes[-1] == 1


def test_other_errors_pass(monkeypatch):
    memory = Memory(monkeypatch)
    memory.error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    memory.holds(5)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        fitted("isotropic", *embeddings(0))
    assert memory.failures == 1
