"""Samples that come in batches, again and again."""

import mmap
from collections.abc import Iterator
from itertools import pairwise
from os import PathLike
from pathlib import Path

import numpy as np
from scipy.sparse import issparse, vstack
from sklearn.utils import check_consistent_length

from smilearn.exceptions import InvalidInputError
from smilearn.scoring._checks import one_kind
from smilearn.scoring._points import MOST_FEATURES
from smilearn.utils._optional import require
from smilearn.utils._validation import as_numpy

BATCH_NUMBERS = 2**24  # numbers of a batch: 64 MB in single precision


def n_batches(X):
    """Batches of a fair size that an array makes, when it is dense."""
    n_samples, width = X.shape
    if issparse(X):
        width = min(width, MOST_FEATURES)
    return max(1, -(-n_samples * width // BATCH_NUMBERS))


class ArrayBatches:
    """Rows of an array that may be larger than memory."""

    def __init__(self, X, y, weight=None):
        self.X, self.y, self.weight = X, np.asarray(as_numpy(y)), None
        if weight is not None:
            weight = np.asarray(as_numpy(weight))
            self.weight = weight if weight.ndim else np.full(X.shape[0], weight)
        check_consistent_length(X, self.y, self.weight)

    def __iter__(self):
        ends = np.linspace(0, self.X.shape[0], n_batches(self.X) + 1).astype(int)
        for begin, end in pairwise(ends):
            weight = None if self.weight is None else self.weight[begin:end]
            yield self.X[begin:end], self.y[begin:end], weight
            # the pages read so far are not needed for now; but what was written to a
            # private copy of them would be lost
            shared = getattr(self.X, "mode", None) in ("r", "r+")
            if shared and hasattr(mmap, "MADV_DONTNEED"):
                self.X._mmap.madvise(mmap.MADV_DONTNEED)


class Relabelled:
    """Batches under other labels."""

    def __init__(self, batches, y):
        self.batches, self.y = batches, y

    def __iter__(self):
        begin = 0
        for X, y, weight in map(triple, self.batches):
            end = begin + len(y)
            yield X, self.y[begin:end], weight
            begin = end


def first_of(batches):
    """The first batch with samples; refuses what can be gone through only once."""
    if isinstance(batches, Iterator) or not hasattr(batches, "__iter__"):
        raise InvalidInputError(
            "batches must be an iterable that can be gone through more than once, such "
            "as a list or an object whose __iter__ opens the data anew; got a "
            f"{type(batches).__name__}. For batches that come only once use "
            "partial_fit(X, y) on each."
        )
    first = next(non_empty(batches), None)
    if first is None:
        raise InvalidInputError(
            "batches must hold at least 1 batch with samples; got none."
        )
    return first


def pieces(batches, validated):
    """Batches of a fair size: small ones joined, large ones cut; weights are made."""
    held, n_held = [], 0
    for batch in non_empty(batches):
        X, y, weight = validated(*batch)
        weight = np.ones(len(y)) if weight is None else weight
        rows = max(1, BATCH_NUMBERS // X.shape[1])
        for begin in range(0, len(y), rows):
            part = [values[begin : begin + rows] for values in (X, y, weight)]
            whole = len(part[1]) == rows
            # copied, as the iterable may write the next batch where this one is
            if whole and not held:
                yield part[0], part[1].copy(), part[2].copy()
                continue
            held.append([as_numpy(values).copy() for values in part])
            n_held += len(part[1])
            if n_held >= rows:
                yield _joined(held)
                held, n_held = [], 0
    if held:
        yield _joined(held)


def non_empty(batches):
    """Leave out batches without samples, as a filter makes them."""
    for batch in map(triple, batches):
        X = batch[0]
        if X.shape[0] if getattr(X, "shape", ()) else len(X):
            yield batch


def triple(batch):
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        raise InvalidInputError(
            "Each batch must be (X, y) or (X, y, sample_weight); got "
            f"{type(batch).__name__}"
            + (f" of {len(batch)}." if hasattr(batch, "__len__") else ".")
        )
    return (*batch, None)[:3]


def _joined(held):
    X, y, weight = zip(*held, strict=True)
    for labels in y[1:]:  # NumPy would make words of numbers
        one_kind(labels, y[0])
    X = vstack(X, format="csr") if any(map(issparse, X)) else np.concatenate(X)
    return X, np.concatenate(y), np.concatenate(weight)


class RecordBatches:
    """Embeddings and labels from Arrow record batches, for `fit_batches`.

    Reads anew each time it is gone through, a batch at a time.

    Parameters
    ----------
    source : path-like, list of path-like, or data
        Parquet files, in this order; a folder of them, in the order of their names; a
        `pyarrow.Table`, a list of `pyarrow.RecordBatch`, a `pyarrow.dataset.Dataset`,
        or a data frame of polars or pandas. Of files and datasets only the columns
        needed are read.

    label : str
        Column of the class labels.

    features : str or list of str, default="embedding"
        Column that holds a list of numbers in each row, all of one length; or the
        columns of the single features.

    sample_weight : str, default=None
        Column of weights.

    batch_size : int, default=16384
        Most rows of a batch.

    Raises
    ------
    InvalidInputError
        If a column is missing, if rows have embeddings of different lengths, if the
        source can be read only once, or if a folder holds no Parquet file.

    MissingDependencyError
        If pyarrow is not installed.

    See Also
    --------
    smilearn.SlicedMIScorer.fit_batches : Fit to batches, and score them.

    Examples
    --------
    >>> import numpy as np
    >>> import pyarrow as pa
    >>> from smilearn import SlicedMIScorer
    >>> from smilearn.scoring import RecordBatches
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["ham", "spam"], 100)
    >>> X = rng.normal(size=(200, 8)) + 2.0 * (y == "spam")[:, None]
    >>> table = pa.table({"embedding": X.tolist(), "label": y})
    >>> scorer = SlicedMIScorer(64, random_state=0)
    >>> scorer = scorer.fit_batches(RecordBatches(table, label="label"))
    >>> scorer.scores_.shape
    (200,)
    """

    def __init__(
        self,
        source,
        *,
        label,
        features="embedding",
        sample_weight=None,
        batch_size=16_384,
    ):
        self._tables = require("pyarrow", extra="frames", caller="RecordBatches")
        self._arrow = require("pyarrow.dataset", extra="frames", caller="RecordBatches")
        self._source, self._features, self._label = source, features, label
        self._weight, self._batch_size = sample_weight, batch_size

    def __iter__(self):
        of_features = self._features
        of_features = [of_features] if isinstance(of_features, str) else of_features
        weight = [] if self._weight is None else [self._weight]
        wanted = [*of_features, self._label, *weight]
        dataset = self._dataset()
        missing = [name for name in wanted if name not in dataset.schema.names]
        if missing:
            names = list(dataset.schema.names)[:20]
            raise InvalidInputError(f"No column {missing[0]!r}; there are: {names}.")
        columns = {"columns": list(dict.fromkeys(wanted)), "use_threads": False}
        for batch in dataset.to_batches(batch_size=self._batch_size, **columns):
            if batch.num_rows:  # a filter leaves some without
                more = [self._values(batch, name) for name in (self._label, *weight)]
                yield self._embeddings(batch), *more

    def _dataset(self):
        """The source as a pyarrow.dataset.Dataset."""
        source = self._source
        if hasattr(source, "to_batches") and hasattr(source, "to_table"):
            return source
        if hasattr(source, "__arrow_c_stream__") and hasattr(source, "columns"):
            return self._arrow.dataset(self._tables.table(source))
        parts = [source] if isinstance(source, str | PathLike) else source
        if not isinstance(parts, list | tuple):
            raise InvalidInputError(
                "source must be Parquet files, an Arrow table or dataset, a data frame "
                "or a list of record batches, to be read more than once; got "
                f"{type(parts).__name__}."
            )
        if all(isinstance(part, str | PathLike) for part in parts):
            files = [file for part in parts for file in _files(part)]
            return self._arrow.dataset(files, format="parquet")
        return self._arrow.dataset(list(parts))

    def _values(self, batch, name):
        column = batch.column(batch.schema.names.index(name))
        if column.null_count:
            raise InvalidInputError(f"Column {name!r} has missing values.")
        if hasattr(column, "dictionary"):  # Arrow cannot decode one of string views
            names = column.dictionary.to_numpy(zero_copy_only=False)
            return names[column.indices.to_numpy(zero_copy_only=False)]
        return column.to_numpy(zero_copy_only=False)

    def _embeddings(self, batch):
        if not isinstance(self._features, str):
            columns = [self._values(batch, name) for name in self._features]
            return np.stack(columns, 1)
        column = batch.column(batch.schema.names.index(self._features))
        if not hasattr(column, "flatten"):
            raise InvalidInputError(
                f"Column {self._features!r} must hold a list of numbers in each row; "
                f"got {column.type}. For one column a feature give their names."
            )
        values = column.flatten()
        compute = require("pyarrow.compute", extra="frames", caller="RecordBatches")
        widths = compute.unique(compute.list_value_length(column)).to_pylist()
        if column.null_count or values.null_count or len(widths) != 1 or not widths[0]:
            raise InvalidInputError(
                f"Column {self._features!r} must hold as many numbers in each row, and "
                "none may be missing."
            )
        return values.to_numpy(zero_copy_only=False).reshape(len(column), -1)


def _files(part):
    """Parquet files of a folder, in the order of their names; or one file."""
    if not Path(part).is_dir():
        return [str(part)]
    files = sorted(map(str, Path(part).rglob("*.parquet")))
    if not files:
        raise InvalidInputError(f"No *.parquet file in the folder {str(part)!r}.")
    return files
