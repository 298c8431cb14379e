"""Compiled loops over projections in the memory of the host.

On a GPU, and where numba is not to be had, torch makes the same sums (`_moments`,
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
    """Read a table for each projection, and add what it says to the sample's sums."""
    origin, step, n_nodes = grid
    last = np.int32(n_nodes - 1)
    arguments = Z, rows, origin, 1 / step, last, table, offset, group, total, squares
    n_samples = Z.shape[1]
    in_threads(
        lambda *part: _look_up(*arguments, *part), n_samples, n_samples * len(rows)
    )


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
                place = (z[i] - first) * scale
                held = min(max(place, real(0)), real(last))  # or int32 overflows
                node[i] = min(max(np.int32(held), np.int32(0)), last)  # in any case
                beyond[i] = held - real(node[i])
                node[i] += classes[i]
            for i in range(length):
                entry = entries[np.uint32(node[i])]
                value[i] = entry.real + beyond[i] * entry.imag
            for i in range(length):
                added[i] += value[i]
                squared[i] += value[i] * value[i]


_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
_LOST = 1e-280  # a sum of exponentials below it has lost terms
_SLICE_NODES = 10  # a node costs as much as this many look-ups
# not to regroup sums: what was split to be exact must stay split
_elementwise = compiled({"nnan", "nsz", "arcp", "contract"})


def tables(student, coefficients, log_prior, grid, left_out):
    """Tables of some slices: value at each node, and difference to the next."""
    origin, step, n_nodes = grid
    shape = *coefficients.shape[:2], n_nodes
    table = np.empty((*shape, 2), origin.dtype)
    arguments = student, coefficients, log_prior, origin, step, table, left_out
    cost = _SLICE_NODES * table.size
    in_threads(lambda *part: _tables(*arguments, *part), len(table), cost)
    return table.view(np.result_type(origin.dtype, np.complex64))[..., 0]


@_elementwise
def _log(x):
    """Natural logarithm of a positive normal number."""
    bits = np.float64(x).view(np.int64)
    exponent = np.float64((bits >> 52) - 1023)
    fraction = np.int64((bits & 0x000FFFFFFFFFFFFF) | 0x3FF0000000000000)
    fraction = fraction.view(np.float64)  # in [1, 2)
    large = fraction > 1.4142135623730951
    fraction = 0.5 * fraction if large else fraction
    exponent = exponent + 1.0 if large else exponent
    s = (fraction - 1.0) / (fraction + 1.0)
    q = s * s  # log((1 + s) / (1 - s)) is 2 s (1 + q / 3 + q^2 / 5 + ...)
    series = 1 / 21
    series = series * q + 1 / 19
    series = series * q + 1 / 17
    series = series * q + 1 / 15
    series = series * q + 1 / 13
    series = series * q + 1 / 11
    series = series * q + 1 / 9
    series = series * q + 1 / 7
    series = series * q + 1 / 5
    series = series * q + 1 / 3
    small = exponent * _LN2_LOW + 2 * s * (series * q)
    return exponent * _LN2_HIGH + (2 * s + small)


@_elementwise
def _exp(x):
    """Exponential of a number that is not above 0; 0 below -700."""
    held = max(x, -700.0)
    power = np.floor(held * 1.4426950408889634 + 0.5)
    r = (held - power * _LN2_HIGH) - power * _LN2_LOW
    series = 1 / 479001600
    series = series * r + 1 / 39916800
    series = series * r + 1 / 3628800
    series = series * r + 1 / 362880
    series = series * r + 1 / 40320
    series = series * r + 1 / 5040
    series = series * r + 1 / 720
    series = series * r + 1 / 120
    series = series * r + 1 / 24
    series = series * r + 1 / 6
    series = series * r + 1 / 2
    series = series * r + 1.0
    series = series * r + 1.0
    scaled = series * np.int64((np.int64(power) + 1023) << 52).view(np.float64)
    return scaled if x > -700.0 else 0.0


@_elementwise
def _log_density(student, z, coefficients, log_density):
    """`log_density` of the densities, from their coefficients."""
    centre, scale, power, narrow = coefficients[0:4]
    if student:
        for g in range(len(z)):
            square = (z[g] - centre) * (z[g] - centre)
            log_density[g] = scale + power * _log(1.0 + narrow * square)
    else:
        for g in range(len(z)):
            log_density[g] = scale + power * (z[g] - centre) * (z[g] - centre)


@_elementwise
def _log_left_out(student, z, coefficients, log_density):
    """`log_left_out` of the densities, from their coefficients."""
    centre, scale, power, variance, share, limit = coefficients[4:10]
    if student:
        for g in range(len(z)):
            lost = share * (z[g] - centre) * (z[g] - centre)
            log_density[g] = scale + power * _log(1.0 - min(lost, limit))
    else:
        for g in range(len(z)):
            square = (z[g] - centre) * (z[g] - centre)
            spared = max(variance - share * square, limit)
            log_density[g] = scale - 0.5 * (power * square / spared + _log(spared))


@_elementwise
def _raise_top(log_joint, top):
    for g in range(len(top)):
        top[g] = max(top[g], log_joint[g])


@_elementwise
def _count_in(log_joint, top, first, rest):
    """Turn log joint densities into shares of the largest; sum those that are less."""
    for g in range(len(top)):
        tie = 1.0 if log_joint[g] == top[g] else 0.0
        first[g] += tie
        log_joint[g] = _exp(log_joint[g] - top[g])
        rest[g] += log_joint[g] - tie


@_elementwise
def _pmi_left_out(share, top, first, rest, own, offset, pmi):
    """As in `_tables.class_pmi`: nothing cancels, and none is above `offset`."""
    for g in range(len(pmi)):
        others = rest[g] + (first[g] - share[g])
        pmi[g] = _log(max(others, _LOST)) + top[g] - own[g]
    for g in range(len(pmi)):
        away = pmi[g]
        pmi[g] = offset - max(away, 0.0) - _log(1.0 + _exp(-abs(away)))


@_elementwise
def _sum_lost(student, z, coefficients, share, rest, first, own, c, offset, pmi):
    """Where the other classes are too small for units of the largest, sum them anew."""
    log_density = np.empty(1)
    for g in range(len(z)):
        if rest[g] + (first[g] - share[g]) >= _LOST:
            continue
        others, total = -1e300, 0.0
        for sum_up in (False, True):
            for k in range(len(coefficients)):
                if k != c:
                    _log_density(student, z[g : g + 1], coefficients[k], log_density)
                    others = others if sum_up else max(others, log_density[0])
                    total += _exp(log_density[0] - others) if sum_up else 0.0
        away = others + _log(max(total, 1.0)) - own[g]
        pmi[g] = offset - max(away, 0.0) - _log(1.0 + _exp(-abs(away)))


@_elementwise
def _pmi(log_density, top, first, rest, offset, pmi):
    for g in range(len(pmi)):
        log_posterior = (log_density[g] - top[g]) - _log(rest[g] + first[g])
        pmi[g] = min(log_posterior, 0.0) + offset


@_elementwise
def _write(pmi, most, table):
    """Move the nodes by a twelfth of the second difference, as `_tables.tabulate`."""
    last = len(pmi) - 1
    table[0, 0], table[last, 0] = pmi[0], pmi[last]
    for g in range(1, last):
        moved = pmi[g] + (2 * pmi[g] - pmi[g - 1] - pmi[g + 1]) * (1 / 12)
        table[g, 0] = min(moved, most)  # a sharp bend would go beyond
    for g in range(last):
        table[g, 1] = table[g + 1, 0] - table[g, 0]
    table[last, 1] = table[last - 1, 1]


@_elementwise
def _tables(
    student, coefficients, log_prior, origin, step, table, left_out, begin, end
):
    n_classes, n_nodes = table.shape[1], table.shape[2]
    share, pmi = np.empty((n_classes, n_nodes)), np.empty(n_nodes)
    z, own, top = np.empty(n_nodes), np.empty(n_nodes), np.empty(n_nodes)
    first, rest = np.empty(n_nodes), np.empty(n_nodes)
    for s in range(begin, end):
        for g in range(n_nodes):
            z[g] = np.float64(origin[s]) + np.float64(step[s]) * g
        top[:], first[:], rest[:] = -1e300, 0.0, 0.0
        for c in range(n_classes):
            _log_density(student, z, coefficients[s, c], share[c])
            _raise_top(share[c], top)
        for c in range(n_classes):
            _count_in(share[c], top, first, rest)
        lost = (rest + (first - 1.0)).min() < _LOST
        for c in range(n_classes):
            a = coefficients[s, c]
            if left_out:
                _log_left_out(student, z, a, own)
                _pmi_left_out(share[c], top, first, rest, own, -log_prior[c], pmi)
                if lost:
                    rows, cap = coefficients[s], -log_prior[c]
                    _sum_lost(student, z, rows, share[c], rest, first, own, c, cap, pmi)
            else:
                _log_density(student, z, a, own)
                _pmi(own, top, first, rest, -log_prior[c], pmi)
            _write(pmi, -log_prior[c], table[s, c])
