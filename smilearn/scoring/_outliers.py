"""Outliers: samples far from their class, which must not be learnt from.

A few outliers of a class widen its density until it is the likeliest one out there:
they become the safest samples of their class, and hide the others.
"""

import numpy as np
import torch

from smilearn.scoring._points import refuse_out_of_range
from smilearn.utils._indexing import row_blocks
from smilearn.utils._threads import in_threads, own_threads
from smilearn.utils._weights import weighted_quantile

_FEW = 30  # weight of a class: its middle is the median of each feature, not the mean
_ROUNDS = 10  # the farthest samples hide those that are less far


def find_outliers(blocks, codes, ratio, weight=None):
    """Find the samples far from the middle of their class, in two passes or more."""
    codes = np.ascontiguousarray(codes)
    weight = np.ones(len(codes)) if weight is None else np.asarray(weight, float)
    far = np.zeros(len(codes), bool)
    for _ in range(_ROUNDS):
        kept = weight * ~far
        middles = _middles(blocks, codes, kept)
        distance = np.concatenate([*blocks.map(_distances, (codes,), (middles,))])
        if not np.isfinite(distance).all():
            refuse_out_of_range(max(blocks.map(_largest)))
        typical = _class_medians(distance, codes, kept)
        middle = weighted_quantile(typical, 0.5, np.bincount(codes, weight))
        unit = np.maximum(typical, middle)
        beyond = distance / np.where(unit > 0, unit, np.inf)[codes]
        updated = _farthest_third(beyond, far | (beyond > ratio), codes, weight)
        if (updated == far).all():
            break
        far = updated
    return far


def _farthest_third(beyond, far, codes, weight):
    """Far samples up to a third of the weight of each class, the farthest first."""
    far &= weight > 0
    rows = np.flatnonzero(far)
    rows = rows[np.lexsort((-beyond[rows], codes[rows]))]
    running = np.cumsum(weight[rows])
    first = np.searchsorted(codes[rows], codes[rows])  # of the class
    running -= (running - weight[rows])[first]
    most = np.bincount(codes, weight)[codes[rows]] / 3
    kept = np.zeros_like(far)
    kept[rows[running <= most]] = True
    return kept


def _class_medians(values, codes, weight):
    """Weighted median of the values of each class, (n_classes,); 0 for an empty one."""
    rows = np.flatnonzero(weight > 0)
    rows = rows[np.argsort(values[rows])]  # by value, then by class: twice as fast
    rows = rows[np.argsort(codes[rows], kind="stable")]  # as a sort by both at once
    total = np.bincount(codes, weight)
    running = np.append(np.cumsum(weight[rows]), np.inf)
    begin = np.cumsum(total) - total
    middle = np.maximum(total - 1, 0) / 2
    ordered, last = np.append(values[rows], 0.0), len(rows) - 1
    places = begin + 1e-9 + [np.floor(middle), np.ceil(middle)]  # sums round
    low, high = ordered[np.searchsorted(running, places, side="right").clip(0, last)]
    return np.where(total > 0, low + (middle - np.floor(middle)) * (high - low), 0.0)


def _middles(blocks, codes, weight):
    """Middle of each class, (n_classes, n_features), float64."""
    total = np.bincount(codes, weight)
    size = np.bincount(codes[weight > 0], minlength=len(total))
    small = np.flatnonzero((size > 2) & (total <= _FEW))  # of two, it is the mean
    wanted = np.isin(codes, small) & (weight > 0)
    parts = (codes, weight, wanted), (total,)
    middles, rows = blocks.total(_class_sums, _joined, *parts)
    wanted = np.flatnonzero(wanted)
    if len(wanted):
        order = np.argsort(codes[wanted], kind="stable")
        for own in np.split(order, np.flatnonzero(np.diff(codes[wanted][order])) + 1):
            label = codes[wanted[own[0]]]
            middles[label] = _medians(rows[own], weight[wanted[own]])
    return middles


def _largest(block, settings):
    return float(block.features.abs().max())


def _joined(one, two):
    """Sums and rows of two blocks."""
    return one[0] + two[0], np.concatenate([one[1], two[1]])


def _class_sums(block, settings, codes, weight, wanted, total):
    """Share of the mean of each class, (n_classes, n_features), and the rows wanted."""
    X, n_classes = block.features, len(total)
    index = torch.as_tensor(codes, device=X.device)
    share = weight / np.where(total > 0, total, 1)[codes]  # no sum leaves the range
    copies = torch.as_tensor(share, device=X.device)[:, None]

    def work(begin, end):
        sums = copies.new_zeros((n_classes, X.shape[1]))
        for rows in row_blocks(X[begin:end]):
            piece = slice(begin, begin + len(rows))
            sums.index_add_(0, index[piece], rows.double() * copies[piece])
            begin += len(rows)
        return sums

    kept = X[torch.as_tensor(np.flatnonzero(wanted), device=X.device)]
    with own_threads(X.device):
        sums = sum(in_threads(work, len(X), X.numel()))
    return sums.cpu().numpy(), kept.double().cpu().numpy()


def _medians(X, weight):
    """Weighted median of each feature."""
    order = np.argsort(X, axis=0)
    below = np.cumsum(weight[order], axis=0) / weight.sum()
    ordered = np.take_along_axis(X, order, 0)
    low, high = (
        np.take_along_axis(ordered, reached.argmax(0)[None], 0)[0]
        for reached in (below >= 0.5, below > 0.5)
    )
    return low / 2 + high / 2


def _distances(block, settings, codes, middles):
    """Distance of each sample from the middle of its class, (n_samples,)."""
    X = block.features
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

    with own_threads(X.device):
        return torch.cat(in_threads(work, len(X), X.numel())).cpu().numpy()
