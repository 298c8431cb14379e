"""Compiled loops over projections in the memory of the host.

On a GPU, and where numba is not to be had, torch makes the same sums (`_sums`,
`_reader`); the tests hold the two against each other. Numba's own threads are not
used: they must not be entered from two threads at once, as joblib would.
"""

import numpy as np

from smilearn.utils._threads import in_threads

try:
    from numba import config, njit
except ImportError:  # a Python too new for numba
    config = njit = None

_TILE = 1024  # samples whose running sums stay in the nearest cache


def usable(device):
    """Tell whether the loops of this module can work on a device."""
    return njit is not None and not config.DISABLE_JIT and device.type == "cpu"


def moments(Z, ends, shift):
    """Sum of squares and range of each class on each slice; then shift the classes."""
    square = np.empty(shift.shape)
    bits = Z.view(f"i{Z.itemsize}")
    low, high = (np.empty(shift.shape, bits.dtype) for _ in range(2))
    arguments = Z, bits, ends, shift.astype(Z.dtype), square, low, high
    in_threads(lambda *part: _moments(*arguments, *part), len(Z), Z.size)
    low, high = (_mirrored(codes).view(Z.dtype).astype(float) for codes in (low, high))
    return square, low, high


def look_up(Z, rows, grid, table, offset, group, total, squares):
    """Read a table for each projection and column, and add what it says to the sums."""
    origin, step, n_nodes = grid
    last = np.int32(n_nodes - 1)
    arguments = Z, rows, origin, 1 / step, last, table, offset, group, total, squares
    size = offset.size * len(rows)
    in_threads(lambda *part: _look_up(*arguments, *part), Z.shape[1], size)


def _mirrored(bits):
    """Integers that are in the order of the floats with these bits, and the reverse."""
    return bits ^ ((bits >> (8 * bits.itemsize - 1)) & np.iinfo(bits.dtype).max)


def compiled(fastmath):
    """Make a decorator that compiles a loop, if numba is there, and keeps the code."""
    options = {"nogil": True, "fastmath": fastmath, "error_model": "numpy"}

    def decorate(loop):
        if njit is None:
            return loop
        try:
            return njit(cache=True, **options)(loop)
        except RuntimeError:  # no folder to keep compiled code in
            return njit(**options)(loop)

    return decorate


@compiled(fastmath=True)
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


@compiled(fastmath={"nsz", "arcp", "contract"})
def _look_up(
    Z, rows, origin, density, last, table, offset, group, total, squares, begin, end
):
    real = Z.dtype.type
    node, beyond = np.empty(_TILE, np.int32), np.empty(_TILE, Z.dtype)
    value = np.empty(_TILE, Z.dtype)
    for start in range(begin, end, _TILE):
        stop = min(start + _TILE, end)
        length = np.uint64(stop - start)
        for s in range(len(rows)):
            z, entries = Z[rows[s]][start:stop], table[s]
            first, scale = origin[s], density[s]
            # three loops, as only that of the table cannot be vectorized
            for i in range(length):
                place = (z[i] - first) * scale
                held = min(max(place, real(0)), real(last))  # or int32 overflows
                node[i] = min(max(np.int32(held), np.int32(0)), last)  # in any case
                beyond[i] = held - real(node[i])
            for c in range(len(offset)):
                classes = offset[c][start:stop]
                added = total[c][group[s]][start:stop]
                squared = squares[c][start:stop]
                for i in range(length):
                    entry = entries[np.uint32(node[i] + classes[i])]
                    value[i] = entry.real + beyond[i] * entry.imag
                for i in range(length):
                    added[i] += value[i]
                    squared[i] += value[i] * value[i]
