"""Embeddings centred and scaled."""

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
        some = X[begin:end] if order is None else X
        rows_of = None if order is None else order[begin:end]
        for rows in row_blocks(some, rows_of):
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
