"""Slices: random unit directions, nested and orthogonal."""

import math

import numpy as np
import torch

from smilearn.utils._threads import in_threads, own_threads

_HARD = 100  # steps that an entry of an orthonormal block takes


class SliceDirections:
    """Uniform unit directions, drawn one after the other as they are asked for."""

    def __init__(self, n_features, rng, *, orthogonal=True):
        self.n_features = n_features
        self.orthogonal = orthogonal
        self._rng = rng
        self._gaussian = np.empty((0, n_features))
        self._unit = np.empty((0, n_features))

    def first(self, n_slices):
        """Give the first directions of the sequence."""
        missing = n_slices - len(self._gaussian)
        if missing > 0:
            fresh = self._rng.standard_normal((missing, self.n_features))
            begin = len(self._gaussian)  # blocks from here on are not whole
            begin -= begin % self.n_features if self.orthogonal else 0
            self._gaussian = np.concatenate([self._gaussian, fresh])
            tail = self._normalized(self._gaussian[begin:])
            self._unit = np.concatenate([self._unit[:begin], tail])
        return self._unit[:n_slices]

    def _normalized(self, rows):
        if not self.orthogonal:
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)
        unit = np.empty_like(rows)

        def work(begin, end):
            for block in range(begin, end):
                rows_of_block = slice(
                    block * self.n_features, (block + 1) * self.n_features
                )
                unit[rows_of_block] = _orthonormal(rows[rows_of_block])

        n_blocks = math.ceil(len(rows) / self.n_features)
        with own_threads(torch.device("cpu")):
            in_threads(work, n_blocks, _HARD * rows.size)
        return unit


def _orthonormal(rows):
    """Orthonormalize Gaussian rows (..., k, d) in order."""
    q, r = np.linalg.qr(np.swapaxes(rows, -1, -2))  # (..., d, k), (..., k, k)
    sign = np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
    return np.swapaxes(q, -1, -2) * sign[..., None]
