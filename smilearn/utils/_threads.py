"""Work on the host, cut among threads.

Torch shares long operations out by OpenMP, whose threads stay awake for milliseconds
after each one and so steal the cores from whatever comes next. Here a call works in
plain threads of its own, each of which runs its operations alone; OpenMP sleeps
meanwhile, and so do the threads of NumPy's BLAS.
"""

import ctypes
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from weakref import WeakSet

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

_LEAST = 50_000  # elements for which a second thread pays
_local = threading.local()


@contextmanager
def own_threads(device):
    """Let :func:`in_threads` share work out, and nothing else, until the end."""
    if device.type != "cpu" or hasattr(_local, "n_threads"):
        yield
        return
    _local.n_threads = torch.get_num_threads()
    try:
        with ExitStack() as _local.limits:
            _local.limits.enter_context(_limits())
            yield
    finally:
        vars(_local).clear()  # wherever an interrupt came


def from_caller(items):
    """Go through somebody else's iterable with the threads that they had before."""
    iterator, end = iter(items), object()
    while (item := _next(iterator, end)) is not end:
        yield item


def _next(iterator, end):
    if not hasattr(_local, "limits"):
        return next(iterator, end)
    n_threads, limits = _local.n_threads, _local.limits
    del _local.n_threads, _local.limits  # a fit in there is a fit of its own
    limits.close()
    try:
        return next(iterator, end)
    finally:
        limits.enter_context(_limits())
        _local.n_threads, _local.limits = n_threads, limits


@contextmanager
def _limits():
    # tensors made here are written to in other threads, where no mode holds
    with _alone(), _blas_alone(), torch.inference_mode(False):
        yield


def in_threads(work, length, n_elements):
    """Call ``work(begin, end)`` on pieces of range(length), side by side."""
    n_threads = getattr(_local, "n_threads", 1)
    n_pieces = min(n_threads, max(length, 1))
    if n_pieces == 1 or n_elements < _LEAST:
        return [work(0, length)]
    first, *others = pairwise(np.linspace(0, length, n_pieces + 1).astype(int).tolist())
    handed_out = []
    try:
        handed_out = _hand_out(work, others, n_threads)
        own = [work(*piece) for piece in (first, *others[len(handed_out) :])]
    finally:
        wait(handed_out)
    return [own[0], *(piece.result() for piece in handed_out), *own[1:]]


def _hand_out(work, pieces, n_threads):
    """Give pieces to other threads, as long as there are any to be had."""
    pool, handed_out = _pool(n_threads, os.getpid()), []
    with suppress(RuntimeError):  # an interpreter on its way out starts no threads
        for piece in pieces:
            handed_out.append(pool.submit(work, *piece))
    return handed_out


@lru_cache(maxsize=1)
def _pool(n_threads, _process):
    """Threads, kept between calls; a forked process must start its own."""
    return ThreadPoolExecutor(n_threads, "smilearn", initializer=_alone)


def _alone():
    """Keep the calling thread from sharing out what it does, until the result ends."""
    torch.get_num_threads()  # settles torch's own limits in a thread that is new to it
    limits = ExitStack()
    limits.enter_context(_libraries("openmp").limit(limits=1))
    limit_mkl = _mkl()
    if limit_mkl is not None:
        limits.callback(limit_mkl, limit_mkl(1))
    return limits


@contextmanager
def _blas_alone():
    """Keep NumPy's BLAS to the thread that calls it, until the end."""
    user = _User()
    try:
        _keep(_LIMIT.enter, user)
        yield
    finally:  # even if an interrupt came while the limit was being set
        _keep(_LIMIT.leave, user)


class _User:
    """Somebody who needs the limit of BLAS."""


class _Limit:
    """The limit of BLAS and its users; entered and left in one thread."""

    def __init__(self):
        self.users, self.limiter = WeakSet(), None

    def enter(self, user):
        self.users.add(user)
        pools = _libraries("blas")
        if self.limiter is None and any(p["num_threads"] != 1 for p in pools.info()):
            self.limiter = pools.limit(limits=1).__enter__()

    def leave(self, user):
        self.users.discard(user)
        if self.limiter is not None and not self.users:
            limiter, self.limiter = self.limiter, None
            limiter.__exit__(None, None, None)

    def lift(self):
        """After a fork there are no users, but what they have set."""
        limiter = self.limiter
        self.__init__()
        if limiter is not None:
            limiter.__exit__(None, None, None)


_LIMIT = _Limit()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_LIMIT.lift)


def _keep(work, *arguments):
    """Work in the thread that sets limits, if any thread can be had."""
    with suppress(RuntimeError):  # an interpreter on its way out
        _keeper(os.getpid()).submit(work, *arguments).result()


@lru_cache(maxsize=1)
def _keeper(_process):
    return ThreadPoolExecutor(1, "smilearn-limits")


@cache
def _libraries(user_api):
    """Of one kind alone: a limiter puts back all that it knows of."""
    return ThreadpoolController().select(user_api=user_api)


@cache
def _mkl():
    """Setter of the calling thread's limit in torch's own MKL, which no tool sees."""
    for library in (Path(torch.__file__).parent / "lib").glob("*torch_cpu.*"):
        try:
            return ctypes.CDLL(str(library)).MKL_Set_Num_Threads_Local
        except (OSError, AttributeError):  # no library, or one built without MKL
            continue
    return None
