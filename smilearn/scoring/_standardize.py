"""Embeddings centred and scaled."""

from functools import partial, reduce

import numpy as np
import torch

from smilearn.utils._indexing import row_blocks
from smilearn.utils._threads import in_threads

# A sample farther out than this many root-mean-squares is moved in to it: in float32
# its square would overflow, and nothing in the score tells such distances apart.
FARTHEST = 1e6


def inverse_scale_of(spread, largest, eps):
    """One over the root mean square of all centred entries, for each feature."""
    informative = spread > 10 * eps * largest
    inverse = np.zeros(len(spread))
    if informative.any():
        widest = spread[informative].max()
        mean_square = np.square(spread[informative] / widest).sum() / len(spread)
        scale = np.sqrt(mean_square) * widest
        inverse[informative] = 1 / max(scale, np.finfo(float).tiny)
    return inverse


def standardize(X, centre, inverse_scale, dtype, order=None, largest=None):
    """Centre, scale to unit root mean square, and move in the farthest samples."""
    result = torch.empty(X.shape, dtype=dtype, device=X.device)
    near = largest is not None and _all_near(centre, inverse_scale, largest)

    def fill(begin, end):
        piece = X[begin:end] if order is None else X
        rows_of = None if order is None else order[begin:end]
        for rows in row_blocks(piece, rows_of):
            into = result[begin : begin + len(rows)]
            if near:
                into.copy_(_shifted(rows, centre, inverse_scale))
            else:
                into.copy_(_standardized(rows, centre, inverse_scale))
            begin += len(rows)

    in_threads(fill, len(X), X.numel())
    return result


def centre_classes(X, segments, weight=None):
    """Subtract the mean of its class from each row."""
    shape = len(segments), X.shape[1]
    means = torch.empty(shape, dtype=torch.float64, device=X.device)

    if weight is not None:
        weight = torch.as_tensor(weight, device=X.device)

    def centre(begin, end):
        for mean, rows in zip(means[:, begin:end], segments, strict=True):
            own = X[rows, begin:end]
            if weight is None:
                total = sum(block.sum(0).double() for block in row_blocks(own))
                mean[:] = total / len(own)
            else:
                mean[:] = weight[rows] @ own.double() / weight[rows].sum()
            own -= mean.to(own.dtype)

    in_threads(centre, X.shape[1], X.numel())
    return means.cpu().numpy()


def _standardized(rows, centre, inverse_scale):
    """``(rows - centre) * inverse_scale``, and the farthest samples moved in."""
    block = _shifted(rows, centre, inverse_scale)
    # over rows first, as torch vectorizes that; both carry NaN and infinity along
    extent = torch.maximum(block.amax(0), -block.amin(0)).amax()
    if not extent.isfinite():
        with np.errstate(over="ignore"):  # scaled first, as differences overflow sooner
            block = rows.double().cpu().numpy() * inverse_scale - centre * inverse_scale
        block = torch.as_tensor(np.nan_to_num(block).clip(-1e30, 1e30), device="cpu")
        block, extent = block.to(rows.device), block.abs().amax()
    if extent > FARTHEST:
        farthest = torch.maximum(block.amax(1), -block.amin(1)) / FARTHEST
        block /= farthest.clamp_min_(1)[:, None]
    return block


def _shifted(rows, centre, inverse_scale):
    shift, factor = (
        torch.as_tensor(values, dtype=rows.dtype, device=rows.device)
        for values in (centre, inverse_scale)
    )
    return torch.sub(rows, shift).mul_(factor)


def _all_near(centre, inverse_scale, largest):
    """Whether features of that size are near enough to be standardized as they are."""
    with np.errstate(over="ignore", invalid="ignore"):
        extent = ((largest + np.abs(centre)) * inverse_scale).max()
    return bool(extent < FARTHEST and max(inverse_scale.max(), largest.max()) < 1e30)


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
        piece = rows[:, torch.as_tensor(odd, device=rows.device)].double() * scale
        _, mean[odd], square[odd] = _sums(piece, weight)
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
    correction = weigh(residual).cpu().double().numpy() / (total or 1.0)
    square = weigh(residual.square_()).cpu().double().numpy()
    mean = centre.cpu().double().numpy()
    with np.errstate(over="ignore", invalid="ignore"):  # of features out of range
        return total, mean + correction, square - total * correction**2


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
