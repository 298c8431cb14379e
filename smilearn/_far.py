"""Samples far from their class, which must not be learnt from (floor 2).

A few far samples of a class widen its density until it is the likeliest one out there:
they become the safest samples of their class, and hide the others.
"""

import numpy as np
import torch
from scipy.sparse import csr_array, issparse

from smilearn._standardize import as_tensor, row_blocks
from smilearn._threads import in_threads
from smilearn._weights import weighted_quantile

_FEW = 30  # samples of a class: its middle is the median of each feature, not the mean
_ROUNDS = 10  # the farthest samples hide those that are less far


def far_samples(X, codes, ratio, weight=None):
    """Find the samples that are far from the middle of their class.

    The middle is the mean of the samples that are not far (of a small class the median
    of each feature). Distances are measured in the median distance in the class or in
    the typical class, whichever is larger, as equal rows are no reason to call others
    far. Up to a sixth of a class can be found to be far.

    Parameters
    ----------
    X : ndarray, Tensor or csr_array of shape (n_samples, n_features)
        Embeddings.

    codes : ndarray of shape (n_samples,)
        Class of each sample; no class is empty.

    ratio : float
        Distance beyond which a sample is far.

    weight : ndarray of shape (n_samples,), default=None
        Weight of each sample; None weighs all alike.

    Returns
    -------
    far : ndarray of shape (n_samples,)
        Whether each sample is far; never more than half of a class.
    """
    X = csr_array(X, dtype=float) if issparse(X) else as_tensor(X)
    X, codes = _in_range(X), np.ascontiguousarray(codes)
    weight = np.ones(len(codes)) if weight is None else np.asarray(weight, float)
    order = np.argsort(codes, kind="stable")
    by_class = np.split(order, np.bincount(codes).cumsum()[:-1])
    far = np.zeros(len(codes), bool)
    for _ in range(_ROUNDS):
        distance = _distances(X, _middles(X, codes, weight * ~far, by_class), codes)
        typical = np.array([_median(distance, weight * ~far, r) for r in by_class])
        unit = np.maximum(typical, np.median(typical[codes]))[codes]
        found = far | ((distance > ratio * unit) & (unit > 0) & (weight > 0))
        if (found == far).all():
            break
        far = found
    return far


def _in_range(X):
    """Multiply by a power of two, where squares would leave the range of numbers."""
    largest = float(abs(X).max() if issparse(X) else max(X.amax(), -X.amin()))
    if 1e-100 < largest < 1e100 or largest == 0:
        return X
    return (X if issparse(X) else X.double()) * 2.0 ** -np.round(np.log2(largest))


def _median(distance, weight, rows):
    rows = rows[weight[rows] > 0]
    return weighted_quantile(distance[rows], 0.5, weight[rows]) if len(rows) else 0.0


def _middles(X, codes, weight, by_class):
    """Middle of each class, (n_classes, n_features), float64."""
    total = np.bincount(codes, weight)
    total[total == 0] = 1  # a class of weights 0, which nobody is compared with
    if issparse(X):
        member = csr_array((weight / total[codes], codes, np.arange(len(codes) + 1)))
        return (member.T @ X).toarray()
    index = torch.as_tensor(codes, device=X.device)
    copies = torch.as_tensor(weight, device=X.device)[:, None]

    def work(begin, end):
        sums = copies.new_zeros((len(total), X.shape[1]))
        for rows in row_blocks(X[begin:end]):
            some = slice(begin, begin + len(rows))
            sums.index_add_(0, index[some], rows.double() * copies[some])
            begin += len(rows)
        return sums

    middles = sum(in_threads(work, len(X), X.numel())).cpu().numpy() / total[:, None]
    for label, rows in enumerate(by_class):
        rows = rows[weight[rows] > 0]
        if 0 < len(rows) <= _FEW:
            middles[label] = _medians(X[rows].double().cpu().numpy(), weight[rows])
    return middles


def _medians(X, weight):
    """Weighted median of each feature."""
    order = np.argsort(X, axis=0)
    below = np.cumsum(weight[order], axis=0) / weight.sum()
    ordered = np.take_along_axis(X, order, 0)
    low, high = (
        np.take_along_axis(ordered, reached.argmax(0)[None], 0)[0]
        for reached in (below >= 0.5, below > 0.5)
    )
    return (low + high) / 2


def _distances(X, middles, codes):
    """Distance of each sample from the middle of its class, (n_samples,)."""
    if issparse(X):
        own = (X @ middles.T)[np.arange(len(codes)), codes]
        square = X.multiply(X).sum(1) - 2 * own + (middles**2).sum(1)[codes]
        return np.sqrt(square.clip(0))
    index, middles = (torch.as_tensor(v, device=X.device) for v in (codes, middles))

    def work(begin, end):
        distance = middles.new_empty(end - begin)
        start = 0
        for rows in row_blocks(X[begin:end]):
            stop = start + len(rows)
            own = middles.index_select(0, index[begin + start : begin + stop])
            distance[start:stop] = torch.linalg.vector_norm(own.sub_(rows), dim=1)
            start = stop
        return distance

    return torch.cat(in_threads(work, len(X), X.numel())).cpu().numpy()
