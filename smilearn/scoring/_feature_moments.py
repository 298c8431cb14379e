"""Mean, spread and largest value of each feature."""

from functools import partial, reduce

import numpy as np
import torch

from smilearn.scoring._standardize import inverse_scale_of
from smilearn.utils._indexing import row_blocks
from smilearn.utils._threads import in_threads

# smallest and largest feature whose squares, and those of its rounding, are in range
_ORDINARY = {torch.float32: (1e-8, 1e14), torch.float64: (1e-100, 1e120)}


def centre_and_scale(X, weight=None):
    """Mean of each feature, and what to multiply a centred feature by."""
    centre, spread, largest = feature_moments(X, weight)
    eps = torch.finfo(X.dtype).eps
    extent = np.stack([spread, largest]).astype(str(X.dtype).removeprefix("torch."))
    return centre, inverse_scale_of(spread, largest, eps), extent


def feature_moments(X, weight=None):
    """Measure each feature, in one pass over X."""

    def moments_of(begin, end):
        pieces = []
        for rows in row_blocks(X[begin:end]):
            own = None if weight is None else weight[begin : begin + len(rows)]
            pieces.append(_piece_moments(rows, own))
            begin += len(rows)
        return reduce(_joined, pieces)

    parts = in_threads(moments_of, len(X), X.numel())
    total, mean, square, unit, largest = reduce(_joined, parts)
    centre = torch.as_tensor(mean * unit).to(X.dtype).double().numpy()
    return centre, np.sqrt(square.clip(0) / total) * unit, largest


def _piece_moments(rows, weight):
    """Moments of a piece, each feature in a unit in which its squares are in range."""
    largest = torch.maximum(rows.amax(0), -rows.amin(0)).cpu().double().numpy()
    smallest, most = _ORDINARY[rows.dtype]
    odd = (largest > most) | ((largest > 0) & (largest < smallest))
    unit = np.where(largest > 0, 1.0, 2.0**-1022)  # of zeros, none that matters
    total, mean, square = _sums(rows, weight)
    if odd.any():
        exponent = np.ceil(np.log2(largest[odd]))
        unit[odd] = 2.0 ** exponent.clip(-1022, 1022)
        scale = torch.as_tensor(1 / unit[odd], device=rows.device)
        some = rows[:, torch.as_tensor(odd, device=rows.device)].double() * scale
        _, mean[odd], square[odd] = _sums(some, weight)
    return total, mean, square, unit, largest


def _sums(rows, weight):
    """Weight, means and sums of squares around them."""
    centre = rows.mean(0)  # some point near all of them
    residual = rows - centre
    if weight is None:
        total, weigh = len(rows), partial(torch.sum, dim=0)
    else:
        total, weigh = float(weight.sum()), partial(torch.matmul, weight.double())
        residual = residual.double()
    rest = weigh(residual).cpu().double().numpy() / (total or 1.0)
    square = weigh(residual.square_()).cpu().double().numpy()
    mean = centre.cpu().double().numpy()
    with np.errstate(over="ignore", invalid="ignore"):  # of features out of range
        return total, mean + rest, square - total * rest**2


def _joined(first, second):
    """Moments of two pieces together, after Chan."""
    unit = np.maximum(first[3], second[3])
    total = first[0] + second[0]
    (mean, square), (its_mean, its_square) = (
        (piece[1] * (piece[3] / unit), piece[2] * (piece[3] / unit) ** 2)
        for piece in (first, second)
    )
    share = second[0] / (total or 1.0)
    apart = its_mean - mean
    square = square + its_square + apart**2 * (first[0] * share)
    return total, mean + apart * share, square, unit, np.maximum(first[4], second[4])
