"""Within-class scatter, with and without a fold, and maps made from it (floor 1)."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils.extmath import randomized_svd

from smilearn._threads import in_threads

_MANY_FEATURES = 512  # beyond, principal axes come from a randomized method
_FAR = 30.0  # root mean squares; beyond, differences are in double precision
_ROWS = 2048  # samples in a piece that fits a cache
_LEAST_SHARE = 1e-6  # of shrinkage: the covariance must have an inverse
_LEAST_LENGTH = 1e-4  # of the longest: shorter discriminants tell nothing of a class


@dataclass(frozen=True)
class WithinScatter:
    """Class means and the scatter of samples around them.

    Parameters
    ----------
    count : ndarray of shape (n_classes,)
        Samples of each class; a class may be empty.

    mean : ndarray of shape (n_classes, n_features)
        Means; 0 for an empty class.

    scatter : ndarray of shape (n_features, n_features)
        Sum of the outer products of samples minus the mean of their class.

    fourth : float
        Sum of the fourth powers of the lengths of these differences.
    """

    count: np.ndarray
    mean: np.ndarray
    scatter: np.ndarray
    fourth: float

    @classmethod
    def of(cls, X, codes, n_classes):
        """Measure samples.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_features)
            Standardized embeddings.

        codes : ndarray of shape (n_samples,)
            Class of each.

        n_classes : int
            Classes K.

        Returns
        -------
        scatter : WithinScatter
            Their scatter.
        """
        index = torch.as_tensor(codes, device=X.device)
        count = np.bincount(codes, minlength=n_classes)
        like = {"dtype": torch.float64, "device": X.device}

        def sums_of(begin, end):
            sums = torch.zeros((n_classes, X.shape[1]), **like)
            for rows in range(begin, end, _ROWS):
                some = slice(rows, min(rows + _ROWS, end))
                sums.index_add_(0, index[some], X[some].double())
            return sums

        mean = sum(in_threads(sums_of, len(X), X.numel()))
        mean /= torch.as_tensor(np.maximum(count, 1), device=X.device)[:, None]
        centres = mean.to(X.dtype)

        def scatter_of(begin, end):
            scatter, fourth = torch.zeros((X.shape[1],) * 2, **like), 0.0
            for rows in range(begin, end, _ROWS):
                some = slice(rows, min(rows + _ROWS, end))
                near = X[some].abs().amax() <= _FAR
                residual = X[some] - centres[index[some]]
                if not near:  # or its rounding drowns the others
                    residual = X[some].double() - mean[index[some]]
                scatter += residual.T @ residual
                fourth += float(residual.square().sum(1).double().square().sum())
            return scatter, fourth

        parts = in_threads(scatter_of, len(X), X.numel())
        scatter = sum(part for part, _ in parts).cpu().numpy()
        return cls(count, mean.cpu().numpy(), scatter, sum(part for _, part in parts))

    def without(self, part):
        """Give the scatter of the samples that are not in a part, exactly.

        The fourth powers are taken around the means of all; they only set how much is
        shrunk.
        """
        count = self.count - part.count
        rest = np.maximum(count, 1)[:, None]
        mean = (
            self.count[:, None] * self.mean - part.count[:, None] * part.mean
        ) / rest
        mean[count == 0] = 0
        apart = part.mean - mean
        weight = part.count * count / np.maximum(self.count, 1)
        scatter = self.scatter - part.scatter
        scatter -= (weight[:, None] * apart).T @ apart
        return WithinScatter(count, mean, scatter, max(self.fourth - part.fourth, 0.0))

    @property
    def prior(self):
        """Share of each class, (n_classes,)."""
        return self.count / self.count.sum()

    def shrinkage(self, boost=1.0):
        """Share by which the covariance is shrunk.

        Parameters
        ----------
        boost : float, default=1.0
            How many times the share that minimizes the expected squared error of the
            covariance (Ledoit and Wolf, 2004).

        Returns
        -------
        share : float
            In (0, 1].
        """
        n, d = self.count.sum(), len(self.scatter)
        squared = np.vdot(self.scatter, self.scatter) / n**2
        away = squared / d - (np.trace(self.scatter) / (n * d)) ** 2
        noise = (self.fourth / n - squared) / (n * d)
        share = boost * noise / away if away > 0 else 1.0
        return float(np.clip(share, _LEAST_SHARE, 1))

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
        """Leading principal directions of all samples, scaled to variance 1.

        Parameters
        ----------
        n_axes : int
            Most directions wanted; fewer come back where fewer have variance.

        Returns
        -------
        axes : ndarray of shape (n_axes, n_features)
            One a row.
        """
        apart = self.mean - self.overall_mean
        between = (apart * self.count[:, None]).T @ apart
        covariance = torch.from_numpy((self.scatter + between) / self.count.sum())
        n_axes = min(n_axes, len(covariance), self.count.sum())
        if len(covariance) > _MANY_FEATURES:
            vectors, values, _ = randomized_svd(
                covariance.numpy(), n_axes, n_iter=4, random_state=0
            )
        else:
            values, vectors = torch.linalg.eigh(covariance)
            values, vectors = values.flip(0).numpy(), vectors.flip(1).numpy()
        values, vectors = values[:n_axes], vectors[:, :n_axes]
        known = values > 1e-6 * values[0]  # of float32 sums the rest is rounding
        known[0] = True
        spread = np.sqrt(np.where(values > 0, values, 1.0))
        return (vectors / spread)[:, known].T

    @property
    def overall_mean(self):
        """Mean of all samples, (n_features,)."""
        return self.prior @ self.mean


def _factor(scatter, boost):
    """Triangular factor of the shrunk covariance, by torch: one thread a fold."""
    return torch.linalg.cholesky(torch.from_numpy(scatter.covariance(boost)))


def _solve(factor, right, *, upper=False):
    """Solve a triangular system for the columns of an array (n_features, n)."""
    right = torch.from_numpy(np.ascontiguousarray(right))
    return torch.linalg.solve_triangular(factor, right, upper=upper).numpy()


def whitening(scatter, boost=1.0):
    """Map under which samples have the same spread around their means everywhere.

    Any square root of the inverse covariance does, as slices are drawn evenly in its
    image: here it is a triangular one.

    Parameters
    ----------
    scatter : WithinScatter
        Scatter of the training samples.

    boost : float, default=1.0
        Of the shrinkage.

    Returns
    -------
    axes : ndarray of shape (n_features, n_features)
        One a row; the image of x is ``axes @ x``.
    """
    return _solve(_factor(scatter, boost), np.eye(len(scatter.scatter)))


def discriminant_axes(scatter, boost=1.0, functions=None):
    """Span of the class means after :func:`whitening`: Fisher's discriminants.

    Parameters
    ----------
    scatter : WithinScatter
        Scatter of the training samples.

    boost : float, default=1.0
        Of the shrinkage.

    functions : tuple of ndarray, default=None
        What :func:`joint_functions` gives for the same, where it is known already.

    Returns
    -------
    axes : ndarray of shape (n_axes, n_features)
        One a row; at most ``n_classes - 1``, and 1 where all classes have one mean.
    """
    weights, _ = functions or joint_functions(scatter, boost)
    present = scatter.count > 0
    means = scatter.mean[present] - scatter.overall_mean
    weights = weights[present] - scatter.prior @ weights
    # squared lengths and directions of the whitened means, from their inner products
    squares, mixing = np.linalg.eigh(means @ weights.T)
    squares, mixing = squares[::-1], mixing[:, ::-1]
    known = squares > _LEAST_LENGTH**2 * squares[0]
    known[len(means) - 1 :] = False  # centred, they span one dimension less
    known[0] = True
    lengths = np.sqrt(np.maximum(squares[known], np.finfo(float).tiny))
    return (mixing[:, known] / lengths).T @ weights


def joint_functions(scatter, boost=1.0):
    """Linear discriminant functions: log densities of the classes up to a constant.

    Parameters
    ----------
    scatter : WithinScatter
        Scatter of the training samples; classes are normal with one covariance.

    boost : float, default=1.0
        Of the shrinkage.

    Returns
    -------
    weights : ndarray of shape (n_classes, n_features)
        One function a row.

    offset : ndarray of shape (n_classes,)
        Their constants, in nats.
    """
    factor = _factor(scatter, boost)
    weights = _solve(factor.T, _solve(factor, scatter.mean.T), upper=True).T
    return weights, -0.5 * (weights * scatter.mean).sum(1)


def joint_table(weights, offset, prior, X):
    """Pointwise mutual information under normal classes of one covariance, in nats.

    One slice of full dimension: the log posterior over the prior of linear
    discriminant analysis.

    Parameters
    ----------
    weights, offset : ndarray of shape (n_classes, n_features), (n_classes,)
        From :func:`joint_functions`.

    prior : ndarray of shape (n_classes,)
        Share of each class.

    X : Tensor of shape (n_samples, n_features)
        Standardized embeddings.

    Returns
    -------
    table : ndarray of shape (n_samples, n_classes)
        In nats.
    """
    linear = X @ torch.as_tensor(weights.T, dtype=X.dtype, device=X.device)
    linear = linear.double().cpu() + torch.from_numpy(offset)
    log_joint = linear + torch.from_numpy(np.log(prior))
    return linear.sub_(log_joint.logsumexp(1, keepdim=True)).numpy()
