"""Work cut among threads: every piece once, limits put back, forks survived."""

import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
import threadpoolctl
import torch
from oracles import embeddings, fitted
from threadpoolctl import ThreadpoolController, threadpool_limits

from smilearn import SlicedMIScorer
from smilearn.utils import _threads
from smilearn.utils._threads import SharedContext, in_threads, own_threads

CPU = torch.device("cpu")
MUCH = 10**9


# made once: to make one lets any thread set limits
BLAS = ThreadpoolController().select(user_api="blas").lib_controllers


def blas_threads():
    return {library.get_num_threads() for library in BLAS}


def set_blas(n_threads):
    threadpool_limits(n_threads, user_api="blas")
    controller = threadpoolctl.OpenBLASController
    if hasattr(controller, "clear_controlling_thread"):  # or this thread holds it
        controller.clear_controlling_thread(force=True)


@pytest.fixture
def three_blas_threads():
    """As many threads as no machine has by default."""
    before = max(blas_threads(), default=1)
    set_blas(3)
    yield
    set_blas(before)


@pytest.fixture
def two_openmp_threads():
    """As many as torch's own MKL too."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def three_threads(monkeypatch):
    """More than this machine may have."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)


def shape_of(*piece):
    return piece


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("length", [0, 1, 2, 3, 10, 1001])
def test_every_piece_is_worked_on_once(length):
    with own_threads(CPU):
        pieces = in_threads(lambda begin, end: [*range(begin, end)], length, MUCH)
    assert [i for piece in pieces for i in piece] == list(range(length))
    assert len(pieces) == max(min(length, 3), 1)


@pytest.mark.usefixtures("three_threads")
def test_little_work_other_devices_and_work_outside_are_not_cut():
    assert in_threads(shape_of, 100, MUCH) == [(0, 100)]
    with own_threads(torch.device("meta")):
        assert in_threads(shape_of, 100, MUCH) == [(0, 100)]
    with own_threads(CPU):
        assert in_threads(shape_of, 100, 10) == [(0, 100)]


@pytest.mark.usefixtures("three_threads")
def test_an_error_is_raised_when_all_pieces_have_ended():
    ended = []

    def work(begin, _):
        if begin == 0:
            raise ValueError("the first piece")
        time.sleep(0.2)
        ended.append(begin)

    begin = time.perf_counter()
    with pytest.raises(ValueError, match="the first piece"), own_threads(CPU):
        in_threads(work, 9, MUCH)
    assert sorted(ended) == [3, 6]
    assert time.perf_counter() - begin < 0.39  # side by side
    assert in_threads(shape_of, 9, MUCH) == [(0, 9)]


@pytest.mark.usefixtures("three_threads")
def test_works_on_alone_when_the_interpreter_starts_no_more_threads(monkeypatch):
    closed = ThreadPoolExecutor(1)
    closed.shutdown()
    monkeypatch.setattr(_threads, "_pool", lambda *_: closed)
    with own_threads(CPU):
        assert in_threads(shape_of, 9, MUCH) == [(0, 9)]


def score():
    X, y = embeddings(0, (900, 500, 20), 12)
    return fitted(X.astype(np.float32), y, n_slices=200).scores_


@pytest.mark.usefixtures("three_threads")
def test_many_threads_may_fit_at_once_and_in_inference_mode(monkeypatch):
    monkeypatch.setattr(_threads, "_LEAST", 0)
    expected = score()
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: score(), range(8)):
            np.testing.assert_array_equal(found, expected)
    with torch.inference_mode():  # it holds in one thread; others write to tensors
        np.testing.assert_array_equal(score(), expected)


@pytest.mark.usefixtures("three_blas_threads", "two_openmp_threads")
def test_openmp_and_blas_are_limited_inside_and_free_again():
    with own_threads(CPU):
        with own_threads(CPU):  # a fit inside a fit
            pass
        assert torch.get_num_threads() == 1
        assert blas_threads() == {1}
        inside = in_threads(lambda *_: torch.get_num_threads(), 100, MUCH)
        assert inside == [1, 1]
    with pytest.raises(KeyboardInterrupt), own_threads(CPU):
        raise KeyboardInterrupt
    assert torch.get_num_threads() == 2
    assert blas_threads() == {3}


@contextmanager
def fit_in_another_thread(finish):
    """A fit in another thread, which ends with the block and lives on."""
    begun, leave, left = (threading.Event() for _ in range(3))

    def work():
        with own_threads(CPU):
            begun.set()
            assert leave.wait(60)
        left.set()
        assert finish.wait(60)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert begun.wait(60)
    yield
    leave.set()
    assert left.wait(60)


@pytest.mark.usefixtures("three_blas_threads")
@pytest.mark.parametrize("first_to_end", ["here", "there"])
@pytest.mark.parametrize("first_to_begin", ["here", "there"])
def test_the_last_of_two_fits_sets_blas_free(first_to_begin, first_to_end):
    finish, here, there = threading.Event(), ExitStack(), ExitStack()
    enter = [
        lambda: here.enter_context(own_threads(CPU)),
        lambda: there.enter_context(fit_in_another_thread(finish)),
    ]
    for begin in enter if first_to_begin == "here" else enter[::-1]:
        begin()
    order = [here, there] if first_to_end == "here" else [there, here]
    order[0].close()
    assert blas_threads() == {1}
    order[1].close()
    assert blas_threads() == {3}
    finish.set()


@pytest.mark.usefixtures("three_blas_threads")
def test_limits_of_others_are_left_alone():
    with threadpool_limits(2, user_api="blas"):
        with own_threads(CPU):
            assert blas_threads() == {1}
        assert blas_threads() == {2}
    finish, other = threading.Event(), ExitStack()
    with threadpool_limits(1, user_api="blas"):
        other.enter_context(fit_in_another_thread(finish))
    other.close()  # what they had set and lifted is not put back
    assert blas_threads() == {3}
    finish.set()


def test_a_shared_context_is_left_by_a_forked_process():
    state = []

    @SharedContext
    @contextmanager
    def entered():
        state.append(1)
        yield
        state.pop()

    def child():
        left = state == []
        with entered:
            raise SystemExit(not (left and state == [1]))

    with entered:
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join(60)
    assert process.exitcode == 0
    assert state == []


@pytest.mark.usefixtures("two_openmp_threads")
def test_a_forked_process_fits_though_torch_has_worked_in_parallel(monkeypatch):
    """OpenMP's threads are not there in the child: who waits for them waits on."""
    monkeypatch.setattr(_threads, "_LEAST", 0)
    torch.randn(600, 300) @ torch.randn(300, 600)
    expected = score()

    def child():
        product = torch.randn(600, 300)
        with own_threads(CPU):
            product @ product.T
        raise SystemExit(not np.array_equal(score(), expected))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20)
    process.kill()
    assert process.exitcode == 0


@pytest.mark.usefixtures("three_blas_threads", "two_openmp_threads")
def test_batches_are_made_with_the_threads_of_the_caller():
    seen = []

    class Batches:
        def __iter__(self):
            rng = np.random.default_rng(0)
            for _ in range(3):
                seen.append((torch.get_num_threads(), blas_threads()))
                yield rng.normal(size=(40, 4)), np.arange(40) % 2

    SlicedMIScorer(8, random_state=0).fit_batches(Batches())
    assert len(seen) >= 6
    assert all(found == (2, {3}) for found in seen)
