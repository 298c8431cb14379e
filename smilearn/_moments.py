"""Standardized samples and the moments of their projections (floor 1)."""

from dataclasses import dataclass

import numpy as np
import torch

from smilearn import _kernels

# Of the whole variance: classes that are points must not make a slice of spikes.
POOLED_FLOOR = 1e-6
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


def as_tensor(X, device):
    """Put embeddings on a device, without a copy where they are there already.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Embeddings. The tensor shares its memory and must not be written to.

    device : torch.device
        Where the tensor is to be.

    Returns
    -------
    tensor : Tensor of shape (n_samples, n_features)
        The embeddings.
    """
    if min(X.strides, default=0) < 0:
        X = np.ascontiguousarray(X)
    if not X.flags.writeable:
        X = np.asarray(_Writable(X))
    return torch.as_tensor(X, device=device)


def centre_and_scale(X):
    """Mean of each feature, and what to multiply a centred feature by.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features), float32 or float64
        Embeddings.

    Returns
    -------
    centre : ndarray of shape (n_features,)
        Means, up to rounding in the precision of `X`, float64.

    inverse_scale : ndarray of shape (n_features,)
        One over the root mean square of all centred entries; 0 where a feature is
        constant up to rounding, so that rounding is never taken for a signal.
    """
    largest = torch.maximum(X.amax(0), -X.amin(0)).cpu().double().numpy()
    # in units of its own largest entry no feature over- or underflows
    unit = 2.0 ** np.ceil(np.log2(np.where(largest > 0, largest, 1.0)))
    centre, _ = _mean_and_square(X, np.zeros(X.shape[1]), 1 / unit)
    centre *= unit
    rest, square = _mean_and_square(X, centre, 1 / unit)  # the centre is rounded
    spread = np.sqrt((square - rest**2).clip(0)) * unit
    informative = spread > 10 * torch.finfo(X.dtype).eps * largest
    inverse = np.zeros(X.shape[1])
    if informative.any():
        widest = spread[informative].max()
        mean_square = np.square(spread[informative] / widest).sum() / X.shape[1]
        inverse[informative] = 1 / (np.sqrt(mean_square) * widest)
    return centre, inverse


def _mean_and_square(X, centre, inverse_scale):
    """Mean and mean square of each standardized feature, float64."""
    sums = torch.zeros((2, X.shape[1]), dtype=torch.float64, device=X.device)
    for rows in row_blocks(X):
        block, _ = _standardized(rows, centre, inverse_scale)
        sums[0] += block.sum(0)
        sums[1] += block.square_().sum(0)
    return (sums / len(X)).cpu().numpy()


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
    start = 0
    for rows in row_blocks(X, order):
        block, extent = _standardized(rows, centre, inverse_scale)
        if extent > FARTHEST:
            farthest = torch.maximum(block.amax(1), -block.amin(1)) / FARTHEST
            block /= farthest.clamp_min_(1)[:, None]
        result[start : start + len(rows)] = block
        start += len(rows)
    return result


def _standardized(rows, centre, inverse_scale):
    """``(rows - centre) * inverse_scale`` in the precision of `rows`.

    Subtracting the rounded centre costs nothing: the same shift moves all samples,
    and the mean of each class is measured afterwards. A float32 product may overflow
    where a float64 one would not; then it is made in float64. Gives the largest
    absolute entry too.
    """
    for dtype in (rows.dtype, torch.float64):
        shift, factor = (
            torch.as_tensor(values, dtype=dtype, device=rows.device)
            for values in (centre, inverse_scale)
        )
        block = torch.sub(rows, shift).mul_(factor)
        # over rows first, as torch vectorizes that; both carry NaN and infinity along
        extent = torch.maximum(block.amax(0), -block.amin(0)).amax()
        if extent.isfinite() and factor.isfinite().all():
            return block, extent
    return block.clamp_(-1e30, 1e30), extent.new_tensor(1e30)


def row_blocks(X, order=None, megabytes=1):
    """Cut the rows of a tensor into pieces that fit a cache.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features)
        What to cut.

    order : Tensor of shape (n_samples,), default=None
        Rows in the order in which they are wanted.

    megabytes : int, default=2
        Size of a piece.

    Yields
    ------
    rows : Tensor of shape (n, n_features)
        The next piece.
    """
    step = max(1, megabytes * 2**20 // (X.itemsize * X.shape[1]))
    for start in range(0, len(X), step):
        rows = slice(start, start + step)
        yield X[rows] if order is None else X.index_select(0, order[rows])


@dataclass(frozen=True)
class ClassMoments:
    """Moments of the projections of each class on each slice, NumPy float64.

    Parameters
    ----------
    count : ndarray of shape (n_classes,)
        Samples of each class.

    mean, variance, reach : ndarray of shape (n_slices, n_classes)
        Mean, variance (divided by the count), and the largest distance from the mean.

    low, high : ndarray of shape (n_slices,)
        Range of the projections of all samples.
    """

    count: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    reach: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def pooled(self):
        """Pooled within-class variance of each slice, (n_slices,).

        Floored; 1 where all projections are one point, as any scale will do there.
        """
        total = self.total
        freedom = self.count.sum() - len(self.count)
        within = self.variance @ self.count / max(freedom, 1)
        # without a second sample in any class, only the whole spread is known
        pooled = np.where(within > 0, within, total if freedom == 0 else 0)
        return np.where(total > 0, np.maximum(pooled, POOLED_FLOOR * total), 1.0)

    @property
    def total(self):
        """Variance of each slice over all samples, (n_slices,)."""
        return (self.variance + self.mean**2) @ self.count / self.count.sum()

    def __getitem__(self, slices):
        return ClassMoments(
            self.count,
            *(
                getattr(self, name)[slices]
                for name in ("mean", "variance", "reach", "low", "high")
            ),
        )

    @classmethod
    def concatenate(cls, parts):
        """Join the moments of successive blocks of slices."""
        names = ("mean", "variance", "reach", "low", "high")
        joined = (np.concatenate([getattr(p, name) for p in parts]) for name in names)
        return cls(parts[0].count, *joined)


def moments_of(Z, segments, count, mean):
    """Moments of a block of projections whose columns are sorted by class.

    Parameters
    ----------
    Z : Tensor of shape (S, n_samples)
        Projections of the samples *minus the projection of the mean of their class*:
        two passes in one, free of cancellation. On return the means are added back.

    segments : list of slice
        Columns of each class.

    count : ndarray of shape (n_classes,)
        Samples of each class.

    mean : ndarray of shape (S, n_classes)
        Projected class means.

    Returns
    -------
    moments : ClassMoments
        Moments of this block.
    """
    if _kernels.usable(Z.device):
        ends = np.array([columns.stop for columns in segments])
        square, low, high = _kernels.moments(Z.numpy(), ends, mean)
    else:
        square, low, high = _moments_in_torch(Z, segments, mean)
    return ClassMoments(
        count=count,
        mean=mean,
        variance=square / count,
        reach=np.maximum(-low, high).clip(0),
        low=(low + mean).min(1),
        high=(high + mean).max(1),
    )


def _moments_in_torch(Z, segments, mean):
    """What `_kernels.moments` does, on any device."""
    shift = torch.as_tensor(mean, dtype=Z.dtype, device=Z.device)
    norm, low, high = [], [], []
    for code, columns in enumerate(segments):
        part = Z[:, columns]
        norm.append(torch.linalg.vector_norm(part, dim=1))
        low.append(part.amin(1))  # with amax 4 times as fast as torch.aminmax
        high.append(part.amax(1))
        part += shift[:, code : code + 1]
    norm, low, high = (
        torch.stack(values, 1).cpu().double().numpy() for values in (norm, low, high)
    )
    return norm**2, low, high
