"""Standardized samples and the moments of their projections (floor 1)."""

from dataclasses import dataclass

import numpy as np
import torch

# Of the whole variance: classes that are points must not make a slice of spikes.
POOLED_FLOOR = 1e-6
# A sample farther out than this many root-mean-squares is moved in to it: in float32
# its square would overflow, and nothing in the score tells such distances apart.
FARTHEST = 1e6


def centre_and_scale(X):
    """Mean of each feature, and what to multiply a centred feature by.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        Embeddings.

    Returns
    -------
    centre : ndarray of shape (n_features,)
        Means, float64.

    inverse_scale : ndarray of shape (n_features,)
        One over the root mean square of all centred entries; 0 where a feature is
        constant up to rounding, so that rounding is never taken for a signal.
    """
    total, largest = np.zeros(X.shape[1]), np.zeros(X.shape[1])
    for rows in _row_blocks(X):
        total += rows.sum(0, dtype=np.float64)
        np.maximum(largest, np.maximum(rows.max(0), -rows.min(0)), out=largest)
    centre = total / len(X)
    # in units of its own largest entry no feature over- or underflows
    unit = 2.0 ** np.ceil(np.log2(np.where(largest > 0, largest, 1.0)))
    sums, squares = np.zeros((2, X.shape[1]))
    for rows in _row_blocks(X):
        deviation = _standardized(rows, centre, 1 / unit)
        sums += deviation.sum(0, dtype=np.float64)
        squares += np.einsum("ij,ij->j", deviation, deviation)
    variance = squares / len(X) - np.square(sums / len(X))  # the centre is rounded
    spread = np.sqrt(variance.clip(0)) * unit
    informative = spread > 10 * np.finfo(X.dtype).eps * largest
    inverse = np.zeros(X.shape[1])
    if informative.any():
        widest = spread[informative].max()
        mean_square = np.square(spread[informative] / widest).sum() / X.shape[1]
        inverse[informative] = 1 / (np.sqrt(mean_square) * widest)
    return centre, inverse


def standardize(X, centre, inverse_scale, dtype, order=None):
    """Centre, scale to unit root mean square, and move in the farthest samples.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Embeddings.

    centre, inverse_scale : ndarray of shape (n_features,)
        From :func:`centre_and_scale`.

    dtype : numpy dtype
        Precision of the result.

    order : ndarray of shape (n_samples,), default=None
        Row of `X` that each row of the result is made from; None keeps the order.

    Returns
    -------
    standardized : ndarray of shape (n_samples, n_features)
        A new array.
    """
    result = np.empty(X.shape, dtype)
    start = 0
    for rows in _row_blocks(X, order):
        block = _standardized(rows, centre, inverse_scale)
        farthest = np.maximum(block.max(1), -block.min(1))
        if farthest.max(initial=0) > FARTHEST:
            block /= np.maximum(farthest / FARTHEST, 1)[:, None]
        result[start : start + len(rows)] = block
        start += len(rows)
    return result


def _standardized(rows, centre, inverse_scale):
    """``(rows - centre) * inverse_scale`` in the precision of `rows`.

    Subtracting the rounded centre costs nothing: the same shift moves all samples,
    and the mean of each class is measured afterwards. A float32 product may overflow
    where a float64 one would not; then it is made in float64.
    """
    block = rows - centre.astype(rows.dtype)
    with np.errstate(over="ignore"):
        factor = inverse_scale.astype(rows.dtype)
        if np.isfinite(factor).all() and np.isfinite(block).all():
            block *= factor
            if np.isfinite(block).all():
                return block
    return np.clip((rows.astype(np.float64) - centre) * inverse_scale, -1e30, 1e30)


def _row_blocks(X, order=None, megabytes=1):
    step = max(1, megabytes * 2**20 // (X.itemsize * X.shape[1]))
    for start in range(0, len(X), step):
        rows = slice(start, start + step)
        yield X[rows] if order is None else X[order[rows]]


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
    shift = torch.as_tensor(mean, dtype=Z.dtype, device=Z.device)
    square, low, high = [], [], []
    for code, columns in enumerate(segments):
        part = Z[:, columns]
        square.append(torch.linalg.vector_norm(part, dim=1))
        low.append(part.amin(1))  # with amax 4 times as fast as torch.aminmax
        high.append(part.amax(1))
        part += shift[:, code : code + 1]
    norm, low, high = (
        torch.stack(values, 1).cpu().double().numpy() for values in (square, low, high)
    )
    return ClassMoments(
        count=count,
        mean=mean,
        variance=norm**2 / count,
        reach=np.maximum(-low, high).clip(0),
        low=(low + mean).min(1),
        high=(high + mean).max(1),
    )
