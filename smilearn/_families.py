"""Families of slices: where they point, and how samples are scored unseen (floor 5).

Unsupervised families (isotropic, principal) leave each sample out of the moments of its
class in closed form. A supervised map (whitened, discriminant, joint) has seen the
label of every sample it was made from, so samples are scored in folds, by maps and
moments that have not seen them.
"""

import numpy as np
import torch

from smilearn import _scatter
from smilearn._engine import TrainingPass, extend_until, project, score_new
from smilearn._moments import plain_moments
from smilearn._reliability import SliceTally
from smilearn._tables import nodes_needed
from smilearn._task import CONTRAST_ROWS, Learnt
from smilearn._threads import in_threads

ENOUGH_RELIABILITY = 0.95
_CONTRAST_SLICES = 256
BOOSTS = (1.0, 2.0, 4.0, 8.0, 16.0)
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
    return _supervised(task, _scatter.whitening)


def discriminant(task):
    """Slices even in the span of the class means, after within-class whitening."""
    return _supervised(task, _scatter.discriminant_axes)


def joint(task):
    """One slice of full dimension: linear discriminant analysis."""
    table, compared = _joint_tables(task, [task.boost])[0], task.compared()
    return Learnt(
        scores=table[np.arange(len(table)), task.samples.codes],
        scores_std=np.zeros(len(table)),
        reliability=1.0,
        contrast=task.contrast_of(table[compared], compared),
        functions=_scatter.joint_functions(task.scatter, task.boost),
    )


def best_boost(task):
    """Choose how much more to shrink than Ledoit and Wolf, by the label contrast.

    Their share minimizes the error of the covariance, not that of what it is used for.
    """
    folds = task.contrast_folds(CONTRAST_ROWS[0] * 3)
    tables, compared = _joint_tables(task, BOOSTS, folds), task.compared(folds)
    contrasts = [task.contrast_of(table[compared], compared) for table in tables]
    return BOOSTS[int(np.argmax(contrasts))]


def _joint_tables(task, boosts, folds=None):
    """Joint pmi under each label, by folds that have not seen the sample: one a boost.

    Rows of other folds than those asked for are 0.
    """
    points, n_classes = task.samples.points, len(task.share)
    some = task.folds(folds)
    tables = np.zeros((len(boosts), len(points), n_classes))
    task.scatter  # noqa: B018 -- made before threads would make it twice

    def work(begin, end):
        for fold in range(begin, end):
            rows, rest = some[fold], task.scatter_without(fold)
            for table, boost in zip(tables, boosts, strict=True):
                functions = _scatter.joint_functions(rest, boost)
                table[rows] = _scatter.joint_table(*functions, task.share, points[rows])

    in_threads(work, len(some), _MUCH)
    return tables


def _unsupervised(task, samples, axes):
    n_axes = samples.points.shape[1]
    directions, length = task.directions(n_axes), task.block_length(n_axes)
    options = {"left_out": task.left_out, "verbose": task.verbose}
    if task.in_folds:
        options["folds"] = task.folds()
    training = TrainingPass(samples, task.settings, block_length=length, **options)
    if n_axes == 1:  # there is one direction only
        training.extend(directions.first(1))
    elif task.n_slices == "auto":
        extend_until(training, ENOUGH_RELIABILITY, directions, task.max_slices)
    else:
        training.extend(directions.first(task.n_slices))
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
    total, folds = training.moments[: len(directions)], task.contrast_folds()
    tables = []
    for rows in task.folds(folds):
        points = training.points_of(rows)
        rest = _without(total, points, rows, directions, task)
        columns = [np.full(len(rows), label) for label in range(len(task.share))]
        tables.append(score_new(points, columns, directions, *rest, task.settings))
    return task.contrast_of(np.concatenate(tables), np.concatenate(task.folds(folds)))


def _without(total, points, rows, directions, task):
    """Moments without some samples, and the grid sizes that belong to them."""
    product = points.new_empty((len(directions), len(points)))
    project(task.settings.tensor(directions), points, product)
    codes = torch.as_tensor(task.samples.codes[rows], device=points.device)
    weight = task.samples.weight_of(rows)
    rest = total.without(plain_moments(product, codes, len(total.count), weight))
    return rest, nodes_needed(task.settings.densities(rest), rest)


def _supervised(task, axes_of):
    folds, n_classes = task.folds(), len(task.share)
    compared = task.contrast_folds() if task.compare else range(0)
    whole = axes_of(task.scatter, task.boost)
    n_slices = _n_slices(task, len(whole))  # the same in every fold

    def work(begin, end):
        return [held_out(fold) for fold in range(begin, end)]

    def held_out(fold):
        rows = folds[fold]
        rest = task.scatter_without(fold)
        axes = axes_of(rest, task.boost)
        _, directions, total, _ = _measured(task, axes, n_slices)
        codes = task.samples.codes[rows]
        points = task.samples.points[rows] @ task.settings.tensor(axes).T
        state = directions, *_without(total, points, rows, directions, task)
        labels = range(n_classes) if fold in compared else ()
        columns = [codes, *(np.full(len(rows), label) for label in labels)]
        tally = SliceTally(len(rows), task.block_length(len(axes)))
        table = score_new(points, columns, *state, task.settings, tally)
        return tally, table[:, 1:]

    parts = in_threads(work, len(folds), _MUCH)
    tallies, tables = zip(*(result for part in parts for result in part), strict=True)
    tally = SliceTally.gathered(tallies, folds, task.samples.weight)
    contrast = None
    if task.compare:
        tables = np.concatenate([tables[fold] for fold in compared])
        contrast = task.contrast_of(tables, np.concatenate(task.folds(compared)))
    return Learnt(
        tally.mean,
        tally.standard_error,
        1.0 if len(whole) == 1 else tally.reliability,
        contrast,
        *_measured(task, whole, n_slices),
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
