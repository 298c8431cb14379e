"""Work on the host, cut among threads (floor 0).

Torch and NumPy share long operations out by OpenMP, whose threads stay awake for
milliseconds after each one and so steal the cores from whatever comes next. Here a
call works in plain threads of its own, each of which runs its operations
alone; OpenMP sleeps meanwhile.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, lru_cache
from itertools import pairwise

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

_LEAST = 50_000  # elements for which a second thread pays
_local = threading.local()


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
        with _alone():
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
    n_threads = min(getattr(_local, "n_threads", 1), max(length, 1))
    if n_threads == 1 or n_elements < _LEAST:
        return [work(0, length)]
    cuts = np.linspace(0, length, n_threads + 1).astype(int)
    pool = _pool(n_threads, os.getpid())
    pieces = [pool.submit(work, begin, end) for begin, end in pairwise(cuts)]
    return [piece.result() for piece in pieces]


@lru_cache(maxsize=4)
def _pool(n_threads, _process):
    """Threads, kept between calls; a forked process must start its own."""
    return ThreadPoolExecutor(n_threads, "smilearn", initializer=_alone)


def _alone():
    """Keep OpenMP from sharing out what the calling thread does, until it is closed."""
    torch.get_num_threads()  # settles torch's own limit in a thread that is new to it
    return _openmp().limit(limits=1, user_api="openmp")


@cache
def _openmp():
    return ThreadpoolController()
