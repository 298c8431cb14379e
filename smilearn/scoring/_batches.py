"""Samples that come in batches, again and again."""

import mmap
from collections.abc import Iterator
from itertools import pairwise
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import issparse, vstack
from sklearn.utils import check_consistent_length

from smilearn.exceptions import InvalidInputError
from smilearn.scoring._checks import one_kind
from smilearn.scoring._points import MOST_FEATURES
from smilearn.utils._optional import require

ENOUGH = 2**24  # numbers of a batch: 64 MB in single precision


class ArrayBatches:
    """Rows of an array that may be larger than memory."""

    def __init__(self, X, y, weight=None):
        self.X, self.y, self.weight = X, _on_host(y), None
        if weight is not None:
            weight = _on_host(weight)
            self.weight = weight if weight.ndim else np.full(X.shape[0], weight)
        check_consistent_length(X, self.y, self.weight)

    def __iter__(self):
        n_samples, n_features = self.X.shape
        width = min(n_features, MOST_FEATURES) if issparse(self.X) else n_features
        n_batches = max(1, -(-n_samples * width // ENOUGH))
        ends = np.linspace(0, n_samples, n_batches + 1).astype(int)
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
        for X, *_, weight in map(triple, self.batches):
            end = begin + (X.shape[0] if hasattr(X, "shape") else len(X))
            yield X, self.y[begin:end], weight
            begin = end


def repeatable(batches):
    """Refuse what can be gone through only once."""
    if isinstance(batches, Iterator) or not hasattr(batches, "__iter__"):
        raise InvalidInputError(
            "batches must be an iterable that can be gone through more than once, such "
            "as a list or an object whose __iter__ opens the data anew; got a "
            f"{type(batches).__name__}. For batches that come only once use "
            "partial_fit(X, y) on each."
        )
    return batches


def pieces(batches, validated):
    """Batches of a fair size: small ones joined, large ones cut."""
    held, n_held = [], 0
    for batch in filled(batches):
        X, y, weight = validated(*batch)
        rows = max(1, ENOUGH // X.shape[1])
        for begin in range(0, X.shape[0], rows):
            piece = slice(begin, begin + rows)
            part = [None if v is None else v[piece] for v in (X, y, weight)]
            n_held += part[0].shape[0]
            last = n_held < rows  # is kept until more batches have come
            # the iterable may write the next batch where this one is
            held.append([_copy(v) if i or last else v for i, v in enumerate(part)])
            if not last:
                yield _joined(held)
                held, n_held = [], 0
    if held:
        yield _joined(held)


def filled(batches):
    """Leave out batches without samples, as a filter makes them."""
    for batch in map(triple, batches):
        X = batch[0]
        if X.shape[0] if getattr(X, "shape", ()) else len(X):
            yield batch


def _on_host(values):
    return np.asarray(values.cpu() if isinstance(values, torch.Tensor) else values)


def _copy(values):
    if isinstance(values, torch.Tensor):
        return values.clone()
    return None if values is None else values.copy()


def triple(batch):
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        raise InvalidInputError(
            "Each batch must be (X, y) or (X, y, sample_weight); got "
            f"{type(batch).__name__}"
            + (f" of {len(batch)}." if hasattr(batch, "__len__") else ".")
        )
    return (*batch, None)[:3]


def _joined(held):
    if len(held) == 1:
        return held[0]
    X, y, weights = zip(*held, strict=True)
    for labels in y[1:]:  # NumPy would make words of numbers
        one_kind(labels, y[0])
    weight = None
    if any(part is not None for part in weights):
        weight = np.concatenate(
            [
                np.ones(len(p)) if w is None else w
                for p, w in zip(y, weights, strict=True)
            ]
        )
    if isinstance(X[0], torch.Tensor):
        X = torch.cat([torch.as_tensor(part).to(X[0].device) for part in X])
    elif any(map(issparse, X)):
        X = vstack(X, format="csr")
    else:
        X = np.concatenate([_on_host(part) for part in X])
    return X, np.concatenate(y), weight


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
        self._arrow = require("pyarrow", extra="frames", caller="RecordBatches")
        self._source, self._features = source, features
        self._label, self._weight = label, sample_weight
        self._batch_size = batch_size
        self._of_features = [features] if isinstance(features, str) else list(features)
        self._columns = [*self._of_features, label]
        if sample_weight is not None:
            self._columns.append(sample_weight)

    def __iter__(self):
        for batch in self._batches():
            self._wanted(batch.schema.names)
            if not batch.num_rows:  # as a filter leaves them
                continue
            y = self._values(batch, self._label)
            arrays = self._embeddings(batch), y
            if self._weight is not None:
                arrays = (*arrays, self._values(batch, self._weight))
            yield arrays

    def _wanted(self, names):
        """Columns to read, each once; refuses what is not among the names there are."""
        missing = [name for name in self._columns if name not in names]
        if missing:
            raise InvalidInputError(
                f"No column {missing[0]!r}; there are: {list(names)[:20]}."
            )
        return list(dict.fromkeys(self._columns))

    def _batches(self):
        source, size = self._source, self._batch_size
        if hasattr(source, "__arrow_c_stream__") and hasattr(source, "columns"):
            if not isinstance(source, self._arrow.Table):  # a data frame
                source = self._arrow.table(source[self._wanted(list(source.columns))])
            yield from source.to_batches(max_chunksize=size)
        elif hasattr(source, "to_batches"):  # a dataset
            wanted = self._wanted(source.schema.names)
            yield from source.to_batches(batch_size=size, columns=wanted)
        else:
            yield from self._of_parts(source)

    def _of_parts(self, source):
        parts = [source] if isinstance(source, str | PathLike) else source
        if not isinstance(parts, list | tuple):
            raise InvalidInputError(
                "source must be Parquet files, an Arrow table or dataset, a data frame "
                "or a list of record batches, to be read more than once; got "
                f"{type(parts).__name__}."
            )
        parquet = require("pyarrow.parquet", extra="frames", caller="RecordBatches")
        for part in parts:
            if isinstance(part, self._arrow.RecordBatch):
                yield part
                continue
            folder = isinstance(part, str | PathLike) and Path(part).is_dir()
            files = sorted(Path(part).rglob("*.parquet")) if folder else [part]
            if not files:
                raise InvalidInputError(
                    f"No *.parquet file in the folder {str(part)!r}."
                )
            for path in files:
                with parquet.ParquetFile(path) as file:
                    wanted = self._wanted(file.schema_arrow.names)
                    yield from file.iter_batches(self._batch_size, columns=wanted)

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
