"""Tables read some rows at a time, so that memory does not grow with them.

A batch has its rows twice: as columns of values, and raw, as they stand in the file.
"""

import csv
import io
import json
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.tables._io import file_kind
from smilearn.utils._optional import require

STANDARD_INPUT = "standard input"
_MOST_ROWS = 4096  # of a batch
_MOST_TEXT = 2_000_000  # characters (Parquet: bytes) of a batch, but for its last row


@dataclass
class RowBatch:
    """Some rows of a table."""

    columns: dict
    raw: Any = field(repr=False)

    def __len__(self):
        return len(self.raw)


class RowStream:
    """A file, or standard input, a batch of rows at a time."""

    def __init__(self, path=None, kind=None):
        self.path, self.name = path, STANDARD_INPUT if path is None else str(path)
        self.kind = kind if path is None else file_kind(path)
        self.header, self.schema = "", None
        if path is not None and not Path(path).is_file():
            what = "a folder" if Path(path).is_dir() else "no such file"
            raise FileFormatError(f"{path}: {what}. Name a file that is there.")
        if self.kind == "parquet":
            self.schema = self._parquet().schema_arrow

    def __iter__(self):
        n_rows = 0
        for batch in getattr(self, f"_{self.kind}_batches")():
            n_rows += len(batch)
            yield batch
        if not n_rows:
            raise FileFormatError(f"{self.name}: holds no rows.")

    def gather(self, names):
        """Read some columns whole."""
        gathered, known = {name: [] for name in names}, {}
        for batch in self:
            known |= dict.fromkeys(batch.columns)
            for name in names if self.kind != "jsonl" else ():
                column_of(known, name, self.name)
            for name, values in gathered.items():
                values += batch.columns.get(name, [None] * len(batch))
        for name in names:
            column_of(known, name, self.name)
        return gathered

    def _lines(self, encoding):
        """Lines with their ends as they are."""
        with self._opened() as binary:
            file = io.TextIOWrapper(binary, encoding=encoding, newline="")
            try:
                yield from file
            except UnicodeDecodeError as error:
                raise FileFormatError(
                    f"{self.name}: not UTF-8 text ({error.reason}); save it as UTF-8."
                ) from error
            finally:
                if not binary.closed:
                    file.detach()

    def _opened(self):
        if self.path is None:
            return nullcontext(sys.stdin.buffer)
        return Path(self.path).open("rb")

    def _csv_batches(self):
        taken = []
        reader = csv.reader(_kept(self._lines("utf-8"), taken), strict=True)
        csv.field_size_limit(2**31 - 1)  # texts may be long
        header, rows, raw, n_characters = None, [], [], 0
        for cells in self._csv_rows(reader):
            text = "".join(taken)
            taken.clear()
            if not cells:
                continue
            if header is None:
                header, self.header = self._checked_header(cells), text
                continue
            self._check_width(cells, header, reader.line_num)
            rows.append(cells)
            raw.append(text)
            n_characters += len(text)
            if len(rows) == _MOST_ROWS or n_characters >= _MOST_TEXT:
                yield _csv_batch(header, rows, raw)
                rows, raw, n_characters = [], [], 0
        if rows:
            yield _csv_batch(header, rows, raw)

    def _csv_rows(self, reader):
        try:
            yield from reader
        except csv.Error as error:
            raise FileFormatError(
                f"{self.name}, line {reader.line_num}: not CSV: {error}."
            ) from error

    def _checked_header(self, cells):
        if len(set(cells)) < len(cells):
            raise FileFormatError(f"{self.name}: two columns share a name: {cells}.")
        return cells

    def _check_width(self, cells, header, line):
        if len(cells) != len(header):
            raise FileFormatError(
                f"{self.name}, line {line}: {len(cells)} fields where the header has "
                f"{len(header)}."
            )

    def _jsonl_batches(self):
        rows, raw, n_characters = [], [], 0
        for number, line in enumerate(self._lines("utf-8-sig"), 1):
            if not line.strip():
                continue
            rows.append(json_object(line, self.name, number))
            raw.append(line)
            n_characters += len(line)
            if len(rows) == _MOST_ROWS or n_characters >= _MOST_TEXT:
                yield _json_batch(rows, raw)
                rows, raw, n_characters = [], [], 0
        if rows:
            yield _json_batch(rows, raw)

    def _parquet(self):
        caller = f"Reading {self.name}"
        parquet = require("pyarrow.parquet", extra="frames", caller=caller)
        try:  # a buffer: else the columns of a row group are read whole
            return parquet.ParquetFile(self.path, buffer_size=2**20, pre_buffer=False)
        except (OSError, ValueError) as error:
            raise self._not_parquet(error) from error

    def _parquet_batches(self):
        file = self._parquet()
        n_bytes = sum(
            file.metadata.row_group(i).total_byte_size
            for i in range(file.metadata.num_row_groups)
        )
        mean = max(1, n_bytes // max(1, file.metadata.num_rows))
        n_rows = min(_MOST_ROWS, max(1, _MOST_TEXT // mean))
        try:
            for batch in file.iter_batches(n_rows):
                yield RowBatch(batch.to_pydict(), batch)
        except (OSError, ValueError) as error:
            raise self._not_parquet(error) from error

    def _not_parquet(self, error):
        return FileFormatError(f"{self.name}: cannot be read as Parquet: {error}")


def _kept(lines, taken):
    """Hand lines on and keep them; the byte order mark is kept only."""
    for number, line in enumerate(lines):
        taken.append(line)
        yield line if number else line.removeprefix("\ufeff")


def _csv_batch(header, rows, raw):
    columns = map(list, zip(*rows, strict=True))
    return RowBatch(dict(zip(header, columns, strict=True)), raw)


def _json_batch(rows, raw):
    names = dict.fromkeys(name for row in rows for name in row)
    return RowBatch({name: [row.get(name) for row in rows] for name in names}, raw)


def json_object(line, path, number):
    """Read a line of JSON Lines."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path}, line {number}: not JSON: {error}.") from error
    if not isinstance(row, dict):
        raise FileFormatError(f"{path}, line {number}: not a JSON object.")
    return row


def column_of(columns, name, path):
    """One column of a file that was read, or an error that names those there are."""
    if name not in columns:
        raise InvalidInputError(
            f"{path}: no column {name!r}; columns are: {', '.join(columns)}."
        )
    return columns[name]
