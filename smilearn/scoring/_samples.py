"""Training samples, standardized and sorted by class."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.sparse import csr_array, diags_array, issparse
from scipy.sparse.linalg import LinearOperator, svds

from smilearn.scoring._directions import with_signs
from smilearn.scoring._standardize import (
    FARTHEST,
    centre_and_scale,
    centre_classes,
    inverse_scale_of,
    standardize,
)
from smilearn.utils._indexing import as_tensor, row_blocks
from smilearn.utils._threads import in_threads

_FEW_FEATURES = 512  # up to which there is a covariance


@dataclass(frozen=True)
class SparsePoints:
    """Rows of a sparse matrix minus dense ones; stands in for a dense tensor."""

    matrix: csr_array
    centres: np.ndarray
    codes: np.ndarray
    like: torch.Tensor

    @classmethod
    def of(cls, X, centre, inverse_scale, settings):
        """Standardize sparse embeddings."""
        matrix = csr_array(X, dtype=np.float64, copy=True)
        # a feature without zeros may lie far from 0: its entries are centred at once
        whole = np.bincount(matrix.indices, minlength=len(centre)) == matrix.shape[0]
        matrix.data -= np.where(whole, centre, 0)[matrix.indices]
        centre = np.where(whole, 0, centre)
        matrix = matrix @ diags_array(inverse_scale)
        farthest = abs(matrix).max(axis=1).toarray().ravel()
        if (farthest > FARTHEST).any():
            matrix = diags_array(FARTHEST / np.maximum(farthest, FARTHEST)) @ matrix
        matrix = csr_array(matrix).astype(settings.dtype)
        like = torch.empty(0, dtype=settings.torch_dtype, device=settings.device)
        centres = (centre * inverse_scale)[None]
        return cls(matrix, centres, np.zeros(matrix.shape[0], np.int64), like)

    def __len__(self):
        return self.matrix.shape[0]

    def __getitem__(self, rows):
        """Some of the points."""
        return replace(self, matrix=self.matrix[rows], codes=self.codes[rows])

    @property
    def device(self):
        """Where what is made from the points is."""
        return self.like.device

    @property
    def shape(self):
        """Samples and features."""
        return self.matrix.shape

    def new_empty(self, shape):
        """Room for something made from the points."""
        return self.like.new_empty(shape)

    def project(self, directions, out):
        """Projections on directions (S, n_features), into `out` (S, n_samples)."""
        directions = directions.cpu().double().numpy()
        shift = torch.from_numpy(directions @ self.centres.T)
        factors = np.ascontiguousarray(directions.T, self.matrix.dtype)

        def work(begin, end):
            product = torch.from_numpy(self.matrix[begin:end] @ factors).T
            moved = product - shift[:, self.codes[begin:end]]
            out[:, begin:end] = moved.to(out)

        in_threads(work, len(self), self.matrix.nnz * len(directions))
        return out

    def mapped(self, axes):
        """Images ``points @ axes.T``, dense."""
        axes = torch.as_tensor(axes)
        out = self.new_empty((len(axes), len(self)))
        return self.project(axes, out).T.contiguous()

    def centred(self, segments, weight=None):
        """Points minus the mean of their class, and these means (n_classes, d)."""
        codes = np.repeat(
            np.arange(len(segments)), [s.stop - s.start for s in segments]
        )
        weight = np.ones(len(self)) if weight is None else weight
        share = weight / np.bincount(codes, weight)[codes]
        member = csr_array((share, codes, np.arange(len(self) + 1)))
        sums = (member.T @ self.matrix).toarray()
        rows = np.arange(len(self) + 1)
        shape = len(self), len(self.centres)
        which = csr_array((np.ones(len(self)), self.codes, rows), shape=shape)
        means = sums - (member.T @ which) @ self.centres
        return replace(self, centres=sums, codes=codes), means

    def principal_axes(self, n_axes, weight=None):
        """Leading principal directions, scaled to variance 1: (n_axes, n_features)."""
        weight = np.ones(len(self)) if weight is None else weight
        narrow = self.shape[1] <= _FEW_FEATURES
        values, vectors = (self._all_axes if narrow else self._some_axes)(
            n_axes, weight
        )
        kept = values > 1e-6 * values[0]
        kept[0] = True
        spread = np.sqrt(np.where(values > 0, values, 1))[:, None]
        return with_signs((vectors / spread)[kept])

    def _all_axes(self, n_axes, weight):
        """Largest eigenvalues of the covariance and their vectors, one a row."""
        total = weight.sum()
        matrix = self.matrix.astype(np.float64)
        second = (matrix.T @ (diags_array(weight) @ matrix)).toarray() / total
        values, vectors = np.linalg.eigh(second - np.outer(*2 * [self.centres[0]]))
        n_axes = min(n_axes, max(int(total), 1))
        return values[::-1][:n_axes], vectors[:, ::-1][:, :n_axes].T

    def _some_axes(self, n_axes, weight):
        """The same where there are too many features for a covariance."""
        root, centre = np.sqrt(weight), self.centres[0]

        def forward(v):
            return root * (self.matrix @ v.ravel() - centre @ v.ravel())

        def backward(u):
            weighted = root * u.ravel()
            return self.matrix.T @ weighted - centre * weighted.sum()

        if not np.any(sparse_moments(self.matrix, weight)[1]):  # all rows are one
            return np.zeros(1), np.eye(1, self.shape[1])
        operator = LinearOperator(
            self.shape, matvec=forward, rmatvec=backward, dtype=np.float64
        )
        start = np.random.default_rng(0).standard_normal(min(self.shape))
        most = max(min(n_axes, min(self.shape) - 1), 1)
        _, values, vectors = svds(operator, most, v0=start)
        return values[::-1] ** 2 / weight.sum(), vectors[::-1]


def sparse_moments(X, weight=None):
    """Measure each feature of a sparse matrix."""
    n_features = X.shape[1]
    weight = np.ones(X.shape[0]) if weight is None else weight
    entries = np.repeat(weight, np.diff(X.indptr))
    values = X.data.astype(np.float64)
    largest = np.zeros(n_features)
    np.maximum.at(largest, X.indices, np.abs(values))
    unit = largest.max() or 1.0  # so that no square over- or underflows
    values /= unit
    total = weight.sum()
    centre = np.bincount(X.indices, entries * values, n_features) / total
    apart = entries * (values - centre[X.indices]) ** 2
    zeros = total - np.bincount(X.indices, entries, n_features)
    square = np.bincount(X.indices, apart, n_features) + zeros * centre**2
    spread = np.sqrt(square.clip(0) / total) * unit
    inverse_scale = inverse_scale_of(spread, largest, np.finfo(X.dtype).eps)
    return centre * unit, inverse_scale, np.stack([spread, largest]).astype(X.dtype)


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


def row_keys(X, rng):
    """Place each row on a random line: equal rows at one place."""
    line = rng.standard_normal(X.shape[1])
    line /= 1024 * np.linalg.norm(line)  # so that no sum overflows
    if issparse(X):
        return X.astype(np.float64) @ line
    line = torch.as_tensor(line, device=X.device)
    least = X.amin(0).double()  # the same in any order, and all there is of a constant

    def work(begin, end):
        # sums of a row, not a product: that rounds by where in a block a row stands
        return [
            (rows.double().contiguous() - least).mul_(line).sum(1)
            for rows in row_blocks(X[begin:end])
        ]

    parts = [part for parts in in_threads(work, len(X), X.numel()) for part in parts]
    return torch.cat(parts).cpu().numpy()


def folds_of(codes, keys, n_folds):
    """Deal the samples of each class out to folds, evenly; equal samples together."""
    first = np.full(codes.max() + 1, np.inf)
    np.minimum.at(first, codes, keys)
    place = np.argsort(np.argsort(first))[codes]  # of the class, by its smallest key
    order = np.lexsort((keys, place))
    sorted_keys, sorted_codes = keys[order], codes[order]
    differs = (np.diff(sorted_keys) != 0) | (np.diff(sorted_codes) != 0)
    fold = np.empty(len(codes), np.int64)
    # dealing on from class to class keeps the folds of one size
    fold[order] = np.concatenate([[0], np.cumsum(differs)]) % n_folds
    return fold
