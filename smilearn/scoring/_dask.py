"""The same fit, and the same scores, of samples in the chunks of dask collections.

Sums of the chunks are merged in a tree. The model that follows from them is fitted
where `fit` was called, and sent to each worker once; what comes back are a few numbers
a sample. Dask schedules, ships and tries again.
"""

import copy
import functools

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from smilearn.exceptions import InvalidInputError
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
from smilearn.utils._labels import check_names, same_kind

_FANOUT = 8  # states that are merged in one step of the tree


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
    X, y, weight = _triples(X, y, sample_weight)
    checker = dask.delayed(silent_clone(scorer), pure=False)
    look = dask.delayed(_look, pure=False)
    for number, chunk in enumerate(zip(X, y, weight, strict=True)):
        [first] = computed(dask, [look(checker, number, *chunk)])
        if first is not None:
            break
    else:
        return scorer
    if before is None:
        _take_features(scorer, first["width"], first["names"])
        recipe = stream_recipe(scorer, first["width"])
    else:
        recipe = scorer.recipe_
    asked = recipe, scorer.device, scorer._settings(recipe).block_size
    asked = dask.delayed(asked, pure=False, traverse=False)
    add = dask.delayed(_sums_of_chunk, pure=False)
    parts = [
        add(checker, number, *chunk, asked)
        for number, chunk in enumerate(zip(X, y, weight, strict=True))
    ]
    merge = functools.partial(merged, directions=recipe.directions)
    sums = in_tree(dask, merge, parts)
    if sums is not None:
        announced = getattr(scorer, "stream_classes_", None)
        seen = None if before is None else before.labels
        announced = _checks.allowed_labels(sums.labels, classes, seen, announced)
        scorer._take_over(merge(before, sums), recipe)
        scorer.stream_classes_ = announced
    return scorer


def _sums_of_chunk(checker, number, X, y, weight, asked):
    """Sums of one chunk, or None of one without weight."""
    reuse_freed_memory()
    recipe, device, block_size = asked
    X = features_in(X)
    if not X.shape[0]:
        return None
    with naming_chunk(number):
        X, y = _checks.validated(silent_clone(checker), X, y, reset=True, least=1)
        weight = _checks.batch_weights(weight, X)
        if X.shape[1] != recipe.n_features:
            raise InvalidInputError(
                f"X has {X.shape[1]} features; {recipe.n_features} were fitted before."
            )
    settings = recipe.settings(resolve_device(device), block_size)
    return with_batch(None, X, y, weight, recipe, settings)


def _triples(X, y, weight):
    """Chunks of samples, labels and weights."""
    if not is_dask(X):
        raise InvalidInputError(
            "X must be a dask collection where y or sample_weight is one; got "
            f"{type(X).__name__}. Compute the others, or make X one as well."
        )
    if getattr(y, "ndim", 1) > 1:
        raise InvalidInputError(
            "Of dask collections y must hold one label a sample; got "
            f"{y.ndim} dimensions. Fit a scorer to each column of labels."
        )
    X, rows = chunks_of(X, "X")
    y = aligned_chunks(y, rows, "y")
    return X, y, aligned_chunks(weight, rows, "sample_weight")


def _take_features(scorer, n_features, names):
    scorer.n_features_in_ = n_features
    vars(scorer).pop("feature_names_in_", None)
    if names is not None:
        scorer.feature_names_in_ = names


class Chunks:
    """Chunks of samples that were looked through once: sizes, labels, weights."""

    def __init__(self, scorer, X, y, weight):
        self.dask, self.device = use_dask("A dask collection"), scorer.device
        self._X, y, weight = _triples(X, y, weight)
        self._checker = self.dask.delayed(silent_clone(scorer), pure=False)
        look = self.dask.delayed(_look, pure=False)
        parts = zip(range(len(y)), self._X, y, weight, strict=True)
        looks = computed(self.dask, [look(self._checker, *part) for part in parts])
        filled = [i for i, each in enumerate(looks) if each is not None]
        if not filled:
            raise InvalidInputError(
                "X must hold 1 sample or more; all chunks are empty."
            )
        self._X = [self._X[i] for i in filled]
        looks = [looks[i] for i in filled]
        self.n_features, self.names = _one_width(filled, looks)
        self._take_labels(looks)

    def _take_labels(self, looks):
        classes = [each["classes"] for each in looks]
        for other in classes[1:]:
            _checks.one_kind(other, classes[0])
        self.classes = np.unique(np.concatenate(classes))
        check_classification_targets(np.repeat(self.classes, 3))  # as of many samples
        parts = [
            np.searchsorted(self.classes, each["classes"])[each["codes"]]
            for each in looks
        ]
        self.codes = np.concatenate(parts)
        self.ends = np.cumsum([0, *map(len, parts)])
        if isinstance(self.classes.tolist()[0], str):
            check_names(self.classes, len(self.codes))
        self.weight = None
        if any(each["weight"] is not None for each in looks):
            self.weight = np.concatenate(
                [
                    np.ones(len(part)) if each["weight"] is None else each["weight"]
                    for part, each in zip(parts, looks, strict=True)
                ]
            )

    def relabelled(self, y):
        """The same samples under other labels."""
        other = copy.copy(self)
        other.classes, other.codes = np.unique(y, return_inverse=True)
        return other

    def __iter__(self):
        for X, begin, end in zip(self._X, self.ends[:-1], self.ends[1:], strict=True):
            yield self._checker, X, slice(begin, end)


def _look(scorer, number, X, y, weight):
    """What is to be known of a chunk, checked; None of an empty one."""
    with naming_chunk(number):
        X = features_in(X)
        lengths = [
            len(each) if each is not None else X.shape[0] for each in (y, weight)
        ]
        if lengths != [X.shape[0]] * 2:
            raise InvalidInputError(
                "X, y and sample_weight must have as many rows in each chunk; got "
                f"{X.shape[0]}, {lengths[0]} and {lengths[1]}."
            )
        if not X.shape[0]:
            return None
        scorer = silent_clone(scorer)
        X, y = _checks.validated(scorer, X, y, reset=True, least=1)
        weight = _checks.batch_weights(weight, X)
    classes, codes = np.unique(y, return_inverse=True)
    return {
        "classes": classes,
        "codes": codes.astype(np.min_scalar_type(len(classes))),
        "weight": weight,
        "width": X.shape[1],
        "names": getattr(scorer, "feature_names_in_", None),
    }


def _one_width(numbers, looks):
    """Number of features and their names, which all chunks must share."""
    first = looks[0]
    for number, each in zip(numbers, looks, strict=True):
        if each["width"] != first["width"]:
            raise InvalidInputError(
                f"All chunks of X must have as many features; got {first['width']} in "
                f"chunk {numbers[0]} and {each['width']} in chunk {number}."
            )
    return first["width"], first["names"]


def features_in(X):
    """Rows of a chunk, stacked if it is a column with a list of numbers in each row."""
    if getattr(X, "ndim", 2) == 1 and hasattr(X, "iloc"):
        rows = [np.asarray(row) for row in X]
        if len({row.shape for row in rows}) > 1:
            raise InvalidInputError(
                "The column of embeddings must hold as many numbers in each row."
            )
        return np.stack(rows) if rows else np.empty((0, 0))
    return X


class DaskBlocks:
    """Blocks of samples on the workers; see `smilearn.scoring._blocks`."""

    at_hand = False

    def __init__(self, chunks, recipe, settings):
        self._chunks, self._dask = chunks, chunks.dask
        # sent once; what is in it are no tasks
        self._delayed = functools.partial(
            chunks.dask.delayed, pure=False, traverse=False
        )
        # a worker has devices of its own
        self._asked = self._delayed((recipe, chunks.device, settings.block_size))

    def labels_and_weights(self):
        """Classes (K,), codes (n,) and weights (n,), or None where all are 1."""
        return self._chunks.classes, self._chunks.codes, self._chunks.weight

    def _parts(self, work, aligned, shared):
        run = self._dask.delayed(_run, pure=False)
        shared = [self._delayed(each) for each in shared]
        for checker, X, rows in self._chunks:
            yield run(checker, X, self._asked, work, of_rows(aligned, rows), shared)

    def map(self, work, aligned=(), shared=()):
        """Results of each block, in order."""
        return computed(self._dask, self._parts(work, aligned, shared))

    def total(self, work, merge, aligned=(), shared=()):
        """Sum of the results of all blocks, merged in a tree."""
        return in_tree(self._dask, merge, [*self._parts(work, aligned, shared)])


def in_tree(dask, merge, parts):
    """Sum of delayed parts, merged a few at a time on the workers."""
    join = dask.delayed(_join, pure=False)
    merge = dask.delayed(merge, pure=False, traverse=False)
    while len(parts) > 1:
        parts = [
            join(merge, parts[i : i + _FANOUT]) for i in range(0, len(parts), _FANOUT)
        ]
    return computed(dask, parts)[0]


def _run(checker, X, asked, work, aligned, shared):
    """Work on a chunk, on the worker that holds it."""
    reuse_freed_memory()
    recipe, device, block_size = asked
    settings = recipe.settings(resolve_device(device), block_size)
    X = _checks.validated(silent_clone(checker), features_in(X), reset=True, least=1)
    with working_on(settings.device):
        block = Block(X, recipe.projection, settings.device)
        return work(block, settings, *aligned, *shared)


def _join(merge, parts):
    return functools.reduce(merge, parts)


def on_chunks(method):
    """Make a method of a scorer work lazily where it is handed a dask collection."""

    @functools.wraps(method)
    def call(self, X, *args, **options):
        if not is_dask(X, *args, *options.values()):
            return method(self, X, *args, **options)
        work = {"fit": fit_chunks, "partial_fit": partial_fit_chunks}
        if method.__name__ in work:
            return work[method.__name__](self, X, *args, **options)
        return _lazily(self, method.__name__, X, *args, **options)

    return call


def _lazily(scorer, name, X, y=None, sample_weight=None):
    """What a method gives of each chunk, as a dask array."""
    _multilabel.refuse_labels(scorer, f"{name} of a dask collection")
    dask = use_dask("A dask collection")
    X, rows = chunks_of(X, "X")
    y = aligned_chunks(y, rows, "y")
    weight = aligned_chunks(sample_weight, rows, "sample_weight")
    with scorer._at_work():  # the model is fitted by now
        lean = copy.copy(scorer)
        vars(lean).pop("sums_", None)
    lean = dask.delayed(lean, pure=False)
    work = dask.delayed(_score_of if name == "score" else _answer, pure=False)
    parts = [
        work(lean, name, number, *chunk)
        for number, chunk in enumerate(zip(X, y, weight, strict=True))
    ]
    if name == "score":
        mean = dask.delayed(_mean, pure=False)(parts)
        return as_scalar(mean)
    return as_array(parts, rows, shape=_shape(scorer, name))


def _shape(scorer, name):
    """Shape of what a method gives of one sample."""
    return (len(scorer.classes_),) if name == "_log_probability" else ()


def _answer(scorer, name, number, X, y, weight):
    """What a method gives of one chunk."""
    X = features_in(X)
    if not X.shape[0]:
        return np.empty((0, *_shape(scorer, name)))
    more = [each for each in (y, weight) if each is not None]
    with naming_chunk(number):
        return getattr(scorer, name)(X, *more)


def _score_of(scorer, name, number, X, y, weight):
    """Sum of the log probabilities of known labels of a chunk, and of their weights."""
    X = features_in(X)
    if not X.shape[0]:
        return 0.0, 0.0
    with naming_chunk(number):
        X, y, weight = _checks.checked_batch(scorer, X, y, weight)
        same_kind(y, scorer.classes_)
        weight = np.ones(len(y)) if weight is None else weight
        known = np.isin(y, scorer.classes_) & (weight > 0)
        if not known.any():
            return 0.0, 0.0
        own = scorer.score_samples(X[known], y[known])
    return float(own @ weight[known]), float(weight[known].sum())


def _mean(parts):
    totals, weights = zip(*parts, strict=True)
    if not sum(weights):
        raise InvalidInputError(
            "No sample of a label that was seen in fit has weight above 0."
        )
    return np.float64(sum(totals) / sum(weights))
