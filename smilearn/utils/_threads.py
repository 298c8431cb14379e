"""Work on the host, cut among threads.

Torch shares long operations out by OpenMP, whose threads stay awake for milliseconds
after each one and so steal the cores from whatever comes next. Here a call works in
plain threads of its own; OpenMP and NumPy's BLAS take one thread each meanwhile.
"""

import ctypes
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

_LEAST = 50_000  # elements for which a second thread pays
_local = threading.local()


class SharedContext:
    """A context that its first user enters and its last one leaves, in any threads."""

    def __init__(self, context):
        self._context, self._users, self._lock = context, 0, threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._leave_after_fork)

    def __call__(self):
        return self

    def __enter__(self):
        with self._lock:
            if not self._users:
                self._entered = self._context()
                self._entered.__enter__()
            self._users += 1

    def __exit__(self, *_):
        with self._lock:
            self._users -= 1
            if not self._users:
                self._entered.__exit__(None, None, None)

    def _leave_after_fork(self):
        users, self._users, self._lock = self._users, 0, threading.Lock()
        if users:
            self._entered.__exit__(None, None, None)


@contextmanager
def own_threads(device):
    """Let :func:`in_threads` share work out, and nothing else, until the end."""
    if device.type != "cpu" or hasattr(_local, "n_threads"):
        yield
        return
    with ExitStack() as stack:
        stack.callback(vars(_local).clear)
        _local.n_threads = torch.get_num_threads()
        stack.enter_context(_one_thread_each())
        stack.enter_context(_one_blas_thread)
        # tensors made here are written to in other threads, where no mode holds
        stack.enter_context(torch.inference_mode(False))
        yield


def in_threads(work, length, n_elements):
    """Call ``work(begin, end)`` on pieces of range(length), side by side."""
    n_threads = getattr(_local, "n_threads", 1)
    n_pieces = min(n_threads, max(length, 1))
    if n_pieces == 1 or n_elements < _LEAST:
        return [work(0, length)]
    ends = np.linspace(0, length, n_pieces + 1).astype(int).tolist()
    pool = _pool(n_threads, os.getpid())
    try:
        pieces = [*map(pool.submit, [work] * n_pieces, ends[:-1], ends[1:])]
    except RuntimeError:  # an interpreter on its way out starts no threads
        return [work(0, length)]
    wait(pieces)
    return [piece.result() for piece in pieces]


@lru_cache(maxsize=1)
def _pool(n_threads, _process):
    """Threads, kept between calls; a forked process must start its own."""
    return ThreadPoolExecutor(n_threads, "smilearn", initializer=_one_thread_each)


def _one_thread_each():
    """Keep OpenMP and torch's MKL to the calling thread, until the result is left."""
    torch.get_num_threads()  # settles torch's own limits in a thread that is new to it
    limits = ExitStack()
    limits.enter_context(_libraries("openmp").limit(limits=1))
    if _mkl() is not None:
        limits.callback(_mkl(), _mkl()(1))
    return limits


@SharedContext
@contextmanager
def _one_blas_thread():
    """Keep NumPy's BLAS, which has one limit for all threads, to those that call it."""
    libraries = _libraries("blas").lib_controllers
    before = [(each, each.get_num_threads()) for each in libraries]
    limited = [(library, number) for library, number in before if number != 1]
    for library, _ in limited:
        library.set_num_threads(1)
    yield
    for library, number in limited:
        library.set_num_threads(number)


@cache
def _libraries(user_api):
    return ThreadpoolController().select(user_api=user_api)


@cache
def _mkl():
    """Setter of the calling thread's limit in torch's MKL, which no tool sees."""
    for library in (Path(torch.__file__).parent / "lib").glob("*torch_cpu.*"):
        with suppress(OSError, AttributeError):  # no library, or one without MKL
            return ctypes.CDLL(str(library)).MKL_Set_Num_Threads_Local
    return None


@contextmanager
def at_most_threads(n_threads):
    """Lower the threads of BLAS and OpenMP in this process; raise those of none."""
    libraries = ThreadpoolController()
    with ExitStack() as limits:
        for library in libraries.info():
            if library["num_threads"] > n_threads:
                selected = libraries.select(filepath=library["filepath"])
                limits.enter_context(selected.limit(limits=n_threads))
        yield
