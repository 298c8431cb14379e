"""How far a linear or softmax layer lets a sample move its own prediction."""

import numpy as np
from scipy.special import expit, softmax


def centred_rows(X, centre, scale):
    """Samples centred and scaled, with a 1 behind them, (n_samples, n_features + 1)."""
    return np.column_stack([(X - centre) / scale, np.ones(len(X))])


def softmax_inverse(rows, curvature, penalty):
    """Inverse Hessian of the penalized loss of a softmax layer, summed over samples."""
    n_outputs, width = curvature.shape[1], rows.shape[1]
    hessian = np.empty((n_outputs, width, n_outputs, width))
    for a in range(n_outputs):
        for b in range(a, n_outputs):
            block = rows.T @ (curvature[:, a, b, None] * rows)
            hessian[a, :, b], hessian[b, :, a] = block, block.T
        hessian[a, range(width - 1), a, range(width - 1)] += penalty
    if n_outputs > 1:  # equal biases for all: a direction without any curvature
        hessian[:, -1, :, -1] += len(rows)
    size = n_outputs * width
    return np.linalg.inv(hessian.reshape(size, size)).reshape(hessian.shape)


def softmax_curvature(logits):
    """Derivative of probabilities by logits, (n_samples, n_outputs, n_outputs)."""
    if logits.ndim == 1:
        p = expit(logits)
        return (p * (1 - p))[:, None, None]
    p = softmax(logits, axis=1)
    return p[:, :, None] * (np.eye(p.shape[1]) - p[:, None, :])


def traces(rows, curvature, inverse):
    """Sum over the outputs of how a prediction follows its own label."""
    leverage = np.zeros(len(rows))
    for a, b in np.ndindex(curvature.shape[1:]):
        moved = ((rows @ inverse[b, :, a]) * rows).sum(1)
        leverage += curvature[:, a, b] * moved
    return leverage
