"""Mean, spread and largest value of each feature (floor 2)."""

from functools import reduce

import numpy as np
import torch

from smilearn._rows import row_blocks
from smilearn._standardize import inverse_scale_of, standardized_piece
from smilearn._threads import in_threads

# smallest and largest feature whose squares, and those of its rounding, are in range
_ORDINARY = {torch.float32: (1e-8, 1e14), torch.float64: (1e-100, 1e120)}


def centre_and_scale(X, weight=None):
    """Mean of each feature, and what to multiply a centred feature by.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features), float32 or float64
        Embeddings.

    weight : Tensor of shape (n_samples,), default=None
        Weight of each sample; None weighs all alike.

    Returns
    -------
    centre, inverse_scale : ndarray of shape (n_features,)
        From :func:`feature_moments` and :func:`inverse_scale_of`.

    extent : ndarray of shape (2, n_features)
        Spread and largest value of each feature, in the precision of `X`.
    """
    centre, spread, largest = feature_moments(X, weight)
    eps = torch.finfo(X.dtype).eps
    extent = np.stack([spread, largest]).astype(str(X.dtype).removeprefix("torch."))
    return centre, inverse_scale_of(spread, largest, eps), extent


def feature_moments(X, weight=None):
    """Measure each feature.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features), float32 or float64
        Embeddings.

    weight : Tensor of shape (n_samples,), default=None
        Weight of each sample; None weighs all alike.

    Returns
    -------
    centre : ndarray of shape (n_features,)
        Means, rounded to the precision of `X`: what is subtracted from it is known.

    spread : ndarray of shape (n_features,)
        Root mean squares around the mean.

    largest : ndarray of shape (n_features,)
        Largest absolute values.
    """
    found = _ordinary_moments(X, weight)
    if found is not None:
        return found
    largest = in_threads(lambda *rows: _largest(X[slice(*rows)]), len(X), X.numel())
    largest = torch.stack(largest).amax(0).cpu().double().numpy()
    # in units of its own largest entry no feature over- or underflows
    exponent = np.ceil(np.log2(np.where(largest > 0, largest, 1.0)))
    unit = 2.0 ** exponent.clip(-1022, 1022)
    centre, _ = _mean_and_square(X, np.zeros(X.shape[1]), 1 / unit, weight)
    centre = _rounded(centre * unit, X.dtype)
    rest, square = _mean_and_square(X, centre, 1 / unit, weight)
    return centre, np.sqrt((square - rest**2).clip(0)) * unit, largest


def _largest(X):
    """Largest absolute value of each feature; NaN and infinity are carried along."""
    return torch.maximum(X.amax(0), -X.amin(0))


def _rounded(values, dtype):
    return torch.as_tensor(values).to(dtype).double().numpy()


def _ordinary_moments(X, weight):
    """What :func:`feature_moments` gives, in one pass over X.

    Sums of pieces around their own means, merged by Chan's rule. None where some
    feature is so large or so small that squares could over- or underflow.
    """
    smallest, most = _ORDINARY[X.dtype]

    def moments_of(begin, end):
        whole = None
        for rows in row_blocks(X[begin:end]):
            largest = _largest(rows)
            if ((largest > most) | ((largest > 0) & (largest < smallest))).any():
                return None
            own = None if weight is None else weight[begin : begin + len(rows)]
            piece = *_piece_moments(rows, own), largest.cpu().double().numpy()
            whole = piece if whole is None else _joined(whole, piece)
            begin += len(rows)
        return whole

    parts = in_threads(moments_of, len(X), X.numel())
    if any(part is None for part in parts):
        return None
    total, mean, square, largest = reduce(_joined, parts)
    centre = _rounded(mean, X.dtype)
    return centre, np.sqrt(square.clip(0) / total), largest


def _piece_moments(rows, weight):
    """Weight, means and sums of squares around them of a piece, float64."""
    total = len(rows) if weight is None else float(weight.sum())
    if not total:
        return 0.0, np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    centre = (_total(rows, weight, 0) / total).to(rows.dtype)
    residual = rows - centre
    rest = _total(residual, weight, 0).cpu().double().numpy() / total
    square = _total(residual.square_(), weight, 0).cpu().double().numpy()
    return total, centre.cpu().double().numpy() + rest, square - total * rest**2


def _joined(first, second):
    """Join the moments of two pieces."""
    total = first[0] + second[0]
    apart, share = second[1] - first[1], second[0] / total if total else 0.0
    square = first[2] + second[2] + apart**2 * (first[0] * share)
    return total, first[1] + apart * share, square, np.maximum(first[3], second[3])


def _mean_and_square(X, centre, inverse_scale, weight=None):
    """Mean and mean square of each standardized feature, float64."""
    whole = len(X) if weight is None else weight.sum()

    def sums_of(begin, end):
        sums = torch.zeros((2, X.shape[1]), dtype=torch.float64, device=X.device)
        for rows in row_blocks(X[begin:end]):
            block, _ = standardized_piece(rows, centre, inverse_scale)
            sums[0] += _total(block, weight, begin)
            sums[1] += _total(block.square_(), weight, begin)
            begin += len(rows)
        return sums

    return (sum(in_threads(sums_of, len(X), X.numel())) / whole).cpu().numpy()


def _total(block, weight, begin):
    """Weighted sum of rows, the first of which has the weight at `begin`."""
    if weight is None:
        return block.sum(0)
    return weight[begin : begin + len(block)].to(block) @ block
