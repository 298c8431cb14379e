"""Moments of the projections of each class."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from smilearn.scoring import _kernels

# Of the whole variance: classes that are points must not make a slice of spikes.
POOLED_FLOOR = 1e-6


@dataclass(frozen=True)
class ClassMoments:
    """Moments of the projections of each class on each slice, NumPy float64."""

    count: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    reach: np.ndarray
    low: np.ndarray
    high: np.ndarray
    share: np.ndarray | None = None

    def __post_init__(self):
        if self.share is None:
            object.__setattr__(self, "share", self.count / self.count.sum())

    @property
    def pooled(self):
        """Pooled within-class variance of each slice, (n_slices,)."""
        total = self.total
        freedom = np.maximum(self.count - 1, 0).sum()
        within = self.variance @ self.count / max(freedom, 1)
        # without a second sample in any class, only the whole spread is known
        pooled = np.where(within > 0, within, total if freedom == 0 else 0)
        return np.where(total > 0, np.maximum(pooled, POOLED_FLOOR * total), 1.0)

    @property
    def total(self):
        """Variance of each slice over all samples, (n_slices,)."""
        return (self.variance + self.mean**2) @ self.count / self.count.sum()

    def __getitem__(self, slices):
        return replace(
            self, **{name: getattr(self, name)[slices] for name in _OF_SLICES}
        )

    @classmethod
    def concatenate(cls, parts):
        """Join the moments of successive blocks of slices."""
        joined = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in _OF_SLICES
        }
        return replace(parts[0], **joined)

    def without(self, part):
        """Moments of the samples that are not in a part; shares and ranges stay."""
        count = self.count - part.count
        count = np.where(count > 1e-9 * self.count, count, 0)  # sums of weights round
        divisor, whole = (np.where(n > 0, n, 1) for n in (count, self.count))
        mean = (self.count * self.mean - part.count * part.mean) / divisor
        squares = self.count * self.variance - part.count * part.variance
        squares -= np.square(part.mean - mean) * (count * part.count / whole)
        left = replace(
            self,
            count=count,
            mean=np.where(count > 0, mean, 0),
            variance=np.where(count > 0, squares.clip(0) / divisor, 0),
            reach=np.zeros_like(self.reach),
        )
        crowd = np.broadcast_to(left.pooled[:, None], mean.shape)
        return replace(left, variance=np.where(count > 0, left.variance, crowd))


_OF_SLICES = ("mean", "variance", "reach", "low", "high")


def plain_moments(Z, codes, n_classes, weight=None):
    """Moments of some projections in double precision, for samples in any order."""
    Z = Z.double()
    member = torch.nn.functional.one_hot(codes, n_classes).double()  # (n, K)
    if weight is not None:
        member *= torch.as_tensor(weight, device=Z.device)[:, None]
    count = member.sum(0)
    divisor = torch.where(count > 0, count, 1)
    mean = Z @ member / divisor
    variance = (Z - mean[:, codes]).square_() @ member / divisor
    return ClassMoments(
        count=count.cpu().numpy(),
        mean=mean.cpu().numpy(),
        variance=variance.cpu().numpy(),
        reach=np.zeros(mean.shape),
        low=Z.amin(1).cpu().numpy(),
        high=Z.amax(1).cpu().numpy(),
    )


def moments_of(Z, segments, count, mean, weight=None):
    """Moments of a block of projections whose columns are sorted by class."""
    square, low, high = sums_of(Z, segments, mean, weight)
    return ClassMoments(
        count=count,
        mean=mean,
        variance=square / count,
        reach=np.maximum(-low, high).clip(0),
        low=(low + mean).min(1),
        high=(high + mean).max(1),
    )


def sums_of(Z, segments, mean, weight=None):
    """Sum of squares and range of each class around its mean; then add the means."""
    weighted = None if weight is None else _weighted_squares(Z, segments, weight)
    if _kernels.usable(Z.device):
        ends = np.array([columns.stop for columns in segments])
        square, low, high = _kernels.moments(Z.numpy(), ends, mean)
    else:
        square, low, high = _moments_in_torch(Z, segments, mean)
    return square if weighted is None else weighted, low, high


def _weighted_squares(Z, segments, weight):
    """Weighted sum of squares of each class on each slice, (S, n_classes)."""
    weight = torch.as_tensor(weight, device=Z.device).to(Z)
    squares = [Z[:, columns].square() @ weight[columns] for columns in segments]
    return torch.stack(squares, 1).cpu().double().numpy()


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
