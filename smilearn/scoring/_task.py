"""What a family of slices learns from, and what it has learnt."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np

from smilearn.scoring import _maps
from smilearn.scoring._comparison import Comparison
from smilearn.scoring._directions import SliceDirections
from smilearn.scoring._fold_scatter import FoldScatters, fourth_powers
from smilearn.scoring._moments import ClassMoments
from smilearn.scoring._reader import Settings
from smilearn.scoring._samples import SortedSamples, SparsePoints
from smilearn.scoring._scatter import WithinScatter


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
            return _maps.joint_functions(rest, self.boost)

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
