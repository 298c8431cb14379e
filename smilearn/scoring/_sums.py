"""The additive state: sums over samples from which a scorer is fitted.

Sums of batches are merged by Chan's rule in double precision, so that batches may come
in any order and cut, and states of several machines be joined. A state holds
``3 S K + K d + d^2`` numbers (S slices, K classes, d features) and up to SAMPLE rows,
on which the pool is fitted: those whose content has the smallest keys.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from smilearn.scoring import _kernels
from smilearn.scoring._points import (
    class_means,
    content_keys,
    inverse_scale_of,
    project,
    residuals,
)
from smilearn.utils._devices import in_blocks
from smilearn.utils._indexing import row_blocks
from smilearn.utils._threads import in_threads

SAMPLE = 2048  # rows that a state keeps
# Of the whole variance: classes that are points must not make a slice of spikes.
_POOLED_FLOOR = 1e-6


@dataclass(frozen=True)
class ClassMoments:
    """Moments of the projections of each class on each slice, NumPy float64."""

    count: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    reach: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def pooled(self):
        """Pooled within-class variance of each slice, (n_slices,)."""
        total = self.total
        freedom = np.maximum(self.count - 1, 0).sum()
        within = self.variance @ self.count / max(freedom, 1)
        least = _POOLED_FLOOR * total
        # without a second sample in any class, only the whole spread is known; what is
        # left within the classes is rounding
        least_known = total if freedom == 0 else least
        return np.where(total > 0, np.where(within > least, within, least_known), 1.0)

    @property
    def total(self):
        """Variance of each slice over all samples, (n_slices,)."""
        return (self.variance + self.mean**2) @ self.count / self.count.sum()

    def __getitem__(self, slices):
        parts = {name: getattr(self, name)[slices] for name in _OF_SLICES}
        return replace(self, **parts)


_OF_SLICES = ("mean", "variance", "reach", "low", "high")


def moments_of(count, mean, square, low, high):
    """Moments from sums around the class means."""
    return ClassMoments(
        count=count,
        mean=mean,
        variance=square / count,
        reach=np.maximum(-low, high).clip(0),
        low=(low + mean).min(1),
        high=(high + mean).max(1),
    )


@dataclass(frozen=True)
class SampleRows:
    """The rows of a state whose content has the smallest keys."""

    keys: np.ndarray
    X: np.ndarray
    labels: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, X, labels, weight, keys=None):
        """Choose among some rows, a tensor."""
        keys = content_keys(X) if keys is None else keys
        rows = np.argsort(keys, kind="stable")
        if len(rows) > SAMPLE:  # so many that differ, with all that equal one of them
            last = np.unique(keys)[:SAMPLE][-1]
            rows = rows[: np.searchsorted(keys[rows], last, "right")]
        weight = np.ones(len(rows)) if weight is None else weight[rows]
        chosen = cls(keys[rows], rows, labels[rows], weight).distinct()
        own = X[torch.as_tensor(chosen.X, device=X.device)].cpu().numpy()
        return replace(chosen, X=own)

    def distinct(self):
        """Join equal rows of one label, and keep the first SAMPLE."""
        codes = np.unique(self.labels, return_inverse=True)[1]
        pairs = np.stack([self.keys, codes.astype(np.uint64)], 1)
        _, first, which = np.unique(
            pairs, axis=0, return_index=True, return_inverse=True
        )
        weight = np.bincount(which.ravel(), self.weight)
        kept = self[first[:SAMPLE]]
        return replace(kept, weight=weight[:SAMPLE])

    def __getitem__(self, rows):
        return SampleRows(
            self.keys[rows], self.X[rows], self.labels[rows], self.weight[rows]
        )

    def __add__(self, other):
        parts = [np.concatenate(both) for both in zip(self, other, strict=True)]
        return SampleRows(*parts).distinct()

    def __iter__(self):
        return iter((self.keys, self.X, self.labels, self.weight))


@dataclass(frozen=True)
class Sums:
    """Sums over samples, in the unit of their features.

    labels (K,); count (K,), weights; whole: whether all weights were whole numbers;
    eps: of the precision of the samples; largest (d,), absolute; mean (K, d); square
    (d,), around the mean of all; slice_square, low, high (S, K), around the class
    means; scatter (d, d) within classes, and sample, or None where there is no pool.
    """

    labels: np.ndarray
    count: np.ndarray
    whole: bool
    eps: float
    largest: np.ndarray
    mean: np.ndarray
    square: np.ndarray
    slice_square: np.ndarray
    low: np.ndarray
    high: np.ndarray
    scatter: np.ndarray | None = None
    sample: SampleRows | None = None

    @classmethod
    def of(cls, X, y, weight, directions, settings, *, pooled, keys=None, read=None):
        """Sums of a batch, X (n, d) a tensor; `read` is handed what is projected."""
        labels, codes = np.unique(y, return_inverse=True)
        count, mean, square, largest = class_means(X, codes, len(labels), weight)
        eps = torch.finfo(X.dtype).eps
        spread = np.sqrt(square / count.sum())
        inverse = inverse_scale_of(spread, largest, eps)
        order = np.argsort(codes, kind="stable")
        places, codes = torch.as_tensor(order, device=X.device), codes[order]
        points = residuals(X, mean, inverse, settings.torch_dtype, codes, places)
        points = points.to(settings.device)
        own = None if weight is None else weight[order]
        scaled = (mean - count @ mean / count.sum()) * inverse
        read = read and partial(read, order, codes)
        asked = points, codes, own, count, scaled, directions, settings, read
        blocks = _blocks(*asked)
        parts = [np.concatenate(columns) for columns in zip(*blocks, strict=True)]
        unit = 1 / inverse.max() if inverse.any() else 0.0
        scatter = sample = None
        if pooled:
            scatter = _scatter(points, own) * unit**2
            sample = SampleRows.of(X, y, weight, keys)
        return cls(
            labels=labels,
            count=count.astype(float),
            whole=weight is None or bool((weight % 1 == 0).all()),
            eps=eps,
            largest=largest,
            mean=mean,
            square=square,
            slice_square=parts[0] * unit**2,
            low=parts[1] * unit,
            high=parts[2] * unit,
            scatter=scatter,
            sample=sample,
        )

    def merged(self, other, directions):
        """Sums of both sets of samples."""
        labels = np.union1d(self.labels, other.labels)
        one, two = (state._widened(labels, len(directions)) for state in (self, other))
        count = one.count + two.count
        share = (two.count / np.where(count > 0, count, 1))[:, None]
        apart = two.mean - one.mean
        mean = np.where(one.count[:, None] > 0, one.mean + share * apart, two.mean)
        weight = one.count[:, None] * share  # of the squares between the two
        moved = [directions @ (state.mean - mean).T for state in (one, two)]
        between = weight[:, 0] * (directions @ apart.T) ** 2
        n, m = one.count.sum(), two.count.sum()
        middle = two.count @ two.mean / m - one.count @ one.mean / n
        pooled = self.scatter is not None
        return Sums(
            labels=labels,
            count=count,
            whole=self.whole and other.whole,
            eps=max(self.eps, other.eps),
            largest=np.maximum(self.largest, other.largest),
            mean=mean,
            square=one.square + two.square + n * m / (n + m) * middle**2,
            slice_square=one.slice_square + two.slice_square + between,
            low=np.minimum(one.low + moved[0], two.low + moved[1]),
            high=np.maximum(one.high + moved[0], two.high + moved[1]),
            scatter=one.scatter + two.scatter + (weight * apart).T @ apart
            if pooled
            else None,
            sample=self.sample + other.sample if pooled else None,
        )

    def _widened(self, labels, n_slices):
        """The same sums with room for more classes, which are empty."""
        place = np.searchsorted(labels, self.labels)
        count, mean = np.zeros(len(labels)), np.zeros((len(labels), self.mean.shape[1]))
        count[place], mean[place] = self.count, self.mean
        wide = {}
        for name, empty in (("slice_square", 0.0), ("low", np.inf), ("high", -np.inf)):
            wide[name] = np.full((n_slices, len(labels)), empty)
            wide[name][:, place] = getattr(self, name)
        return replace(self, labels=labels, count=count, mean=mean, **wide)

    def with_slices(self, other):
        """Sums of the same samples over more slices."""
        joined = {
            name: np.concatenate([getattr(self, name), getattr(other, name)])
            for name in ("slice_square", "low", "high")
        }
        return replace(self, **joined)

    @property
    def centre(self):
        """Mean of all samples, (d,)."""
        return self.count @ self.mean / self.count.sum()

    @property
    def inverse_scale(self):
        """One over the root mean square of all centred features; 0 where constant."""
        spread = np.sqrt(self.square / self.count.sum())
        return inverse_scale_of(spread, self.largest, self.eps)

    def moments(self, directions):
        """Moments on the slices, of standardized samples."""
        inverse = self.inverse_scale
        mean = directions @ ((self.mean - self.centre) * inverse).T
        factor = inverse.max()
        square, low, high = self.slice_square * factor**2, self.low, self.high
        return moments_of(self.count, mean, square, low * factor, high * factor)


def _blocks(points, codes, weight, count, means, directions, settings, read):
    """Squares and range of the classes on each block of slices, around their means."""
    size = np.bincount(codes)
    ends = np.cumsum(size)
    buffer = []

    def measured(block):
        if not buffer or len(buffer[0]) < block.stop - block.start:
            buffer[:] = [points.new_empty((block.stop - block.start, len(points)))]
        product = buffer[0][: block.stop - block.start]
        project(settings.tensor(directions[block]), points, product)
        mean = directions[block] @ means.T
        sums = _class_sums(product, ends, mean, weight)
        if read is not None:
            read(product, moments_of(count, mean, *sums), block)
        yield block.stop, sums

    parts = in_blocks(measured, settings, 0, len(directions), len(points), buffer.clear)
    return [sums for _, sums in parts]


def _class_sums(Z, ends, mean, weight=None):
    """Sum of squares and range of each class around its mean; then add the means."""
    segments = [slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    square = None if weight is None else _weighted_squares(Z, segments, weight)
    if _kernels.usable(Z.device):
        plain, low, high = _kernels.moments(Z.numpy(), ends, mean)
    else:
        plain, low, high = _moments_in_torch(Z, segments, mean)
    return plain if square is None else square, low, high


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


def _scatter(points, weight):
    """Sum of the outer products of centred samples, (d, d) float64."""
    d = points.shape[1]
    like = {"dtype": torch.float64, "device": points.device}
    weight = weight if weight is None else torch.as_tensor(weight).to(points)[:, None]

    def work(begin, end):
        total = torch.zeros((d, d), **like)
        for rows in row_blocks(points[begin:end], megabytes=4):
            if weight is None and rows.device.type == "cpu":
                # NumPy sees that this is symmetric, and does half the work
                total += torch.from_numpy(rows.numpy().T @ rows.numpy())
            elif weight is None:
                total += rows.T @ rows
            else:
                total += (rows * weight[begin : begin + len(rows)]).T @ rows
            begin += len(rows)
        return total

    return sum(in_threads(work, len(points), points.numel() * d)).cpu().numpy()
