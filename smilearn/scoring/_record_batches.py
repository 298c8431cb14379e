"""Batches of embeddings from Parquet files and Arrow."""

from os import PathLike
from pathlib import Path

import numpy as np

from smilearn.exceptions import InvalidInputError
from smilearn.utils._optional import require

__all__ = ["RecordBatches"]


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
    >>> scorer = SlicedMIScorer(64, slicing="isotropic", random_state=0)
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
            yield from self._of_parts([source] if _is_path(source) else source)

    def _of_parts(self, parts):
        if not isinstance(parts, list | tuple):
            raise InvalidInputError(
                "source must be Parquet files, an Arrow table or dataset, a data frame "
                "or a list of record batches, to be read more than once; got "
                f"{type(parts).__name__}."
            )
        for part in parts:
            if isinstance(part, self._arrow.RecordBatch):
                yield part
            else:
                for path in _files(part):
                    yield from self._parquet(path)

    def _parquet(self, path):
        parquet = require("pyarrow.parquet", extra="frames", caller="RecordBatches")
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
        whole = len(column) and len(values) % len(column) == 0
        width = len(values) // len(column) if whole else 0
        if column.null_count or values.null_count or not self._even(column, width):
            raise InvalidInputError(
                f"Column {self._features!r} must hold as many numbers in each row, and "
                "none may be missing."
            )
        return values.to_numpy(zero_copy_only=False).reshape(len(column), width)

    def _even(self, column, width):
        compute = require("pyarrow.compute", extra="frames", caller="RecordBatches")
        return (
            width
            and compute.all(
                compute.equal(compute.list_value_length(column), width)
            ).as_py()
        )


def _is_path(source):
    return isinstance(source, str | PathLike)


def _files(path):
    """A file, or the Parquet files of a folder and the folders in it, by name."""
    if not _is_path(path) or not Path(path).is_dir():
        return [path]
    files = sorted(Path(path).rglob("*.parquet"))
    if not files:
        raise InvalidInputError(f"No *.parquet file in the folder {str(path)!r}.")
    return files
