"""Linear maps and functions made from within-class scatter."""

import numpy as np
import torch

from smilearn.scoring._directions import with_signs

_LARGE = 1e20  # weight of a feature, whose values go up to 1e6
_LEAST_LENGTH = 1e-4  # of the longest: shorter discriminants tell nothing of a class


def _factor(scatter, boost):
    """Triangular factor of the shrunk covariance, by torch: one thread a fold."""
    return torch.linalg.cholesky(torch.from_numpy(scatter.covariance(boost)))


def _solve(factor, right, *, upper=False):
    """Solve a triangular system for the columns of an array (n_features, n)."""
    right = torch.from_numpy(np.ascontiguousarray(right))
    return torch.linalg.solve_triangular(factor, right, upper=upper).numpy()


def whitening(scatter, boost=1.0):
    """Map under which samples have the same spread around their means everywhere."""
    return _solve(_factor(scatter, boost), np.eye(len(scatter.scatter)))


def discriminant_axes(scatter, boost=1.0, functions=None):
    """Span of the class means after :func:`whitening`: Fisher's discriminants."""
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
    return with_signs((mixing[:, known] / lengths).T @ weights)


def joint_functions(scatter, boost=1.0):
    """Linear discriminant functions: log densities of the classes up to a constant."""
    factor = _factor(scatter, boost)
    weights = _solve(factor.T, _solve(factor, scatter.mean.T), upper=True).T
    return weights, -0.5 * (weights * scatter.mean).sum(1)


def joint_table(weights, offset, prior, X):
    """Pointwise mutual information under normal classes of one covariance, in nats."""
    if np.abs(weights).max() > _LARGE:
        X = X.double()  # or the sums overflow
    linear = X @ torch.as_tensor(weights.T, dtype=X.dtype, device=X.device)
    linear = linear.cpu().double() + torch.from_numpy(offset)
    log_prior = torch.from_numpy(np.log(prior))
    table = linear.sub_((linear + log_prior).logsumexp(1, keepdim=True))
    return torch.minimum(table, -log_prior).numpy()  # large numbers apart by little
