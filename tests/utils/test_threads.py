"""Work cut among threads: every piece once, OpenMP asleep, forks and nests survived."""

import multiprocessing
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from oracles import embeddings, fitted

from smilearn.utils import _threads
from smilearn.utils._threads import in_threads, own_threads

CPU = torch.device("cpu")
MUCH = 10**9


@pytest.fixture(autouse=True)
def three_threads(monkeypatch):
    """More than this machine may have."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 10, 1001])
def test_every_piece_is_worked_on_once(length):
    with own_threads(CPU):
        pieces = in_threads(lambda begin, end: [*range(begin, end)], length, MUCH)
    assert [i for piece in pieces for i in piece] == list(range(length))
    assert len(pieces) == max(min(length, 3), 1)


def test_a_little_work_is_done_in_one_piece():
    with own_threads(CPU):
        assert in_threads(lambda *piece: piece, 100, 10) == [(0, 100)]


def test_outside_the_context_work_is_not_cut():
    assert in_threads(lambda *piece: piece, 100, MUCH) == [(0, 100)]


def test_openmp_is_limited_inside_and_free_again_afterwards(monkeypatch):
    monkeypatch.undo()
    before = torch.get_num_threads()
    with own_threads(CPU):
        assert torch.get_num_threads() == 1
        with own_threads(CPU):  # a fit inside a fit
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
        inside = in_threads(lambda *_: torch.get_num_threads(), 100, MUCH)
        assert set(inside) == {1}
        assert len(inside) == before
    assert torch.get_num_threads() == before


def test_an_error_in_a_piece_is_raised_and_leaves_nothing_behind():
    def work(begin, _):
        raise ValueError(f"piece {begin}")

    with pytest.raises(ValueError, match="piece 0"), own_threads(CPU):
        in_threads(work, 9, MUCH)
    assert in_threads(lambda *piece: piece, 9, MUCH) == [(0, 9)]


def test_pieces_run_side_by_side():
    with own_threads(CPU):
        begin = time.perf_counter()
        in_threads(lambda *_: time.sleep(0.3), 3, MUCH)
    assert time.perf_counter() - begin < 0.8


def test_on_another_device_nothing_changes():
    with own_threads(torch.device("meta")):
        assert in_threads(lambda *piece: piece, 100, MUCH) == [(0, 100)]


def _cut():
    with own_threads(CPU):
        return in_threads(lambda begin, end: end - begin, 100, MUCH)


def _cut_in_child():
    raise SystemExit(0 if sum(_cut()) == 100 else 1)


def test_a_forked_process_starts_its_own_threads():
    assert sum(_cut()) == 100
    child = multiprocessing.get_context("fork").Process(target=_cut_in_child)
    child.start()
    child.join(60)
    assert child.exitcode == 0


def score():
    X, y = embeddings(0, (900, 500, 20), 12)
    return fitted(X.astype(np.float32), y, n_slices=200).scores_


def test_many_threads_may_fit_at_once(monkeypatch):
    monkeypatch.setattr(_threads, "_LEAST", 0)
    expected = score()
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: score(), range(8)):
            np.testing.assert_array_equal(found, expected)


def test_fits_inside_inference_mode():
    """The mode holds in one thread only; tensors are written to in others."""
    expected = score()
    with torch.inference_mode():
        np.testing.assert_array_equal(score(), expected)


def test_an_error_is_raised_only_when_all_pieces_have_ended():
    ended = []

    def work(begin, _):
        if begin == 0:
            raise ValueError("the first piece")
        time.sleep(0.2)
        ended.append(begin)

    with pytest.raises(ValueError, match="the first piece"), own_threads(CPU):
        in_threads(work, 9, MUCH)
    assert sorted(ended) == [3, 6]


def test_works_on_alone_when_the_interpreter_starts_no_more_threads(monkeypatch):
    class Closed:
        def submit(self, *_):
            raise RuntimeError("cannot schedule new futures after shutdown")

    monkeypatch.setattr(_threads, "_pool", lambda *_: Closed())
    with own_threads(CPU):
        pieces = in_threads(lambda *piece: piece, 9, MUCH)
    assert pieces == [(0, 3), (3, 6), (6, 9)]


_FORK = """
import multiprocessing, sys, numpy as np, torch
from smilearn import SlicedMIScorer
torch.set_num_threads(2)
torch.randn(3000, 300) @ torch.randn(300, 3000)
rng = np.random.default_rng(0)
X, y = rng.normal(size=(2000, 40)).astype(np.float32), rng.integers(0, 3, 2000)
SlicedMIScorer(64, random_state=0).fit(X, y)
def child():
    SlicedMIScorer(64, random_state=0).fit(X, y)
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join(60)
print("exit", process.exitcode)
process.kill()
"""


def test_a_forked_process_fits_after_torch_has_worked_in_parallel():
    done = subprocess.run([sys.executable, "-c", _FORK], capture_output=True, text=True)
    assert done.stdout.strip() == "exit 0", done.stderr
