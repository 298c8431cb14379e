"""Linear discriminant analysis whose samples are left out in closed form.

With the within-class scatter W, n samples, K classes and d features, the covariance is
``(1 - s) W / (n - K) + s tr(W) / (d (n - K)) I`` for a shrinkage s, and class k of sum
S_k and size n_k has the mean ``M_k = S_k / (n_k + 1)``: samples are centred, so that
small classes are drawn to the middle of all. The log density of a class falls with the
Mahalanobis distance from its mean, not with the square of it: tails as of a Laplace
distribution, so that no sample is taken for certain.

Without w copies of a sample x of class y, with ``r = x - S_y / n_y``::

    M_y' = (S_y - w x) / (n_y - w + 1)      W' = W - w n_y / (n_y - w) r r'

and ``n - K`` falls by w; the squared distances without x follow from those with it, by
the formula of Sherman and Morrison. The trace that the covariance is shrunk to and the
middle of all samples are kept: they move by a share of O(1 / n).
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from smilearn.scoring._pool import fit_pool
from smilearn.utils._threads import in_threads

SHRINKAGES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9)
# Of the whole variance: within classes that are points there is nothing but rounding.
_LEAST_VARIANCE = 1e-6
_TOWARDS_MIDDLE = 1.0  # samples in the middle of all that each class is given


@dataclass(frozen=True)
class LDA:
    """Sums of the classes in coordinates in which the covariance is the identity.

    count (K,); total (K, d) whitened; axes (d, d): standardized samples times it are
    whitened, or (d,): samples along the eigenvectors of the covariance are.
    """

    count: np.ndarray
    total: np.ndarray
    axes: np.ndarray
    shrinkage: float

    def table(self, points, settings):
        """Minus the distance of points (n, d) from each class mean, (n, K)."""
        white, means = self._whitened(points, settings), self._means(settings)
        return _distance(_squares(white, means))

    def left_out(self, points, codes, weight, settings):
        """The same of training samples, `weight` (n,) copies of each left out."""
        white, means = self._whitened(points, settings), self._means(settings)
        count, total = settings.tensor(self.count), settings.tensor(self.total)
        weight = settings.tensor(weight)[:, None]
        n_y = count[codes, None]
        rest = (n_y - weight).clamp_min(0)
        away = white - (total[codes] - weight * white) / (rest + _TOWARDS_MIDDLE)
        residual = white - total[codes] / n_y
        freedom = max(float(self.count.sum()) - len(self.count), 1.0)
        # of a class of one the residual is 0
        lost = weight * n_y / torch.where(rest > 0, rest, 1)
        lost = lost * ((1 - self.shrinkage) / freedom)
        lost = lost / (1 - lost * residual.square().sum(1, keepdim=True)).clamp_min(
            1e-6
        )
        along = (residual * white).sum(1, keepdim=True) - residual @ means.T
        squares = _squares(white, means).add_(lost * along.square_())
        along = (residual * away).sum(1, keepdim=True)
        own = away.square().sum(1, keepdim=True) + lost * along.square_()
        squares.scatter_(1, codes[:, None], own)
        return _distance(squares.mul_((1 - weight / freedom).clamp_min(0)))

    def _means(self, settings):
        return settings.tensor(self.total / (self.count + _TOWARDS_MIDDLE)[:, None])

    def _whitened(self, points, settings):
        axes = settings.tensor(self.axes)
        return points * axes if axes.ndim == 1 else points @ axes

    def along(self, eigenvectors):
        """The same for points that are not along the eigenvectors."""
        return replace(self, axes=eigenvectors * self.axes)


def _squares(white, means):
    """Squared distance of points from some means, (n, K)."""
    squares = (white @ means.T).mul_(-2).add_(means.square().sum(1))
    return squares.add_(white.square().sum(1, keepdim=True))


def _distance(squares):
    return squares.clamp_min_(0).sqrt_().neg_()


def choose_lda(ldas, points, codes, left_out, log_prior, weight, settings):
    """The mean log probability, LDA, pool and table of the best; points: rotated."""
    own, tried = torch.as_tensor(codes, device=points.device), []

    def work(begin, end):
        for lda in ldas[begin:end]:
            table = lda.left_out(points, own, left_out, settings)
            table = table.cpu().double().numpy()
            pool, reached = fit_pool({"lda": table}, codes, log_prior, weight)
            tried.append((reached, lda, pool, table))

    in_threads(work, len(ldas), points.numel())
    return max(tried, key=lambda each: (each[0], each[1].shrinkage))


def eigen_ldas(sums, shrinkages=SHRINKAGES):
    """Eigenvectors of the covariance, and along them the LDA of each shrinkage."""
    inverse = sums.inverse_scale
    freedom = max(sums.count.sum() - len(sums.count), 1.0)
    scatter = sums.scatter * np.outer(inverse, inverse) / freedom
    values, vectors = np.linalg.eigh(scatter)
    values = values.clip(0)
    middle = max(values.mean(), _LEAST_VARIANCE)
    total = ((sums.mean - sums.centre) * inverse * sums.count[:, None]) @ vectors
    ldas = []
    for share in shrinkages:
        white = ((1 - share) * values + share * middle) ** -0.5
        ldas.append(LDA(sums.count, total * white, white, share))
    return vectors, ldas
