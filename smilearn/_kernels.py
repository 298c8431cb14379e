"""Compiled loops over projections in the memory of the host (floor 0).

On a GPU, and where numba is not to be had, torch makes the same sums (`_moments`,
`_reader`); the tests hold the two against each other. Work is cut among plain threads,
as numba's own must not be entered from two threads at once.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch

try:
    from numba import njit
except ImportError:  # a Python too new for numba
    njit = None

_TILE = 1024  # samples whose running sums stay in the nearest cache
_LEAST = 100_000  # projections for which a second thread pays


def usable(device):
    """Tell whether the loops of this module can work on a device."""
    return njit is not None and device.type == "cpu"


def moments(Z, ends, shift):
    """Sum of squares and range of each class on each slice; then shift the classes.

    Parameters
    ----------
    Z : ndarray of shape (S, n_samples)
        Projections, sorted by class. The shift is added in place.

    ends : ndarray of shape (n_classes,)
        Column behind the last one of each class; no class is empty.

    shift : ndarray of shape (S, n_classes)
        What to add to the projections of each class.

    Returns
    -------
    square, low, high : ndarray of shape (S, n_classes)
        Of the projections before the shift, float64.
    """
    square = np.empty(shift.shape)
    bits = Z.view(f"i{Z.itemsize}")
    low, high = (np.empty(shift.shape, bits.dtype) for _ in range(2))
    _in_threads(
        _moments,
        len(Z),
        Z.size,
        Z,
        bits,
        ends,
        shift.astype(Z.dtype),
        square,
        low,
        high,
    )
    low, high = (_mirrored(codes).view(Z.dtype).astype(float) for codes in (low, high))
    return square, low, high


def look_up(Z, rows, grid, table, offset, group, total, squares):
    """Read a table for each projection, and add what it says to the sample's sums.

    Parameters
    ----------
    Z : ndarray of shape (S, n_samples)
        Projections.

    rows : ndarray of shape (s,)
        Rows of `Z` that the tables are for.

    grid : tuple
        Origin and spacing of the nodes, each of shape (s,), and their number G. Beyond
        the grid the value at its end is read.

    table : ndarray of shape (s, n_classes * G), complex
        Value at each node, and difference to the next.

    offset : ndarray of shape (n_samples,), int32
        Where the class of each sample begins in a table.

    group : ndarray of shape (s,)
        Row of `total` that the values of each slice are added to.

    total : ndarray of shape (n_groups, n_samples)
        Sums of values.

    squares : ndarray of shape (n_samples,)
        Sums of squared values.
    """
    origin, step, n_nodes = grid
    last = Z.dtype.type(n_nodes - 1)
    columns = rows, origin, 1 / step, last, table, offset, group, total, squares
    _in_threads(_look_up, Z.shape[1], len(rows) * Z.shape[1], Z, *columns)


def _in_threads(loop, length, n_elements, *arguments):
    """Run a loop over range(length), cut among as many threads as torch may use."""
    n_threads = torch.get_num_threads() if n_elements >= _LEAST else 1
    if n_threads == 1:
        loop(*arguments, 0, length)
        return
    cuts = np.linspace(0, length, n_threads + 1).astype(int)
    pool = _pool(n_threads, os.getpid())
    done = [pool.submit(loop, *arguments, a, b) for a, b in pairwise(cuts)]
    for part in done:
        part.result()


@lru_cache(maxsize=4)
def _pool(n_threads, _process):
    """Threads, kept between calls; a forked process must start its own."""
    return ThreadPoolExecutor(n_threads, "smilearn")


def _mirrored(bits):
    """Integers that are in the order of the floats with these bits, and the reverse."""
    return bits ^ ((bits >> (8 * bits.itemsize - 1)) & np.iinfo(bits.dtype).max)


def _compiled(loop):
    if njit is None:
        return loop
    options = {"nogil": True, "fastmath": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(loop)
    except RuntimeError:  # no folder to keep compiled code in
        return njit(**options)(loop)


@_compiled
def _moments(Z, bits, ends, shift, square, low, high, begin, end):
    integer = bits.dtype.type
    turn, mask = integer(8 * bits.itemsize - 1), integer(np.iinfo(bits.dtype).max)
    for s in range(begin, end):
        start = 0
        for c in range(len(ends)):
            z, codes = Z[s][start : ends[c]], bits[s][start : ends[c]]
            # in integers, as a smallest and largest float would not be vectorized
            least, most = integer(mask), integer(~mask)
            total, move = 0.0, shift[s, c]
            for i in range(np.uint64(len(z))):
                code = integer(codes[i] ^ ((codes[i] >> turn) & mask))
                least, most = min(least, code), max(most, code)
                total += np.float64(z[i]) * z[i]
            for i in range(np.uint64(len(z))):
                z[i] += move
            square[s, c], low[s, c], high[s, c] = total, least, most
            start = ends[c]


@_compiled
def _look_up(
    Z, rows, origin, density, last, table, offset, group, total, squares, begin, end
):
    real = Z.dtype.type
    node, beyond = np.empty(_TILE, np.int32), np.empty(_TILE, Z.dtype)
    value = np.empty(_TILE, Z.dtype)
    for start in range(begin, end, _TILE):
        stop = min(start + _TILE, end)
        length = np.uint64(stop - start)
        classes, squared = offset[start:stop], squares[start:stop]
        for s in range(len(rows)):
            z, added, entries = (
                Z[rows[s]][start:stop],
                total[group[s]][start:stop],
                table[s],
            )
            first, scale = origin[s], density[s]
            for i in range(
                length
            ):  # three loops, as only the second cannot be vectorized
                place = min(max((z[i] - first) * scale, real(0)), last)
                node[i] = np.int32(place)
                beyond[i] = place - real(node[i])
                node[i] += classes[i]
            for i in range(length):
                entry = entries[np.uint32(node[i])]
                value[i] = entry.real + beyond[i] * entry.imag
            for i in range(length):
                added[i] += value[i]
                squared[i] += value[i] * value[i]
