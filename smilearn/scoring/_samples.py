"""Training samples, standardized and sorted by class."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.sparse import issparse

from smilearn.scoring._feature_moments import centre_and_scale
from smilearn.scoring._sparse import SparsePoints, sparse_moments
from smilearn.scoring._standardize import centre_classes, standardize
from smilearn.utils._indexing import as_tensor


def _taken(values, rows):
    return None if values is None else values[rows]


@dataclass(frozen=True)
class SortedSamples:
    """Standardized training samples, sorted by class."""

    points: torch.Tensor | SparsePoints
    codes: np.ndarray
    order: np.ndarray
    centre: np.ndarray
    inverse_scale: np.ndarray
    weight: np.ndarray | None = None
    extent: np.ndarray | None = None

    @classmethod
    def of(cls, X, codes, settings, weight=None, keys=None):
        """Standardize and sort embeddings, an array."""
        order = np.argsort(codes, kind="stable")
        if keys is not None:
            order = np.lexsort((keys, codes))
        if issparse(X):
            *scale, extent = sparse_moments(X, weight)
            points = SparsePoints.of(X[order], *scale, settings)
            weight = _taken(weight, order)
            return cls(points, codes[order], order, *scale, weight, extent)
        X = as_tensor(X, settings.device)
        weights = None if weight is None else torch.as_tensor(weight, device=X.device)
        *scale, extent = centre_and_scale(X, weights)
        index = torch.as_tensor(order, device=X.device)
        largest = extent[1].astype(np.float64)
        points = standardize(X, *scale, settings.torch_dtype, index, largest)
        points, weight = points.to(settings.device), _taken(weight, order)
        return cls(points, codes[order], order, *scale, weight, extent)

    @property
    def count(self):
        """Samples of each class, or their weight, (n_classes,)."""
        return np.bincount(self.codes, self.weight)

    def weight_of(self, rows):
        """Weight of some samples; None where all weigh alike."""
        return _taken(self.weight, rows)

    @property
    def segments(self):
        """Rows of each class, a list of slices."""
        size = np.bincount(self.codes)
        ends = np.cumsum(size)
        return [slice(end - n, end) for end, n in zip(ends, size, strict=True)]

    def mapped(self, axes):
        """Images under a linear map: ``points @ axes.T``."""
        if isinstance(self.points, SparsePoints):
            return replace(self, points=self.points.mapped(axes))
        axes = torch.as_tensor(axes).to(self.points)
        return replace(self, points=self.points @ axes.T)

    def centred(self):
        """Points minus the mean of their class, and the means (n_classes, d)."""
        if isinstance(self.points, SparsePoints):
            return self.points.centred(self.segments, self.weight)
        means = centre_classes(self.points, self.segments, self.weight)
        return self.points, means

    def in_input_order(self, values):
        """Undo the sort."""
        result = np.empty_like(values)
        result[self.order] = values
        return result
