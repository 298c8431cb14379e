"""Families of slices: where they point, and how samples are scored unseen.

Unsupervised families (isotropic, principal) leave each sample out of the moments of its
class in closed form. A supervised map (whitened, discriminant, joint) has seen the
label of every sample it was made from, so samples are scored in folds, by maps and
moments that have not seen them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
import torch

from smilearn.metrics import label_contrast
from smilearn.scoring._directions import SliceDirections, with_signs
from smilearn.scoring._engine import (
    SliceTally,
    TrainingPass,
    extend_as_asked,
    project,
    score_new,
)
from smilearn.scoring._moments import ClassMoments, plain_moments
from smilearn.scoring._reader import Settings
from smilearn.scoring._samples import SortedSamples, SparsePoints
from smilearn.scoring._scatter import (
    FoldScatters,
    WithinScatter,
    fourth_powers,
    pooled_moments,
)
from smilearn.utils._threads import in_threads
from smilearn.utils._weights import weighted_quantile

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


_CONTRAST_SLICES = 256
BOOSTS = (1.0, 2.0, 4.0, 8.0, 16.0)
_TOGETHER = 0.3  # share of the folds that may be held out at once to compare labels
_MUCH = 10**9  # for `in_threads`: folds are always worth a thread each


def isotropic(task):
    """Slices even on the sphere. Overwrites the points of the task."""
    return _unsupervised(task, task.samples, None)


def principal(task, n_components):
    """Slices even in the whitened span of the leading principal directions."""
    axes = task.principal_axes(n_components)
    return _unsupervised(task, task.samples.mapped(axes), axes)


def whitened(task):
    """Slices even after within-class whitening."""
    whole = whitening(task.scatter, task.boost)
    n_slices = _n_slices(task, len(whole))

    def without(fold):
        axes = whitening(task.scatters.without(fold), task.boost)
        _, directions, total, _ = _measured(task, axes, n_slices)
        rows = task.folds([fold])[0]
        points = task.samples.points[rows] @ task.settings.tensor(axes).T
        return axes, directions, *_without(total, points, rows, directions, task)

    return _supervised(task, without, _measured(task, whole, n_slices))


def discriminant(task):
    """Slices even in the span of the class means, after within-class whitening."""
    whole = discriminant_axes(task.scatter, task.boost, task.functions())
    n_slices = _n_slices(task, len(whole))  # the same in every fold

    def measured(scatter, axes):
        directions = task.directions(len(axes)).first(n_slices)
        moments = pooled_moments(scatter, axes, directions, task.share)
        return axes, directions, moments, task.settings.nodes(moments)

    def without(fold):
        rest, functions = task.scatters.without(fold), task.functions(fold)
        return measured(rest, discriminant_axes(rest, task.boost, functions))

    return _supervised(task, without, measured(task.scatter, whole))


def joint(task):
    """One slice of full dimension: linear discriminant analysis."""
    points, codes = task.samples.points, task.samples.codes
    scores, tables, folds = np.empty(len(codes)), {}, task.folds()
    task.scatters  # noqa: B018 -- made before threads would make it twice

    def work(begin, end):
        for fold in range(begin, end):
            rows = folds[fold]
            functions = task.functions(fold)
            table = joint_table(*functions, task.share, points[rows])
            scores[rows] = table[np.arange(len(rows)), codes[rows]]
            if fold in task.comparison.rows:
                some = np.searchsorted(rows, task.comparison.rows[fold])
                labels = task.comparison.labels[fold]
                tables[fold] = np.take_along_axis(table[some], labels, 1)

    in_threads(work, len(folds), _MUCH)
    return Learnt(
        scores=scores,
        scores_std=np.zeros(len(scores)),
        reliability=1.0,
        contrast=task.comparison.contrast(tables),
        functions=task.functions(),
    )


def best_boost(task):
    """Choose how much more to shrink than Ledoit and Wolf, by the label contrast."""
    points, compared = task.samples.points, task.comparison

    def tables_of(boost):
        tables = {}
        for folds in _held_out(task):  # one factor serves a group of folds
            functions = joint_functions(task.scatters.without(*folds), boost)
            rows, labels = compared.of(folds)
            table = joint_table(*functions, task.share, points[rows])
            table = np.take_along_axis(table, labels, 1)
            tables |= compared.parted(table, folds)
        return tables

    task.scatters  # noqa: B018 -- made before threads would make it twice

    def work(begin, end):
        return [compared.contrast(tables_of(boost)) for boost in BOOSTS[begin:end]]

    contrasts = np.concatenate(in_threads(work, len(BOOSTS), _MUCH))
    return BOOSTS[int(np.argmax(contrasts))]


def _unsupervised(task, samples, axes):
    n_axes = samples.points.shape[1]
    directions, length = task.directions(n_axes), task.block_length(n_axes)
    options = {"left_out": task.left_out, "verbose": task.verbose}
    if task.in_folds:
        options["folds"] = task.folds()
    training = TrainingPass(samples, task.settings, block_length=length, **options)
    extend_as_asked(training, directions, task.n_slices, task.max_slices)
    tally = training.tally
    return Learnt(
        scores=tally.mean,
        scores_std=tally.standard_error,
        reliability=1.0 if n_axes == 1 else tally.reliability,
        contrast=_contrast(task, training, directions),
        axes=axes,
        directions=directions.first(tally.n_slices),
        moments=training.moments,
        nodes=training.nodes,
    )


def _contrast(task, training, directions):
    """Label contrast of folds, by the moments of the other folds: total minus fold."""
    if not task.compare:
        return None
    directions = directions.first(min(training.tally.n_slices, _CONTRAST_SLICES))
    total, compared, tables = training.moments[: len(directions)], task.comparison, {}
    for folds in _held_out(task):
        members = np.concatenate(task.folds(folds))
        points = training.points_of(members)
        rest, nodes = _without(total, points, members, directions, task)
        rows, labels = compared.of(folds)
        if len(rows) < len(members):
            points = training.points_of(rows)
        # to compare, coarse tables are fine enough
        table = score_new(points, labels.T, directions, rest, nodes // 2, task.settings)
        tables |= compared.parted(table, folds)
    return compared.contrast(tables)


def _held_out(task):
    """Folds in which labels are compared, in groups that are held out at once."""
    folds = tuple(task.comparison.rows)
    if len(folds) <= _TOGETHER * (task.fold.max() + 1):
        return [folds]
    return [(fold,) for fold in folds]


def _without(total, points, rows, directions, task):
    """Moments without some samples, and the grid sizes that belong to them."""
    product = points.new_empty((len(directions), len(points)))
    project(task.settings.tensor(directions), points, product)
    codes = torch.as_tensor(task.samples.codes[rows], device=points.device)
    weight = task.samples.weight_of(rows)
    rest = total.without(plain_moments(product, codes, len(total.count), weight))
    return rest, task.settings.nodes(rest)


def _supervised(task, without, whole):
    """Score each fold by slices made without it."""
    folds, codes, tables = task.folds(), task.samples.codes, {}
    compared = task.comparison if task.compare else None

    def work(begin, end):
        return [held_out(fold) for fold in range(begin, end)]

    def held_out(fold):
        axes, *state = without(fold)
        rows, settings = folds[fold], task.settings
        points = task.samples.points[rows] @ settings.tensor(axes).T
        tally = SliceTally(len(rows), task.block_length(len(axes)))
        some = rows[:0] if compared is None else compared.rows.get(fold, rows[:0])
        if len(some) == len(rows):  # the first column is their own label
            columns = compared.labels[fold].T
            tables[fold] = score_new(points, columns, *state, settings, tally)
            return tally
        score_new(points, [codes[rows]], *state, settings, tally)
        if len(some):
            points = points[np.searchsorted(rows, some)]
            tables[fold] = score_new(points, compared.labels[fold].T, *state, settings)
        return tally

    parts = in_threads(work, len(folds), _MUCH)
    tallies = [tally for part in parts for tally in part]
    tally = SliceTally.gathered(tallies, folds, task.samples.weight)
    return Learnt(
        tally.mean,
        tally.standard_error,
        1.0 if len(whole[0]) == 1 else tally.reliability,
        compared and compared.contrast(tables),
        *whole,
    )


def _measured(task, axes, n_slices):
    """Slices in the image of a map, and the moments of all samples on them."""
    directions = task.directions(len(axes)).first(n_slices)
    samples = task.samples.mapped(axes)
    training = TrainingPass(samples, task.settings, block_length=1, left_out=False)
    training.measure(directions)
    return axes, directions, training.moments, training.nodes


def _n_slices(task, n_axes):
    """Slices of a supervised family: as asked for, or enough for its axes."""
    if n_axes == 1:
        return 1
    if task.n_slices != "auto":
        return task.n_slices
    return min(enough_slices(n_axes), task.max_slices)


def enough_slices(n_axes):
    """Slices after which a space of few dimensions has been seen from all sides."""
    return 1 if n_axes == 1 else int(np.clip(8 * n_axes, 64, 320))


FAMILIES = {"isotropic", "principal", "whitened", "discriminant", "joint", "adaptive"}
# the isotropic one last: it overwrites the points
MEMBERS = {
    "principal-16": ("principal", 16),
    "principal-64": ("principal", 64),
    "discriminant": ("discriminant", None),
    "joint": ("joint", None),
    "isotropic": ("isotropic", None),
}
_WIDTH = 0.05  # of contrast, in which a member falls from full weight to none
# of the discriminant member: whitened, every direction between classes tells about as
# much, so that few slices rank like many
_DISCRIMINANT_SLICES = 96
_MOST = 1e70  # nats; squares of the mixture stay finite
_LOW = 0.05  # quantile that sets the scale of a member


def learn(task, slicing, n_components):
    """Learn one family of slices."""
    if slicing in ("whitened", "discriminant", "joint") and task.boost is None:
        task = replace(task, boost=best_boost(task))
    if slicing == "principal":
        return principal(task, n_components)
    families = (isotropic, whitened, discriminant, joint)
    return {family.__name__: family for family in families}[slicing](task)


def member_tasks(task):
    """Task of each member of the mixture, by name, in the order to learn them in."""
    n_features = task.samples.points.shape[1]
    sparse = isinstance(task.samples.points, SparsePoints)
    boost = None if sparse else best_boost(task)
    task = replace(task, boost=boost, compare=True)
    task.principal_axes(max(n for _, n in MEMBERS.values() if n))
    for name, (slicing, n_components) in members_for(n_features, sparse).items():
        its_task = task
        if slicing != "isotropic":
            few = enough_slices(min(n_components or len(task.share) - 1, n_features))
            if slicing == "discriminant":
                few = min(few, _DISCRIMINANT_SLICES)
            wanted = few if task.n_slices == "auto" else min(few, task.n_slices)
            its_task = replace(task, n_slices=wanted)
        yield name, slicing, n_components, its_task


def members_for(n_features, sparse):
    """Members of the mixture that samples with so many features can have."""
    return {
        name: (slicing, n_components)
        for name, (slicing, n_components) in MEMBERS.items()
        # as many components as features: the same as isotropic, of whitened points
        if not (slicing == "principal" and n_components >= n_features)
        # no covariance of that many features
        if not (sparse and slicing in ("discriminant", "joint"))
    }


def weights_of(contrast):
    """Weight of each member: 1 for the best, 0 from a width below it on; sum 1."""
    best = max(contrast.values())
    raw = {
        name: max(0.0, 1 - (best - value) / _WIDTH) for name, value in contrast.items()
    }
    return {name: value / sum(raw.values()) for name, value in raw.items()}


def location_and_scale(scores, weight=None):
    """Median of the training scores of a member, and how far the low ones lie below."""
    scores = bounded(scores)
    low, middle = weighted_quantile(scores, [_LOW, 0.5], weight)
    mean = np.average(scores, weights=weight)
    deviation = np.average((scores - mean) ** 2, weights=weight) ** 0.5
    rounding = 1e-6 * max(abs(middle), 1)
    for spread in (middle - low, deviation):  # the second where most scores tie
        if spread > rounding:
            return float(middle), float(spread)
    return float(middle), 1.0


def bounded(scores):
    """Scores of a member, clipped so that the mixture can be squared."""
    return np.clip(scores, -_MOST, _MOST)


def mixed(scores, weights, places):
    """Weighted mean of standardized scores, in the average unit of the members."""
    location = sum(weights[name] * places[name][0] for name in scores)
    scale = sum(weights[name] * places[name][1] for name in scores)
    standardized = sum(
        weights[name] * (bounded(values) - places[name][0]) / places[name][1]
        for name, values in scores.items()
    )
    return location + scale * standardized


def mixed_errors(errors, weights, places):
    """Standard errors of :func:`mixed`, from those of the members."""
    scale = sum(weights[name] * places[name][1] for name in errors)
    standardized = [weights[n] / places[n][1] * bounded(errors[n]) for n in errors]
    return scale * np.sqrt(np.square(standardized).sum(0))
