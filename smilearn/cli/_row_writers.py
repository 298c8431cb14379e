"""Rows of a stream, written a batch at a time.

Into the format that they came in they are copied as they stand, to the byte; into
another one they are converted.
"""

import csv
import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

from smilearn.exceptions import InvalidInputError
from smilearn.tables._files import file_kind
from smilearn.utils._files import replacing
from smilearn.utils._optional import require

_ROW_GROUP = 32_000_000  # bytes of Parquet rows that are held to be written together


@dataclass
class Shape:
    """Columns of all rows of a stream."""

    names: list
    schema: Any = None


def shape_of(stream, kinds):
    """Find out which columns a stream has, as far as its writers must know."""
    names, schema, converted = {}, None, kinds - {stream.kind}
    for batch in stream if converted else ():
        names |= dict.fromkeys(batch.columns)
        if "parquet" in converted:
            schema = _joined_schema(schema, batch, stream.name)
        if stream.kind != "jsonl":
            break
    return Shape(list(names), schema)


@contextmanager
def row_writer(path, stream, shape):
    """Write rows to a file that appears whole or not at all."""
    kind = file_kind(path)
    make = _COPIERS[kind] if kind == stream.kind else _CONVERTERS[kind]
    with _no_new_folders_left(Path(path)), replacing(path) as temporary:
        writer = make(temporary, stream, shape)
        try:

            def add(batch, keep):
                with _refusals(path):
                    writer.add(batch, keep)

            yield add
        finally:
            writer.close()


@contextmanager
def _no_new_folders_left(path):
    """Take folders that were made for a file away again if it could not be written."""
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        yield
    except BaseException:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        raise


class _Lines:
    """A text file that lines are added to."""

    def __init__(self, path, stream, shape):
        path = Path(path)
        self.file = path.open("w", encoding="utf-8", newline="")
        self.stream, self.names, self.begun = stream, shape.names, False

    def add(self, batch, keep):
        """Add rows, after a header the first time."""
        if not self.begun:
            self.begin()
        self.begun = True
        self.write(batch, keep)

    def begin(self):
        """Write what comes before the first row."""

    def close(self):
        """Close the file."""
        self.file.close()


class _CopiedLines(_Lines):
    """Lines as they stand."""

    def begin(self):
        self.file.write(self.stream.header)

    def write(self, batch, keep):
        self.file.writelines(compress(batch.raw, keep))


class _CsvLines(_Lines):
    """Columns as CSV."""

    def __init__(self, path, stream, shape):
        super().__init__(path, stream, shape)
        self.plain = csv.writer(self.file, lineterminator="\n")
        self.quoted = csv.writer(self.file, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def begin(self):
        self.write_row(self.names)

    def write(self, batch, keep):
        for row in _rows(batch, self.names, keep):
            self.write_row(row)

    def write_row(self, row):
        """A bare carriage return would be a line end to readers: quote it."""
        bare = any("\r" in cell for cell in row if isinstance(cell, str))
        (self.quoted if bare else self.plain).writerow(row)


class _JsonLines(_Lines):
    """Columns as JSON Lines."""

    def write(self, batch, keep):
        for row in _rows(batch, self.names, keep):
            line = dict(zip(self.names, row, strict=True))
            self.file.write(json.dumps(line, ensure_ascii=False, allow_nan=False))
            self.file.write("\n")


class _CopiedParquet:
    """Record batches as they stand."""

    def __init__(self, path, stream, shape):
        from pyarrow import parquet

        self.schema = stream.schema if stream.schema is not None else shape.schema
        self.writer, self.waiting = parquet.ParquetWriter(path, self.schema), []

    def add(self, batch, keep):
        """Add rows; they wait until a row group is worth its while."""
        import pyarrow

        mask = pyarrow.array(keep, pyarrow.bool_())
        self.waiting.append(self.batch(batch).filter(mask))
        if sum(rows.nbytes for rows in self.waiting) >= _ROW_GROUP:
            self.flush()

    def flush(self):
        """Write the rows that wait as one row group."""
        import pyarrow

        rows, self.waiting = pyarrow.Table.from_batches(self.waiting, self.schema), []
        if len(rows):
            self.writer.write_table(rows)

    def batch(self, batch):
        """The record batch."""
        return batch.raw

    def close(self):
        """Write the rest and the foot of the file."""
        self.flush()
        self.writer.close()


class _ParquetColumns(_CopiedParquet):
    """Columns as Parquet."""

    def batch(self, batch):
        import pyarrow

        columns = {n: batch.columns.get(n) for n in self.schema.names}
        empty = [None] * len(batch)
        columns = {n: empty if c is None else c for n, c in columns.items()}
        return pyarrow.RecordBatch.from_pydict(columns, self.schema)


_COPIERS = {"csv": _CopiedLines, "jsonl": _CopiedLines, "parquet": _CopiedParquet}
_CONVERTERS = {"csv": _CsvLines, "jsonl": _JsonLines, "parquet": _ParquetColumns}


def _rows(batch, names, keep):
    """Rows of a batch as tuples, None where it lacks a column."""
    empty = [None] * len(batch)
    columns = [batch.columns.get(name, empty) for name in names]
    return compress(zip(*columns, strict=True), keep)


def _joined_schema(schema, batch, name):
    pyarrow = require("pyarrow", extra="frames", caller=f"Parquet from {name}")
    with _refusals("Parquet"):
        own = pyarrow.table(batch.columns).schema
        both = [own] if schema is None else [schema, own]
        return pyarrow.unify_schemas(both, promote_options="permissive")


@contextmanager
def _refusals(path):
    """Say of rows that a format cannot hold that they are so."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise InvalidInputError(
            f"{path}: cannot be written: {error}; write another format."
        ) from error
