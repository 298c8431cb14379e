"""Within-class scatter, with and without a part of the samples."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils.extmath import randomized_svd

from smilearn.scoring._directions import with_signs
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
