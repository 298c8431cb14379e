"""Embeddings centred and scaled (floor 1)."""

import numpy as np
import torch

from smilearn._threads import in_threads

# A sample farther out than this many root-mean-squares is moved in to it: in float32
# its square would overflow, and nothing in the score tells such distances apart.
FARTHEST = 1e6


class _Writable:
    """The memory of an array without the mark that it must not be written to.

    Torch has no read-only tensors and warns; smilearn never writes to its input.
    """

    def __init__(self, array):
        self._owner = array
        self.__array_interface__ = array.__array_interface__ | {
            "data": (array.__array_interface__["data"][0], False)
        }


def as_tensor(X, device=None):
    """Put embeddings on a device, without a copy where they are there already.

    Parameters
    ----------
    X : ndarray or Tensor of shape (n_samples, n_features)
        Embeddings. The tensor shares its memory and must not be written to.

    device : torch.device, default=None
        Where the tensor is to be; the host for mps, which has no double precision. None
        leaves it where it is.

    Returns
    -------
    tensor : Tensor of shape (n_samples, n_features)
        The embeddings.
    """
    device = torch.device(X.device if device is None else device)
    device = torch.device("cpu") if device.type == "mps" else device
    if isinstance(X, torch.Tensor):
        return X.to(device)
    if any(stride < 0 or stride % X.itemsize for stride in X.strides):
        X = np.ascontiguousarray(X)
    if not X.flags.writeable:
        X = np.asarray(_Writable(X))
    return torch.as_tensor(X, device=device)


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
    largest = in_threads(
        lambda *rows: torch.maximum(X[slice(*rows)].amax(0), -X[slice(*rows)].amin(0)),
        *_size(X),
    )
    largest = torch.stack(largest).amax(0).cpu().double().numpy()
    # in units of its own largest entry no feature over- or underflows
    exponent = np.ceil(np.log2(np.where(largest > 0, largest, 1.0)))
    unit = 2.0 ** exponent.clip(-1022, 1022)
    centre, _ = _mean_and_square(X, np.zeros(X.shape[1]), 1 / unit, weight)
    centre = torch.as_tensor(centre * unit).to(X.dtype).double().numpy()
    rest, square = _mean_and_square(X, centre, 1 / unit, weight)
    return centre, np.sqrt((square - rest**2).clip(0)) * unit, largest


def inverse_scale_of(spread, largest, eps):
    """One over the root mean square of all centred entries, for each feature.

    Parameters
    ----------
    spread, largest : ndarray of shape (n_features,)
        From :func:`feature_moments`.

    eps : float
        Relative precision of the embeddings.

    Returns
    -------
    inverse_scale : ndarray of shape (n_features,)
        The same for all features but those that are constant up to rounding: 0 for
        these, so that rounding is never taken for a signal.
    """
    informative = spread > 10 * eps * largest
    inverse = np.zeros(len(spread))
    if informative.any():
        widest = spread[informative].max()
        mean_square = np.square(spread[informative] / widest).sum() / len(spread)
        scale = np.sqrt(mean_square) * widest
        inverse[informative] = 1 / max(scale, np.finfo(float).tiny)
    return inverse


def _size(X):
    """How far `in_threads` has to go through the rows, and how much work that is."""
    return len(X), X.numel()


def _mean_and_square(X, centre, inverse_scale, weight=None):
    """Mean and mean square of each standardized feature, float64."""
    whole = len(X) if weight is None else weight.sum()

    def sums_of(begin, end):
        sums = torch.zeros((2, X.shape[1]), dtype=torch.float64, device=X.device)
        for rows in row_blocks(X[begin:end]):
            block, _ = _standardized(rows, centre, inverse_scale)
            sums[0] += _total(block, weight, begin)
            sums[1] += _total(block.square_(), weight, begin)
            begin += len(rows)
        return sums

    return (sum(in_threads(sums_of, *_size(X))) / whole).cpu().numpy()


def _total(block, weight, begin):
    """Weighted sum of rows, the first of which has the weight at `begin`."""
    if weight is None:
        return block.sum(0)
    return weight[begin : begin + len(block)].to(block) @ block


def standardize(X, centre, inverse_scale, dtype, order=None):
    """Centre, scale to unit root mean square, and move in the farthest samples.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features)
        Embeddings.

    centre, inverse_scale : ndarray of shape (n_features,)
        From :func:`centre_and_scale`.

    dtype : torch.dtype
        Precision of the result.

    order : Tensor of shape (n_samples,), default=None
        Row of `X` that each row of the result is made from; None keeps the order.

    Returns
    -------
    standardized : Tensor of shape (n_samples, n_features)
        A new tensor, on the device of `X`.
    """
    result = torch.empty(X.shape, dtype=dtype, device=X.device)

    def fill(begin, end):
        some = X[begin:end] if order is None else X
        rows_of = None if order is None else order[begin:end]
        for rows in row_blocks(some, rows_of):
            block, extent = _standardized(rows, centre, inverse_scale)
            if extent > FARTHEST:
                farthest = torch.maximum(block.amax(1), -block.amin(1)) / FARTHEST
                block /= farthest.clamp_min_(1)[:, None]
            result[begin : begin + len(rows)] = block
            begin += len(rows)

    in_threads(fill, *_size(X))
    return result


def centre_classes(X, segments, weight=None):
    """Subtract the mean of its class from each row.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features)
        Standardized embeddings, sorted by class. Changed in place.

    segments : list of slice
        Rows of each class.

    weight : ndarray of shape (n_samples,), default=None
        Weight of each sample; None weighs all alike.

    Returns
    -------
    means : ndarray of shape (n_classes, n_features)
        What was subtracted, float64.
    """
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
    """``(rows - centre) * inverse_scale`` in the precision of `rows`.

    Subtracting the rounded centre costs nothing: the same shift moves all samples,
    and the mean of each class is measured afterwards. A float32 product may overflow
    where a float64 one would not; then it is made in float64. Gives the largest
    absolute entry too.
    """
    shift, factor = (
        torch.as_tensor(values, dtype=rows.dtype, device=rows.device)
        for values in (centre, inverse_scale)
    )
    block = torch.sub(rows, shift).mul_(factor)
    # over rows first, as torch vectorizes that; both carry NaN and infinity along
    extent = torch.maximum(block.amax(0), -block.amin(0)).amax()
    if extent.isfinite() and factor.isfinite().all():
        return block, extent
    with np.errstate(over="ignore"):  # scaled first, as differences overflow sooner
        block = rows.double().cpu().numpy() * inverse_scale - centre * inverse_scale
    block = torch.as_tensor(np.nan_to_num(block).clip(-1e30, 1e30), device="cpu")
    return block.to(rows.device), block.abs().amax()


def row_blocks(X, order=None, megabytes=None):
    """Cut the rows of a tensor into pieces that fit a cache.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features)
        What to cut.

    order : Tensor of shape (n_samples,), default=None
        Rows in the order in which they are wanted.

    megabytes : int, default=None
        Size of a piece. None takes 1 on the host; on a GPU 256, as every piece costs
        a few launches there, however small it is.

    Yields
    ------
    rows : Tensor of shape (n, n_features)
        The next piece.
    """
    megabytes = megabytes or (1 if X.device.type == "cpu" else 256)
    step = max(1, megabytes * 2**20 // (X.itemsize * X.shape[1]))
    for start in range(0, len(X) if order is None else len(order), step):
        rows = slice(start, start + step)
        yield X[rows] if order is None else X.index_select(0, order[rows])
