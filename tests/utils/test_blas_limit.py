"""NumPy's BLAS works alone during a fit, and is free again whatever happens."""

import gc
import multiprocessing
import os
import threading
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
import threadpoolctl
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from smilearn import SlicedMIScorer
from smilearn.utils import _threads
from smilearn.utils._threads import from_caller, own_threads

CPU = torch.device("cpu")


def threads_of(kind):
    found = threadpool_info()
    return {pool["num_threads"] for pool in found if pool["user_api"] == kind}


def blas_threads():
    return threads_of("blas")


@pytest.fixture(autouse=True)
def three_threads():
    """As many threads as no machine has by default, and nobody who holds a limit."""
    before = max(blas_threads(), default=1)
    _set(3)
    yield
    _set(before)


def _set(n_threads):
    threadpool_limits(n_threads, user_api="blas")
    controller = threadpoolctl.OpenBLASController
    if hasattr(controller, "clear_controlling_thread"):  # or this thread holds it
        controller.clear_controlling_thread(force=True)


@contextmanager
def other_fit(alive=None):
    """A fit in another thread, which ends with the block and lives on."""
    begun, leave, gone = (threading.Event() for _ in range(3))

    def work():
        with own_threads(CPU):
            begun.set()
            assert leave.wait(60)
        gone.set()
        assert finish.wait(60)

    finish = threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(60)
    try:
        yield
    finally:
        leave.set()
        assert gone.wait(60)
        if alive is not None:
            alive.append((thread, finish))
        else:
            finish.set()
            thread.join()


def test_a_fit_works_alone():
    assert blas_threads() == {3}
    with own_threads(CPU):
        assert blas_threads() == {1}
    assert blas_threads() == {3}


def test_the_last_of_two_fits_sets_it_free():
    alive = []
    with other_fit():
        with own_threads(CPU):
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == {3}
    with own_threads(CPU):
        with other_fit(alive):
            assert blas_threads() == {1}
        assert blas_threads() == {1}  # the other thread is there still
    assert blas_threads() == {3}
    for thread, finish in alive:
        finish.set()
        thread.join()


def test_the_one_who_ends_last_need_not_have_begun():
    """And the thread of the one who has begun is there still."""
    alive, other = [], ExitStack()
    other.enter_context(other_fit(alive))
    with own_threads(CPU):
        other.close()
        assert blas_threads() == {1}
    assert blas_threads() == {3}
    for thread, finish in alive:
        finish.set()
        thread.join()


def test_what_somebody_else_has_set_and_lifted_is_not_put_back():
    theirs, other = threadpool_limits(1, user_api="blas"), ExitStack()
    with theirs:
        other.enter_context(other_fit())
    assert blas_threads() == {3}
    other.close()
    assert blas_threads() == {3}


@pytest.mark.parametrize("theirs", [1, 2])
def test_somebody_elses_limit_is_left_alone(theirs):
    with threadpool_limits(theirs, user_api="blas"), own_threads(CPU):
        assert blas_threads() <= {1, theirs}
    assert blas_threads() == {3}


def test_openmp_of_other_threads_is_left_alone():
    """Of one kind alone: lifting a limit must not put back what OpenMP had."""
    with own_threads(CPU):
        with other_fit():
            pass
        assert torch.get_num_threads() == 1


def test_who_was_interrupted_on_leaving_does_not_hold_it(monkeypatch):
    keep = _threads._keep

    def interrupted(work, user):
        if work == _threads._LIMIT.leave:
            raise KeyboardInterrupt
        keep(work, user)

    monkeypatch.setattr(_threads, "_keep", interrupted)
    with pytest.raises(KeyboardInterrupt), own_threads(CPU):
        pass
    monkeypatch.undo()
    gc.collect()  # the frames that the error went through
    assert blas_threads() == {1}
    with own_threads(CPU):  # whoever comes next lifts it
        pass
    assert blas_threads() == {3}


def test_who_is_interrupted_while_it_is_set_leaves(monkeypatch):
    keep = _threads._keep

    def interrupted(work, user):
        keep(work, user)
        if work == _threads._LIMIT.enter:
            raise KeyboardInterrupt

    monkeypatch.setattr(_threads, "_keep", interrupted)
    with pytest.raises(KeyboardInterrupt), own_threads(CPU):
        pass
    assert blas_threads() == {3}


def _child():
    found = blas_threads() == {3} and not _threads._LIMIT.users
    rng = np.random.default_rng(0)
    SlicedMIScorer(8, random_state=0).fit(rng.normal(size=(60, 4)), np.arange(60) % 2)
    os._exit(0 if found and blas_threads() == {3} else 1)


def test_a_process_forked_in_the_middle_of_a_fit_has_no_limit():
    with own_threads(CPU):
        child = multiprocessing.get_context("fork").Process(target=_child)
        child.start()
        child.join(60)
    assert child.exitcode == 0


def test_batches_are_made_with_the_threads_of_the_caller():
    before, seen = torch.get_num_threads(), []

    def batches():
        rng = np.random.default_rng(0)
        for _ in range(3):
            seen.append((torch.get_num_threads(), blas_threads()))
            yield rng.normal(size=(40, 4)), np.arange(40) % 2

    class Again:
        def __iter__(self):
            return batches()

    SlicedMIScorer(8, slicing="isotropic", random_state=0).fit_batches(Again())
    assert len(seen) >= 6
    assert all(found == (before, {3}) for found in seen)


def test_between_items_of_the_caller_the_limits_are_back():
    with own_threads(CPU):
        for _ in from_caller([1, 2]):
            assert torch.get_num_threads() == 1
            assert blas_threads() == {1}
    assert blas_threads() == {3}


def test_an_error_of_the_caller_leaves_nothing_behind():
    def items():
        yield 1
        raise ValueError("theirs")

    with pytest.raises(ValueError, match="theirs"), own_threads(CPU):
        for _ in from_caller(items()):
            pass
    assert blas_threads() == {3}
    assert not hasattr(_threads._local, "limits")
