"""What there is to learn: samples, folds, maps and the comparison of labels."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import torch

from smilearn.metrics import label_contrast
from smilearn.scoring._directions import SliceDirections, with_signs
from smilearn.scoring._folds import FoldScatters, WithinScatter, fourth_powers
from smilearn.scoring._moments import ClassMoments
from smilearn.scoring._reader import Settings
from smilearn.scoring._samples import SortedSamples, SparsePoints

ROWS = 1_500  # samples compared, where there are as many
_LABELS = 16  # wrong labels of each


class Comparison:
    """Samples of some folds, their own label and some wrong ones."""

    def __init__(self, codes, folds, n_classes, n_rows=ROWS, weight=None):
        self._weight = weight
        self.rows, self.labels, start = {}, {}, 0
        n_wrong = min(n_classes - 1, _LABELS)
        for fold, members in enumerate(folds):
            wanted = n_rows - start
            if wanted <= 0:
                break
            places = np.linspace(0, len(members) - 1, min(wanted, len(members)))
            rows = members[np.round(places).astype(int)]
            first = n_wrong * np.arange(start, start + len(rows))[:, None]
            shift = (first + np.arange(n_wrong)) % (n_classes - 1) + 1
            own = codes[rows][:, None]
            self.rows[fold] = rows
            self.labels[fold] = np.hstack([own, (own + shift) % n_classes])
            start += len(rows)

    def of(self, folds):
        """Samples (n,) and labels (n, n_labels) of some folds, one after the other."""
        return tuple(
            np.concatenate([values[fold] for fold in folds])
            for values in (self.rows, self.labels)
        )

    def parted(self, table, folds):
        """Cut a table of the samples of some folds into those of each, a dict."""
        ends = np.cumsum([len(self.rows[fold]) for fold in folds])
        return dict(zip(folds, np.split(table, ends[:-1]), strict=True))

    def contrast(self, tables):
        """Label contrast."""
        table = np.concatenate([tables[fold] for fold in self.rows])
        weight = self._weight
        if weight is not None:
            weight = weight[np.concatenate(list(self.rows.values()))]
        return label_contrast(table, np.zeros(len(table), np.int64), weight)


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


@dataclass(frozen=True)
class Task:
    """What every family learns from."""

    samples: SortedSamples
    settings: Settings
    fold: np.ndarray | None
    generator: Callable
    n_slices: int | str = "auto"
    max_slices: int = 4096
    orthogonal: bool = True
    left_out: bool = True
    verbose: bool = False
    compare: bool = False
    boost: float | None = None
    known: dict = field(default_factory=dict, repr=False)
    axes: dict = field(default_factory=dict, repr=False)

    def directions(self, n_features):
        """Sequence of directions in a space of some dimension."""
        rng = self.generator()
        return SliceDirections(n_features, rng, orthogonal=self.orthogonal)

    def block_length(self, n_features):
        """Directions in an orthonormal block."""
        return n_features if self.orthogonal else 1

    @cached_property
    def share(self):
        """Share of each class, (n_classes,)."""
        return self.samples.count / self.samples.count.sum()

    def folds(self, which=None):
        """Samples of some folds, or of each; none is empty."""
        which = range(self.fold.max() + 1) if which is None else which
        return [np.flatnonzero(self.fold == fold) for fold in which]

    @property
    def comparison(self):
        """Held-out samples and the labels they are compared under."""
        return self._once("comparison", self._compare)

    @property
    def in_folds(self):
        """Whether samples are left out a fold at a time."""
        weight = self.samples.weight
        return self.left_out and weight is not None and (weight % 1 != 0).any()

    @property
    def scatters(self):
        """Scatter of all samples, and without each fold."""
        return self._once("scatters", self._scatters)

    @property
    def scatter(self):
        """Scatter of all samples."""
        return self.scatters.whole

    def functions(self, fold=None):
        """Linear discriminant functions from all samples, or from all but a fold."""

        def make():
            rest = self.scatter if fold is None else self.scatters.without(fold)
            return joint_functions(rest, self.boost)

        return self._once(("functions", fold, self.boost), make)

    def _once(self, name, make):
        if name not in self.known:
            self.known[name] = make()
        return self.known[name]

    def _compare(self):
        codes, weight = self.samples.codes, self.samples.weight
        return Comparison(codes, self.folds(), len(self.share), weight=weight)

    def _scatters(self):
        points, codes = self.samples.points, self.samples.codes
        fourth = partial(fourth_powers, points, codes, weight=self.samples.weight)
        folds = [np.arange(len(codes))] if self.fold is None else self.folds()
        return FoldScatters(self.scatter_of, folds, fourth)

    def scatter_of(self, rows):
        """Scatter of some samples."""
        points, codes = self.samples.points[rows], self.samples.codes[rows]
        weight = self.samples.weight_of(rows)
        return WithinScatter.of(points, codes, len(self.share), weight)

    def principal_axes(self, n_axes):
        """Leading principal directions, (n_axes, n_features); kept for the next one."""
        most = max(self.axes, default=0)
        if most < n_axes:
            points = self.samples.points
            if isinstance(points, SparsePoints):
                axes = points.principal_axes(n_axes, self.samples.weight)
            else:
                axes = self.scatter.principal_axes(n_axes)
            most, self.axes[n_axes] = n_axes, axes
        return self.axes[most][:n_axes]


@dataclass
class Learnt:
    """What a family has learnt, as plain arrays."""

    scores: np.ndarray
    scores_std: np.ndarray
    reliability: float
    contrast: float | None
    axes: np.ndarray | None = None
    directions: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    moments: ClassMoments | None = None
    nodes: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    functions: tuple | None = None
