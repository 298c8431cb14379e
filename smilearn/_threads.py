"""Work on the host, cut among threads (floor 0).

Torch shares long operations out by OpenMP, whose threads stay awake for milliseconds
after each one and so steal the cores from whatever comes next. Here a call works in
plain threads of its own, each of which runs its operations alone; OpenMP sleeps
meanwhile, and so do the threads of NumPy's BLAS.
"""

import ctypes
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

_LEAST = 50_000  # elements for which a second thread pays
_local = threading.local()
_lock = threading.Lock()
_blas = {"users": 0, "limit": nullcontext()}


@contextmanager
def own_threads(device):
    """Let :func:`in_threads` share work out, and nothing else, until the end.

    Parameters
    ----------
    device : torch.device
        Where the work is done; elsewhere than on the host this changes nothing.
    """
    if device.type != "cpu" or hasattr(_local, "n_threads"):
        yield
        return
    _local.n_threads = torch.get_num_threads()
    try:
        # tensors made here are written to in other threads, where no mode holds
        with _alone(), _blas_alone(), torch.inference_mode(False):
            yield
    finally:
        del _local.n_threads


def in_threads(work, length, n_elements):
    """Call ``work(begin, end)`` on pieces of range(length), side by side.

    Parameters
    ----------
    work : callable
        What to do; it must release the interpreter's lock to gain anything.

    length : int
        What is cut up.

    n_elements : int
        How much work there is; a little is done at once, in one piece.

    Returns
    -------
    results : list
        What each piece returned.
    """
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
    """Keep NumPy's BLAS to the thread that calls it, until the end.

    Its limit belongs to the whole process, so the first to come sets it and the last
    to go puts back what was there; both in a thread kept for that, as threadpoolctl
    lets no thread change what another one has set.
    """
    with _lock:
        if not _blas["users"]:
            _blas["limit"] = _keep(_limited)
        _blas["users"] += 1
    try:
        yield
    finally:
        with _lock:
            _blas["users"] -= 1
            if not _blas["users"]:
                _keep(_blas["limit"].__exit__, None, None, None)


def _keep(work, *arguments):
    """Work in the thread that sets limits, if any thread can be had."""
    with suppress(RuntimeError):  # an interpreter on its way out
        return _keeper(os.getpid()).submit(work, *arguments).result()
    return nullcontext()


@lru_cache(maxsize=1)
def _keeper(_process):
    return ThreadPoolExecutor(1, "smilearn-limits")


def _limited():
    return _libraries("blas").limit(limits=1).__enter__()


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
