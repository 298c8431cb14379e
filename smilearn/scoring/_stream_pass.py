"""The streaming schedule: samples outside, in two passes; slices inside."""

import numpy as np

from smilearn.exceptions import InvalidInputError
from smilearn.scoring._engine import score_new
from smilearn.scoring._far import far_in_blocks
from smilearn.scoring._moments import ClassMoments
from smilearn.scoring._reliability import SliceTally
from smilearn.scoring._standardize import standardize
from smilearn.scoring._stream import extent_of, finished, measured, merged
from smilearn.scoring._tables import nodes_needed
from smilearn.utils._indexing import as_tensor
from smilearn.utils._weights import enough_weight


class StreamPass:
    """Fit slices and score the samples they are fitted on, a batch at a time."""

    def __init__(self, batches, settings, *, block_length, left_out):
        self._batches, self.settings = batches, settings
        self.left_out = left_out
        self._parts, self._nodes, self.extent = [], [], None
        self.labels, self.weight = _labels_and_weights(batches())
        self.classes, self._codes = np.unique(self.labels, return_inverse=True)
        if len(self.classes) < 2:
            raise InvalidInputError(
                "y must hold 2 classes or more, as the score compares labels; "
                f"got 1 class: {self.classes.tolist()[0]!r} for all "
                f"{len(self.labels)} samples."
            )
        enough_weight(self.weight, self.labels)
        self.far = np.zeros(len(self.labels), bool)
        self.tally = SliceTally(len(self.labels), block_length, self.weight)

    def set_far_aside(self, ratio):
        """Find far samples; they are not learnt from, and scored as new ones."""

        def blocks():
            return ((begin, as_tensor(X)) for begin, X, _ in self._again())

        self.far = far_in_blocks(blocks, self._codes, ratio, self.weight)

    def extend(self, directions):
        """Score with the slices of `directions`, (S, d), not counted in so far."""
        start, state = self.tally.n_slices, None
        fresh = directions[start:]
        for begin, X, weight in self._again():
            y = self.labels[begin : begin + X.shape[0]]
            state = with_batch(state, X, y, weight, fresh, self.settings)
        self.count, self.extent = state["count"], extent_of(state)
        self.centre, self.inverse_scale, moments = finished(state, fresh)
        nodes = nodes_needed(self.settings.densities(moments), moments)
        self._parts.append(moments)
        self._nodes.append(nodes)
        fitted = fresh, moments, nodes, self.settings
        with self.tally.piecewise(np.arange(start, len(directions))) as part:
            for begin, X, weight in self._again():
                rows = slice(begin, begin + X.shape[0])
                self._score(X, self._codes[rows], weight, fitted, part(rows))

    def _again(self):
        """Go through the batches again: where each begins, its samples and weights."""
        begin = 0
        for X, y, weight in self._batches():
            rows = slice(begin, begin + len(y))
            if not np.array_equal(y, self.labels[rows]):
                break
            if self.far[rows].any():
                weight = np.ones(len(y)) if weight is None else weight
                weight = weight * ~self.far[rows]
            yield begin, X, weight
            begin += len(y)
        if begin < len(self.labels):
            raise InvalidInputError(
                "batches must give the same samples in the same order each time they "
                f"are gone through; the {len(self.labels)} labels of the first time "
                f"did not come again from sample {begin} on."
            )

    def _score(self, X, codes, weight, fitted, tally):
        points = as_tensor(X, self.settings.device)
        scale = self.centre, self.inverse_scale
        points = standardize(points, *scale, self.settings.torch_dtype)
        points = points.to(self.settings.device)
        if weight is None or weight.all():
            score_new(points, [codes], *fitted, tally, self.left_out)
            return
        for rows, left_out in ((weight > 0, self.left_out), (weight == 0, False)):
            some = SliceTally(rows.sum(), tally.block_length)
            some.n_slices = tally.n_slices
            score_new(points[rows], [codes[rows]], *fitted, some, left_out)
            tally.take(rows, some)

    @property
    def moments(self):
        """Moments of all slices so far."""
        return ClassMoments.concatenate(self._parts)

    @property
    def nodes(self):
        """Grid size of all slices so far, (n_slices,)."""
        return np.concatenate(self._nodes)


def _labels_and_weights(batches):
    """Labels of all samples, and their weights, or None where all are 1."""
    labels, weights = [], []
    for _, y, weight in batches:
        labels.append(y)
        weights.append(np.ones(len(y)) if weight is None else weight)
    weight = np.concatenate(weights)
    return np.concatenate(labels), None if (weight == 1).all() else weight


def with_batch(state, X, y, weight, directions, settings):
    """Sums of the batches so far and one more; None where there is nothing yet."""
    if weight is not None and not weight.all():
        used = weight > 0
        X, y, weight = X[used], y[used], weight[used]
    if not len(X):
        return state
    fresh = measured(X, y, weight, directions, settings)
    return fresh if state is None else merged(state, fresh, directions)
