"""Sums from one batch after another, and two passes over the batches to score them.

Each batch is centred and scaled by itself, so that its sums keep their digits; what it
says is then moved to one origin and unit, in double precision, and merged by Chan's
rule. A state is a dict of arrays whose size does not depend on how many samples have
gone by: about ``4 * n_slices * n_classes + 3 * n_features`` numbers.
"""

import numpy as np
import torch

from smilearn.exceptions import InvalidInputError
from smilearn.scoring._batches import one_kind
from smilearn.scoring._engine import SlicePass, SliceTally, project, score_new
from smilearn.scoring._moments import ClassMoments, sums_of
from smilearn.scoring._outliers import far_in_blocks
from smilearn.scoring._samples import SortedSamples
from smilearn.scoring._standardize import feature_moments, inverse_scale_of, standardize
from smilearn.utils._devices import in_blocks, working_on
from smilearn.utils._indexing import as_tensor
from smilearn.utils._weights import enough_weight

# of each slice and class, and what stands for a class without samples
_EMPTY = {"mean": 0.0, "square": 0.0, "low": np.inf, "high": -np.inf}


def measured(X, y, weight, directions, settings):
    """Take the sums of one batch."""
    labels, codes = np.unique(y, return_inverse=True)
    X, order = as_tensor(X, settings.device), np.argsort(codes, kind="stable")
    weights = None if weight is None else torch.as_tensor(weight, device=X.device)
    centre, spread, largest = feature_moments(X, weights)
    eps = torch.finfo(X.dtype).eps
    clear = spread > 10 * eps * largest  # what is rounding is for all batches to tell
    widest = spread[clear].max() if clear.any() else np.inf
    spread_of_all = np.where(clear | (spread <= widest), spread, 0)
    inverse = inverse_scale_of(spread_of_all, largest, 0)
    index = torch.as_tensor(order, device=X.device)
    points = standardize(X, centre, inverse, settings.torch_dtype, index)
    whole = weight is None or (weight % 1 == 0).all()
    weight = None if weight is None else weight[order]
    points = points.to(settings.device)
    samples = SortedSamples(points, codes[order], order, centre, inverse, weight)
    scale = 1 / inverse.max() if inverse.any() else 0.0
    unit = _power_of_two(scale)
    ratio = scale / (unit or 1)
    middle, (mean, square, low, high) = _sums(samples, directions, settings)
    return {
        "labels": labels,
        "count": samples.count.astype(float),
        "whole": np.array(whole),  # one copy can be left out
        "unit": np.array(unit),
        "eps": np.array(eps),
        "origin": centre,
        "feature_mean": middle * ratio,  # the centre is rounded, this is not
        "feature_square": samples.count.sum() * (spread / (unit or 1)) ** 2,
        "largest": largest,
        "mean": mean * ratio,
        "square": square * ratio**2,
        "low": low * ratio,
        "high": high * ratio,
    }


def _sums(samples, directions, settings):
    """Mean of standardized samples, and sums of each slice and class."""
    segments, share = samples.segments, samples.count / samples.count.sum()
    residuals, class_means = samples.centred()

    def measured_on(block):
        product = residuals.new_empty((block.stop - block.start, len(residuals)))
        project(settings.tensor(directions[block]), residuals, product)
        mean = directions[block] @ class_means.T
        square, low, high = sums_of(product, segments, mean, samples.weight)
        yield block.stop, (mean, square, low + mean, high + mean)

    blocks = in_blocks(measured_on, settings, 0, len(directions), len(residuals))
    parts = [part for _, part in blocks]
    sums = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    return share @ class_means, sums


def merged(first, second, directions):
    """Join the sums of two sets of samples."""
    one_kind(second["labels"], first["labels"])
    apart = np.abs(second["origin"] - first["origin"]).max()
    unit = max(first["unit"], second["unit"], _power_of_two(apart))
    labels = np.union1d(first["labels"], second["labels"])
    states = [
        _moved(state, first["origin"], unit, labels, directions)
        for state in (first, second)
    ]
    one, two = states
    mean, square = _chan(*((s["count"], s["mean"], s["square"]) for s in states))
    feature_mean, feature_square = _chan(
        *((s["count"].sum(), s["feature_mean"], s["feature_square"]) for s in states)
    )
    return {
        "labels": labels,
        "count": one["count"] + two["count"],
        "whole": first["whole"] & second["whole"],
        "unit": np.array(unit),
        "eps": np.maximum(first["eps"], second["eps"]),
        "origin": first["origin"],
        "feature_mean": feature_mean,
        "feature_square": feature_square,
        "largest": np.maximum(first["largest"], second["largest"]),
        "mean": mean,
        "square": square,
        "low": np.minimum(one["low"], two["low"]),
        "high": np.maximum(one["high"], two["high"]),
    }


def _moved(state, origin, unit, labels, directions):
    """The same sums from another origin, in another unit, for more classes."""
    ratio, unit = state["unit"] / (unit or 1), unit or 1
    shift = (state["origin"] - origin) / unit
    along = (directions @ shift)[:, None]
    moved = {
        "feature_mean": state["feature_mean"] * ratio + shift,
        "feature_square": state["feature_square"] * ratio**2,
        "mean": state["mean"] * ratio + along,
        "square": state["square"] * ratio**2,
        # a class without samples stays at infinity
        **{
            n: np.where(np.isinf(state[n]), state[n], state[n] * ratio + along)
            for n in ("low", "high")
        },
    }
    place = np.searchsorted(labels, state["labels"])
    for name, empty in _EMPTY.items():
        wide = np.full((len(directions), len(labels)), empty)
        wide[:, place] = moved[name]
        moved[name] = wide
    moved["count"] = np.zeros(len(labels))
    moved["count"][place] = state["count"]
    return moved


def _chan(first, second):
    """Mean and sum of squares of two sets of samples, by Chan's rule."""
    (n, mean, square), (m, other_mean, other_square) = first, second
    share = m / np.where(n + m > 0, n + m, 1)
    apart = other_mean - mean
    return mean + share * apart, square + other_square + n * share * apart**2


def _power_of_two(value):
    return float(2.0 ** np.ceil(np.log2(value))) if value > 0 else 0.0


def extent_of(state):
    """Spread and largest value of each feature, in the precision of the samples."""
    spread = np.sqrt(state["feature_square"] / state["count"].sum()) * state["unit"]
    single = state["eps"] == np.finfo(np.float32).eps
    extent = np.stack([spread, state["largest"]])
    return extent.astype(np.float32 if single else np.float64)


def finished(state, directions):
    """Moments of standardized samples, as of one pass over all of them."""
    unit = state["unit"] or 1.0
    centre = state["origin"] + state["feature_mean"] * unit
    if state["eps"] == np.finfo(np.float32).eps:  # what is subtracted from float32
        centre = centre.astype(np.float32).astype(float)
    spread, largest = extent_of(state).astype(float)
    inverse_scale = inverse_scale_of(spread, largest, float(state["eps"]))
    factor = inverse_scale.max() * unit
    shift = (directions @ ((centre - state["origin"]) / unit))[:, None]
    mean, low, high = (
        (state[name] - shift) * factor for name in ("mean", "low", "high")
    )
    moments = ClassMoments(
        count=state["count"],
        mean=mean,
        variance=state["square"] / state["count"] * factor**2,
        reach=np.maximum(mean - low, high - mean).clip(0),
        low=low.min(1),
        high=high.max(1),
    )
    return centre, inverse_scale, moments


class StreamPass(SlicePass):
    """Fit slices and score the samples they are fitted on, a batch at a time."""

    def __init__(self, batches, settings, *, block_length, left_out):
        super().__init__(settings)
        self._batches, self.left_out = batches, left_out
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
        self.state = state
        self.centre, self.inverse_scale, moments = finished(state, fresh)
        nodes = self.settings.nodes(moments)
        self._keep(moments, nodes)
        fitted = fresh, moments, nodes, self.settings
        for begin, X, weight in self._again():
            rows = slice(begin, begin + X.shape[0])
            part = self.tally.part(rows)
            with working_on(self.settings.device):
                self._score(X, self._codes[rows], weight, fitted, part)
        self.tally.count(np.arange(start, len(directions)))

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
            subset = SliceTally(rows.sum(), tally.block_length)
            subset.n_slices = tally.n_slices
            score_new(points[rows], [codes[rows]], *fitted, subset, left_out)
            tally.take(rows, subset)


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
    with working_on(settings.device):
        fresh = measured(X, y, weight, directions, settings)
        return fresh if state is None else merged(state, fresh, directions)
