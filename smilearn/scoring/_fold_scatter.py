"""Scatter of all samples and of all but some folds, from one pass."""

from threading import Lock

import numpy as np
import torch

from smilearn.scoring._moments import ClassMoments
from smilearn.scoring._scatter import WithinScatter
from smilearn.utils._indexing import row_blocks
from smilearn.utils._threads import in_threads

_KEPT_BYTES = 128 * 2**20  # of all that is kept of the folds; the rest is made again
_FAR = 5.0  # spreads from a class mean to the end of a grid; beyond it is exact


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
        self.whole = _with_fourth(self.whole, self._fourth.sum())

    def without(self, *folds):
        """Scatter of the samples that are in none of some folds, exactly."""
        if folds in self._kept:
            return self._kept[folds]
        rest = self.whole
        for fold in folds:
            part = self._kept.get((fold, "alone"))
            part = part or self._measure(self._folds[fold])
            part = _with_fourth(part, self._fourth[self._folds[fold]].sum())
            rest = rest.without(part)
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
    present, far = mean[:, scatter.count > 0], _FAR * np.sqrt(variance[:, 0])
    return ClassMoments(
        count=scatter.count,
        mean=mean,
        variance=np.broadcast_to(variance, mean.shape).copy(),
        reach=np.zeros(mean.shape),
        low=present.min(1) - far,
        high=present.max(1) + far,
        share=share,
    )


def _with_fourth(scatter, fourth):
    return WithinScatter(scatter.count, scatter.mean, scatter.scatter, float(fourth))
