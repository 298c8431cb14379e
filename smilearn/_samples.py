"""Training samples, standardized and sorted by class (floor 2)."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from smilearn._standardize import as_tensor, centre_and_scale, standardize


def _taken(values, rows):
    return None if values is None else values[rows]


@dataclass(frozen=True)
class SortedSamples:
    """Standardized training samples, sorted by class.

    Parameters
    ----------
    points : Tensor of shape (n_samples, n_features)
        Standardized embeddings.

    codes : ndarray of shape (n_samples,)
        Class of each, ascending from 0, none of them empty.

    order : ndarray of shape (n_samples,)
        Place of each sample in the input.

    centre, inverse_scale : ndarray of shape (n_features_in,)
        How the embeddings were standardized.

    weight : ndarray of shape (n_samples,), default=None
        Weight of each, above 0; None weighs all alike.
    """

    points: torch.Tensor
    codes: np.ndarray
    order: np.ndarray
    centre: np.ndarray
    inverse_scale: np.ndarray
    weight: np.ndarray | None = None

    @classmethod
    def of(cls, X, codes, settings, weight=None):
        """Standardize and sort embeddings, an array.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Embeddings.

        codes : ndarray of shape (n_samples,)
            Class of each sample, 0 to n_classes - 1, none of them empty.

        settings : Settings
            Device and precision.

        weight : ndarray of shape (n_samples,), default=None
            Weight of each sample, above 0.
        """
        X = as_tensor(X, settings.device)
        order = np.argsort(codes, kind="stable")
        weights = None if weight is None else torch.as_tensor(weight, device=X.device)
        scale = centre_and_scale(X, weights)
        index = torch.as_tensor(order, device=X.device)
        points = standardize(X, *scale, settings.torch_dtype, index)
        points, weight = points.to(settings.device), _taken(weight, order)
        return cls(points, codes[order], order, *scale, weight)

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
        axes = torch.as_tensor(axes).to(self.points)
        return replace(self, points=self.points @ axes.T)

    def in_input_order(self, values):
        """Undo the sort."""
        result = np.empty_like(values)
        result[self.order] = values
        return result
