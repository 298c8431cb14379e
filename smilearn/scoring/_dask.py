"""The same fit, and the same scores, of samples in the chunks of dask collections.

Sums of the chunks are merged in a tree. The model that follows from them is fitted
where `fit` was called, and sent to each worker once; what comes back are a few numbers
a sample. Dask schedules, ships and tries again.
"""

import copy
import functools
import zlib

import numpy as np
from scipy.sparse import issparse
from sklearn import config_context
from sklearn.utils.multiclass import check_classification_targets

from smilearn.exceptions import InvalidInputError, LowSupportWarning
from smilearn.scoring import _checks, _multilabel
from smilearn.scoring._blocks import Block, of_rows
from smilearn.scoring._fitting import fit_scorer, merged, with_batch
from smilearn.scoring._recipe import stream_recipe
from smilearn.scoring._threshold import set_threshold
from smilearn.utils._callbacks import silent_clone
from smilearn.utils._dask import (
    aligned_chunks,
    as_array,
    as_scalar,
    chunks_of,
    computed,
    is_dask,
    naming_chunk,
    reuse_freed_memory,
    use_dask,
)
from smilearn.utils._devices import resolve_device, working_on
from smilearn.utils._labels import check_labels, check_names, same_kind
from smilearn.utils._validation import as_numpy
from smilearn.utils._warnings import warn

_FANOUT = 8  # states that are merged in one step of the tree
_LAZY = ("_log_probability", "score", "score_samples", "score_training_samples")
_FITTED = ("recipe_", "_model", "classes_", "offset_")


def on_chunks(method):
    """Make a method of a scorer work chunk by chunk on dask collections."""

    @functools.wraps(method)
    def call(self, X, *args, **options):
        name = method.__name__
        if not is_dask(X, *args, *options.values()):
            return method(self, X, *args, **options)
        if name in ("fit", "partial_fit"):
            work = fit_chunks if name == "fit" else partial_fit_chunks
            return work(self, X, *args, **options)
        if name in _LAZY:
            return _lazily(self, name, X, *args, **options)
        raise InvalidInputError(f"{name} takes no dask collection; compute X first.")

    return call


def fit_chunks(scorer, X, y, sample_weight=None):
    """Fit a scorer to dask collections, and score these samples."""
    _checks.forget(scorer)
    chunks = Chunks(scorer, X, y, sample_weight)
    _take_features(scorer, chunks.n_features, chunks.names)
    size = len(chunks.codes) * chunks.n_features

    def refit(null, y):
        null.n_features_in_ = chunks.n_features
        fit_scorer(null, functools.partial(DaskBlocks, chunks.relabelled(y)), size)
        return null

    weight = fit_scorer(scorer, functools.partial(DaskBlocks, chunks), size)
    set_threshold(scorer, refit, scorer.labels_, weight)
    return scorer


def partial_fit_chunks(scorer, X, y, classes=None, sample_weight=None):
    """Add the samples of dask collections to those fitted; only sums come back."""
    _multilabel.refuse_labels(scorer, "partial_fit")
    dask, before = use_dask("A dask collection"), _checks.sums_of(scorer)
    triples = [*enumerate(zip(*_triples(X, y, sample_weight), strict=True))]
    checker = silent_clone(scorer) if before is None else _fitted_clone(scorer)
    checker = dask.delayed(checker, pure=False)
    look = dask.delayed(_look, pure=False)
    looks = (computed(dask, [look(checker, i, *each)])[0] for i, each in triples)
    first = next((each for each in looks if each is not None), None)
    if first is None:
        return scorer
    if before is None:
        _take_features(scorer, first["width"], first["names"])
    recipe = stream_recipe(scorer, first["width"])
    checker = dask.delayed(_fitted_clone(scorer), pure=False)
    asked = recipe, scorer.device, scorer._settings(recipe).block_size
    asked = dask.delayed(asked, pure=False, traverse=False)
    add = dask.delayed(_sums_of_chunk, pure=False)
    merge = functools.partial(merged, directions=recipe.directions)
    sums = in_tree(dask, merge, [add(checker, i, *each, asked) for i, each in triples])
    labels = np.array([]) if sums is None else sums.labels
    if len(labels):
        check_classification_targets(np.repeat(labels, 3))  # as of many samples
    announced = _checks.allowed_labels(scorer, labels, classes)
    return scorer._take_over(merge(before, sums), recipe, announced)


def _fitted_clone(scorer):
    """Clone with the features that were fitted."""
    clone, names = silent_clone(scorer), getattr(scorer, "feature_names_in_", None)
    _take_features(clone, scorer.n_features_in_, names)
    return clone


def _checked(checker, X, *y):
    """Embeddings of a chunk, or these and labels, checked by a clone of the scorer."""
    reset = not hasattr(checker, "n_features_in_")
    checker = copy.copy(checker)  # threads of a worker share it
    return checker, _checks.validated(checker, X, *y, reset=reset, least=1)


def _sums_of_chunk(checker, number, X, y, weight, asked):
    """Sums of one chunk, or None of one without weight."""
    reuse_freed_memory()
    recipe, device, block_size = asked
    with naming_chunk(number):
        X = features_in(X)
        if not X.shape[0]:
            return None
        _, (X, y) = _checked(checker, X, y)
        weight = _checks.batch_weights(weight, X)
    settings = recipe.settings(resolve_device(device), block_size)
    return with_batch(None, X, y, weight, recipe, settings)


def _triples(X, y, weight):
    """Chunks of samples, labels and weights."""
    if not is_dask(X):
        raise InvalidInputError(
            "X must be a dask collection where y or sample_weight is one; got "
            f"{type(X).__name__}. Compute the others, or make X one as well."
        )
    if y is None:
        raise InvalidInputError("y must hold a label for each sample; got None.")
    X, rows = chunks_of(X, "X")
    return X, _labels_like(y, rows), aligned_chunks(weight, rows, "sample_weight")


def _labels_like(y, rows):
    """Chunks of labels, cut as the samples are."""
    if getattr(y, "ndim", 1) == 2 and y.shape[1] == 1:
        y = y[y.columns[0]] if hasattr(y, "columns") else y[:, 0]
    if getattr(y, "ndim", 1) > 1:
        raise InvalidInputError(
            "Of dask collections y must hold one label a sample; got "
            f"{y.ndim} dimensions. Fit a scorer to each column of labels."
        )
    if y is not None and not is_dask(y):
        y = check_labels(y, "SlicedMIScorer")
    return aligned_chunks(y, rows, "y")


def _take_features(scorer, n_features, names):
    scorer.n_features_in_ = n_features
    vars(scorer).pop("feature_names_in_", None)
    if names is not None:
        scorer.feature_names_in_ = names


class Chunks:
    """Chunks of samples that were looked through once: sizes, labels, weights."""

    def __init__(self, scorer, X, y, weight):
        self.dask, self.checker = use_dask("A dask collection"), silent_clone(scorer)
        X, y, weight = _triples(X, y, weight)
        checker = self.dask.delayed(self.checker, pure=False, traverse=False)
        look = self.dask.delayed(_look, pure=False)
        parts = enumerate(zip(X, y, weight, strict=True))
        looks = computed(self.dask, [look(checker, i, *each) for i, each in parts])
        filled = [i for i, each in enumerate(looks) if each is not None]
        if not filled:
            raise InvalidInputError(
                "X must hold 1 sample or more; all chunks are empty."
            )
        looks = [looks[i] for i in filled]
        self.n_features, self.names = _one_width(filled, looks)
        self._take_labels(looks)
        ends = np.cumsum([0, *(len(each["codes"]) for each in looks)]).tolist()
        rows = map(slice, ends[:-1], ends[1:])
        marks = [each["mark"] for each in looks]
        self._parts = [
            (number, X[number], of_block, mark)
            for number, of_block, mark in zip(filled, rows, marks, strict=True)
        ]

    def _take_labels(self, looks):
        classes = [each["classes"] for each in looks]
        for other in classes[1:]:
            _checks.one_kind(other, classes[0])
        self.classes = np.unique(np.concatenate(classes))
        check_classification_targets(np.repeat(self.classes, 3))  # as of many samples
        self.codes = np.concatenate(
            [
                np.searchsorted(self.classes, each["classes"])[each["codes"]]
                for each in looks
            ]
        )
        if isinstance(self.classes.tolist()[0], str):
            check_names(self.classes, len(self.codes))
        weight = np.concatenate([each["weight"] for each in looks])
        self.weight = None if (weight == 1).all() else weight.astype(float)

    def relabelled(self, y):
        """The same samples under other labels."""
        other = copy.copy(self)
        other.classes, other.codes = np.unique(y, return_inverse=True)
        return other

    def __iter__(self):
        return iter(self._parts)


def _look(checker, number, X, y, weight):
    """What is to be known of a chunk, checked; None of an empty one."""
    with naming_chunk(number):
        X = features_in(X)
        others = [len(each) for each in (y, weight) if each is not None]
        if any(length != X.shape[0] for length in others):
            raise InvalidInputError(
                "X, y and sample_weight must have as many rows in each chunk; got "
                f"{', '.join(map(str, [X.shape[0], *others]))}."
            )
        if not X.shape[0]:
            return None
        checker, (X, y) = _checked(checker, X, y)
        weight = _checks.batch_weights(weight, X)
    classes, codes = np.unique(y, return_inverse=True)
    return {
        "classes": classes,
        "codes": _smallest(codes),
        "weight": np.ones(len(y), bool) if weight is None else weight,
        "width": X.shape[1],
        "names": getattr(checker, "feature_names_in_", None),
        "mark": _mark(X),
    }


def _mark(X):
    """Number that tells whether a chunk gives the same rows in the same order again."""
    values = X.data if issparse(X) else as_numpy(X[:, 0])
    return zlib.crc32(np.ascontiguousarray(values).tobytes())


def _one_width(numbers, looks):
    """Number of features and their names, which all chunks must share."""
    first = looks[0]
    for number, each in zip(numbers, looks, strict=True):
        if each["width"] != first["width"]:
            raise InvalidInputError(
                f"All chunks of X must have as many features; got {first['width']} in "
                f"chunk {numbers[0]} and {each['width']} in chunk {number}."
            )
        if not np.array_equal(each["names"], first["names"]):
            raise InvalidInputError(
                "All chunks of X must have the same columns in the same order; those "
                f"of chunks {numbers[0]} and {number} differ."
            )
    return first["width"], first["names"]


def features_in(X):
    """Rows of a chunk, stacked if it holds a list of numbers for each row."""
    if isinstance(X, list) or (getattr(X, "ndim", 2) == 1 and hasattr(X, "iloc")):
        rows = [*X]
        if rows and isinstance(rows[0], str):
            raise InvalidInputError(
                "X must be numbers; got strings. Embed texts first. Of lists, dask "
                "makes strings in from_pandas: dask.config.set("
                "{'dataframe.convert-string': False}) before."
            )
        rows = [np.asarray(row) for row in rows]
        if len({row.shape for row in rows}) > 1:
            raise InvalidInputError(
                "Rows of embeddings must hold as many numbers each; got "
                f"{sorted({row.size for row in rows})[:5]}."
            )
        return np.stack(rows) if rows else np.empty((0, 0))
    return X


class DaskBlocks:
    """Blocks of samples on the workers; see `smilearn.scoring._blocks`."""

    at_hand = False

    def __init__(self, chunks, recipe, settings):
        self._chunks, self._dask = chunks, chunks.dask
        # sent once; what is in it are no tasks
        self._sent = functools.partial(chunks.dask.delayed, pure=False, traverse=False)
        asked = chunks.checker, recipe, chunks.checker.device, settings.block_size
        self._asked = self._sent(asked)  # a worker has devices of its own

    def labels_and_weights(self):
        """Classes (K,), codes (n,) and weights (n,), or None where all are 1."""
        return self._chunks.classes, self._chunks.codes, self._chunks.weight

    def _parts(self, work, aligned, shared):
        run = self._dask.delayed(_run, pure=False)
        shared = [self._sent(each) for each in shared]
        packed = [_smallest(values) for values in aligned]
        types = [None if values is None else values.dtype for values in aligned]
        for number, X, rows, mark in self._chunks:
            chunk = number, X, mark
            yield run(*chunk, self._asked, work, of_rows(packed, rows), types, shared)

    def map(self, work, aligned=(), shared=()):
        """Results of each block, in order."""
        return computed(self._dask, self._parts(work, aligned, shared))

    def total(self, work, merge, aligned=(), shared=()):
        """Sum of the results of all blocks, merged in a tree."""
        return in_tree(self._dask, merge, [*self._parts(work, aligned, shared)])


def _smallest(values):
    """The same numbers in the smallest type that holds them, to be sent."""
    if values is None or not len(values):
        return values
    if values.dtype.kind == "f":
        flags = values.astype(bool)
        return flags if (flags == values).all() else values
    if values.dtype.kind in "iu":
        return values.astype(np.min_scalar_type(values.max()))
    return values


def in_tree(dask, merge, parts):
    """Sum of delayed parts, merged a few at a time on the workers."""
    join = dask.delayed(_join, pure=False)
    merge = dask.delayed(merge, pure=False, traverse=False)
    while len(parts) > 1:
        parts = [
            join(merge, parts[i : i + _FANOUT]) for i in range(0, len(parts), _FANOUT)
        ]
    return computed(dask, parts)[0]


def _join(merge, parts):
    return functools.reduce(merge, parts)


def _run(number, X, mark, asked, work, packed, types, shared):
    """Work on a chunk, on the worker that holds it."""
    reuse_freed_memory()
    checker, recipe, device, block_size = asked
    settings = recipe.settings(resolve_device(device), block_size)
    with naming_chunk(number), config_context(assume_finite=True):  # as it was seen
        _, X = _checked(checker, features_in(X))
        if _mark(X) != mark:
            raise InvalidInputError(
                "The rows are others, or in another order, than when they were first "
                "read. Call persist() on the collection before the fit."
            )
    pairs = zip(packed, types, strict=True)
    aligned = [None if values is None else values.astype(t) for values, t in pairs]
    with working_on(settings.device):
        block = Block(X, recipe.projection, settings.device)
        return work(block, settings, *aligned, *shared)


def _lazily(scorer, name, X, y=None, sample_weight=None):
    """What a method gives of each chunk, as a dask array."""
    _multilabel.refuse_labels(scorer, f"{name} of a dask collection")
    dask = use_dask("A dask collection")
    X, rows = chunks_of(X, "X")
    y = _labels_like(y, rows)
    weight = aligned_chunks(sample_weight, rows, "sample_weight")
    with scorer._at_work():  # the model is fitted by now
        lean = _fitted_clone(scorer)  # without what is known of training samples
        vars(lean).update({each: getattr(scorer, each) for each in _FITTED})
    lean = dask.delayed(lean, pure=False, traverse=False)
    work = dask.delayed(_score_of if name == "score" else _answer, pure=False)
    parts = [
        work(lean, name, number, *chunk)
        for number, chunk in enumerate(zip(X, y, weight, strict=True))
    ]
    if name == "score":
        return as_scalar(dask.delayed(_mean, pure=False)(parts))
    return as_array(parts, rows, shape=_shape(scorer, name))


def _shape(scorer, name):
    """Shape of what a method gives of one sample."""
    return (len(scorer.classes_),) if name == "_log_probability" else ()


def _answer(scorer, name, number, X, y, weight):
    """What a method gives of one chunk."""
    with naming_chunk(number):
        X = features_in(X)
        if not X.shape[0]:
            return np.empty((0, *_shape(scorer, name)))
        more = [each for each in (y, weight) if each is not None]
        return getattr(scorer, name)(X, *more)


def _score_of(scorer, name, number, X, y, weight):
    """Sum of the log probabilities of known labels of a chunk, and of their weights."""
    with naming_chunk(number):
        X = features_in(X)
        if not X.shape[0]:
            return 0.0, 0.0
        X, y = _checks.validated(scorer, X, y)
        same_kind(y, scorer.classes_)
        weight = _checks.batch_weights(weight, X)
        known = np.isin(y, scorer.classes_)
        if not known.all():
            warn(
                f"{(~known).sum()} of {len(y)} samples of chunk {number} have labels "
                "that were not seen in fit; they are left out of the mean.",
                LowSupportWarning,
            )
        if not known.any():
            return 0.0, 0.0
        codes = _checks.encoded(scorer.classes_, y[known])
        own = scorer._log_probability(X[known])[np.arange(len(codes)), codes]
    weight = np.ones(len(codes)) if weight is None else weight[known]
    return float(own @ weight), float(weight.sum())


def _mean(parts):
    totals, weights = zip(*parts, strict=True)
    if not sum(weights):
        raise InvalidInputError(
            "No sample of a label that was seen in fit has weight above 0."
        )
    return np.float64(sum(totals) / sum(weights))
