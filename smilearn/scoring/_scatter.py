"""Within-class scatter, of all samples and without some folds, from one pass."""

from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
import torch
from sklearn.utils.extmath import randomized_svd

from smilearn.scoring._directions import with_signs
from smilearn.scoring._moments import ClassMoments
from smilearn.utils._indexing import row_blocks
from smilearn.utils._threads import in_threads

_MANY_FEATURES = 512  # beyond, principal axes come from a randomized method
_FAR = 30.0  # root mean squares; beyond, differences are in double precision
_ROWS = 2048  # samples in a piece that fits a cache
_LEAST_SHARE = 1e-6  # of shrinkage: the covariance must have an inverse


@dataclass(frozen=True)
class WithinScatter:
    """Class means and the scatter of samples around them."""

    count: np.ndarray
    mean: np.ndarray
    scatter: np.ndarray
    fourth: float

    @classmethod
    def of(cls, X, codes, n_classes, weight=None):
        """Measure samples."""
        index = torch.as_tensor(codes, device=X.device)
        count = np.bincount(codes, weight, n_classes)
        if weight is not None:
            weight = torch.as_tensor(weight, device=X.device)[:, None]
        like = {"dtype": torch.float64, "device": X.device}

        def sums_of(begin, end):
            sums = torch.zeros((n_classes, X.shape[1]), **like)
            for rows in range(begin, end, _ROWS):
                piece = slice(rows, min(rows + _ROWS, end))
                copies = 1 if weight is None else weight[piece]
                sums.index_add_(0, index[piece], X[piece].double() * copies)
            return sums

        mean = sum(in_threads(sums_of, len(X), X.numel()))
        divisor = np.where(count > 0, count, 1)
        mean /= torch.as_tensor(divisor, device=X.device)[:, None]
        centres = mean.to(X.dtype)

        def scatter_of(begin, end):
            scatter, fourth = torch.zeros((X.shape[1],) * 2, **like), 0.0
            for rows in range(begin, end, _ROWS):
                piece = slice(rows, min(rows + _ROWS, end))
                near = X[piece].abs().amax() <= _FAR
                residual = X[piece] - centres[index[piece]]
                if not near:  # or its rounding drowns the others
                    residual = X[piece].double() - mean[index[piece]]
                fourths = residual.square().sum(1, keepdim=True).double().square()
                copies = 1 if weight is None else weight[piece].to(residual)
                scatter += _outer_products(residual, copies)
                fourth += float((fourths * copies).sum())
            return scatter, fourth

        parts = in_threads(scatter_of, len(X), X.numel())
        scatter = sum(part for part, _ in parts).cpu().numpy()
        return cls(count, mean.cpu().numpy(), scatter, sum(part for _, part in parts))

    def without(self, part):
        """Give the scatter of the samples that are not in a part, exactly."""
        count = self.count - part.count
        count = np.where(count > 1e-9 * self.count, count, 0)  # sums of weights round
        divisor = np.where(count > 0, count, 1)[:, None]
        mean = (
            self.count[:, None] * self.mean - part.count[:, None] * part.mean
        ) / divisor
        mean[count == 0] = 0
        apart = part.mean - mean
        weight = part.count * count / np.where(self.count > 0, self.count, 1)
        scatter = self.scatter - part.scatter
        scatter -= (weight[:, None] * apart).T @ apart
        return WithinScatter(count, mean, scatter, max(self.fourth - part.fourth, 0.0))

    @property
    def prior(self):
        """Share of each class, (n_classes,)."""
        return self.count / self.count.sum()

    def shrinkage(self, boost=1.0):
        """Share by which the covariance is shrunk."""
        n, d = self.count.sum(), len(self.scatter)
        squared = np.vdot(self.scatter, self.scatter) / n**2
        away = squared / d - (np.trace(self.scatter) / (n * d)) ** 2
        noise = (self.fourth / n - squared) / (n * d)
        share = noise / away if away > 0 else 1.0
        share = float(np.clip(share, _LEAST_SHARE, 1))
        return boost * share / (1 - share + boost * share)

    def covariance(self, boost=1.0):
        """Pooled within-class covariance, shrunk towards a multiple of the identity."""
        n, d = self.count.sum(), len(self.scatter)
        mean_variance = np.trace(self.scatter) / (n * d)
        if mean_variance <= 0:
            return np.eye(d)
        share = self.shrinkage(boost)
        covariance = (1 - share) / n * self.scatter
        covariance.flat[:: d + 1] += share * mean_variance
        return covariance

    def principal_axes(self, n_axes):
        """Leading principal directions of all samples, scaled to variance 1."""
        apart = self.mean - self.overall_mean
        between = (apart * self.count[:, None]).T @ apart
        covariance = torch.from_numpy((self.scatter + between) / self.count.sum())
        n_axes = min(n_axes, len(covariance), max(int(self.count.sum()), 1))
        if len(covariance) > _MANY_FEATURES:
            vectors, values, _ = randomized_svd(
                covariance.numpy(), n_axes, n_iter=4, random_state=0
            )
        else:
            values, vectors = torch.linalg.eigh(covariance)
            values, vectors = values.flip(0).numpy(), vectors.flip(1).numpy()
        values, vectors = values[:n_axes], vectors[:, :n_axes]
        kept = values > 1e-6 * values[0]  # of float32 sums the rest is rounding
        kept[0] = True
        spread = np.sqrt(np.where(values > 0, values, 1.0))
        return with_signs((vectors / spread)[:, kept].T)

    @property
    def overall_mean(self):
        """Mean of all samples, (n_features,)."""
        return self.prior @ self.mean


def _outer_products(rows, copies):
    """Sum of the outer products of some rows, each counted so many times."""
    if isinstance(copies, int) and rows.device.type == "cpu":
        # NumPy sees that this is symmetric, and does half the work
        return torch.from_numpy(rows.numpy().T @ rows.numpy())
    return (rows * copies).T @ rows


_KEPT_BYTES = 128 * 2**20  # of all that is kept of the folds; the rest is made again
_GRID_REACH = 5.0  # spreads from a class mean to the end of a grid; beyond is exact


class FoldScatters:
    """Scatters of the folds, their total, and the total without some of them."""

    def __init__(self, measure, folds, fourth):
        self._measure, self._folds = measure, folds
        self._kept, self._room, self._lock = {}, _KEPT_BYTES, Lock()
        parts = []
        for fold, rows in enumerate(folds):
            parts.append(measure(rows))
            if not self._keep((fold, "alone"), parts[-1]):
                parts = [merged(parts)]  # at once, so that it need not be held
        self.whole = merged(parts)
        # around one mean these add up; around those of folds they would not
        self._fourth = fourth(self.whole.mean)
        self.whole = replace(self.whole, fourth=self._fourth.sum())

    def without(self, *folds):
        """Scatter of the samples that are in none of some folds, exactly."""
        if folds in self._kept:
            return self._kept[folds]
        rest = self.whole
        for fold in folds:
            part = self._kept.get((fold, "alone"))
            part = part or self._measure(self._folds[fold])
            fourth = self._fourth[self._folds[fold]].sum()
            rest = rest.without(replace(part, fourth=fourth))
        self._keep(folds, rest)
        return rest

    def _keep(self, name, scatter):
        """Keep a scatter where there is room for it, and tell whether there was."""
        size = scatter.scatter.nbytes + scatter.mean.nbytes + scatter.count.nbytes
        with self._lock:  # folds are asked for side by side
            if name in self._kept:
                return True
            if size > self._room:
                return False
            self._kept[name], self._room = scatter, self._room - size
            return True


def merged(parts):
    """Join the scatters of disjoint samples; the fourth powers are left out."""
    count = sum(part.count for part in parts)
    mean = sum(part.count[:, None] * part.mean for part in parts)
    mean /= np.where(count > 0, count, 1)[:, None]
    # in place from here on, as new memory of this size costs as much as the sums
    apart = np.concatenate([part.mean - mean for part in parts])
    weight = np.concatenate([part.count for part in parts])[:, None]
    scatter = (weight * apart).T @ apart
    for part in parts:
        scatter += part.scatter
    return WithinScatter(count, mean, scatter, 0.0)


def fourth_powers(X, codes, mean, weight=None):
    """Fourth power of the distance of each sample from the mean of its class."""
    index = torch.as_tensor(codes, device=X.device)
    centres = torch.as_tensor(mean, device=X.device).to(X.dtype)
    powers = torch.empty(len(X), dtype=torch.float64, device=X.device)

    def fill(begin, end):
        for rows in row_blocks(X[begin:end]):
            residual = rows - centres[index[begin : begin + len(rows)]]
            squares = residual.square_().sum(1).double()
            powers[begin : begin + len(rows)] = squares.square_()
            begin += len(rows)

    in_threads(fill, len(X), X.numel())
    powers = powers.cpu().numpy()
    return powers if weight is None else powers * weight


def pooled_moments(scatter, axes, directions, share):
    """Moments of slices, from a scatter alone: all classes have the pooled variance."""
    within = axes @ scatter.scatter @ axes.T / scatter.count.sum()
    variance = ((directions @ within) * directions).sum(1)[:, None].clip(0)
    mean = directions @ (axes @ scatter.mean.T)  # (S, K)
    present, far = (mean[:, scatter.count > 0], _GRID_REACH * np.sqrt(variance[:, 0]))
    return ClassMoments(
        count=scatter.count,
        mean=mean,
        variance=np.broadcast_to(variance, mean.shape).copy(),
        reach=np.zeros(mean.shape),
        low=present.min(1) - far,
        high=present.max(1) + far,
        share=share,
    )
