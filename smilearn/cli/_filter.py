"""The filter command: data in, data out, a batch of rows at a time."""

import csv
import json
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from smilearn.cli._terminal import check_number, check_output, one_of
from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.filtering._filter import RiskFilter
from smilearn.tables._io import file_kind
from smilearn.tables._risk_table import RiskTable
from smilearn.tables._row_streams import RowStream
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


_ADVICE = "Score this very file first."


class RiskRows:
    """A risk file, matched with the rows of a data file as they come."""

    def __init__(self, path, data, id_column=None):
        self.path, self.data, self.id_column = path, data, id_column
        ids, psmi, labels, hashes = self._read()
        order = np.arange(len(psmi)) if id_column else self._row_order(ids)
        self._row_of = self._rows_by_id(ids) if id_column else None
        self.table = RiskTable(psmi[order], [labels[row] for row in order])
        self._hashes = {name: values[order] for name, values in hashes.items()}
        self._agreement = {name: Agreement() for name in hashes}
        self._seen, self.n_rows = np.zeros(len(psmi), bool), 0

    def match(self, batch):
        """Find the rows of the table that belong to the next rows of the data."""
        start, self.n_rows = self.n_rows, self.n_rows + len(batch)
        rows = np.arange(start, self.n_rows)
        if self.id_column is not None:
            rows = self._rows_of_ids(batch, start)
        elif self.n_rows > len(self.table):
            return np.zeros(len(batch), int)  # too long: counted, then refused
        self._seen[rows] = True
        cells = {name: _hashes(values) for name, values in batch.columns.items()}
        for name, agreement in self._agreement.items():
            agreement.see(self._hashes[name][rows], cells)
        return rows

    def finish(self):
        """Refuse a table of other rows than those that passed."""
        if self.n_rows != len(self.table) or not self._seen.all():
            ids = (
                f"the values of column {self.id_column!r}"
                if self.id_column
                else f"the rows 0 to {self.n_rows - 1}"
            )
            raise InvalidInputError(
                f"{self.path}: its ids must be {ids} of {self.data}, each once; it "
                f"holds {len(self.table)} rows where the data has {self.n_rows}. "
                f"{_ADVICE}"
            )
        for name, agreement in self._agreement.items():
            row = agreement.first_difference()
            if row is not None:
                raise InvalidInputError(
                    f"{self.path}: no column of {self.data} holds its {name} column; "
                    f"the nearest differs in row {row} (counted from 0). {_ADVICE}"
                )

    def _read(self):
        """Ids, scores, labels and hashes of the risk file, in its order."""
        ids, psmi, labels, known = [], [], [], {}
        hashes = {"label": [], "text": []}
        stream = RowStream(self.path)
        for batch in stream:
            self._check_columns(batch.columns)
            ids += map(str, batch.columns["id"])
            psmi.append(self._scores(batch.columns["psmi"], len(labels)))
            names = map(str, batch.columns["label"])
            labels += [known.setdefault(name, name) for name in names]
            for name in hashes.keys() & batch.columns.keys():
                hashes[name].append(_hashes(batch.columns[name]))
        hashes = {
            name: np.concatenate(parts) for name, parts in hashes.items() if parts
        }
        return ids, np.concatenate(psmi), labels, hashes

    def _check_columns(self, columns):
        for name in ("id", "psmi", "label"):
            if name not in columns:
                raise FileFormatError(
                    f"{self.path}: not a risk table: no column {name!r}; columns are: "
                    f"{', '.join(columns)}. `smilearn score` writes risk tables."
                )

    def _scores(self, values, start):
        try:
            scores = np.array(values).astype(float)
        except (ValueError, TypeError) as error:
            raise FileFormatError(
                f"{self.path}: not a risk table: psmi must be numbers: {error}."
            ) from error
        if np.isnan(scores).any():
            row = start + int(np.isnan(scores).argmax())
            raise FileFormatError(
                f"{self.path}: psmi is not a number in row {row} (counted from 0). "
                f"{_ADVICE}"
            )
        return scores

    def _row_order(self, ids):
        """Where the rows 0, 1, ... stand in the risk file."""
        try:
            places = np.array(list(map(int, ids)), dtype=np.int64)
        except (ValueError, OverflowError) as error:
            raise InvalidInputError(
                f"{self.path}: its ids are no row numbers ({error}); name the column "
                f"of {self.data} that holds them with --id."
            ) from error
        if places.astype(str).tolist() != ids:  # such as "007"
            raise InvalidInputError(
                f"{self.path}: its ids are no row numbers but ids of your own; name "
                f"the column of {self.data} that holds them with --id."
            )
        order = np.argsort(places, kind="stable")
        wrong = places[order] != np.arange(len(ids))
        if wrong.any():
            raise InvalidInputError(
                f"{self.path}: its ids must be the rows 0 to {len(ids) - 1} of "
                f"{self.data}, each once; {int(wrong.argmax())} is missing or there "
                f"twice. {_ADVICE} Or name the column that holds the ids with --id."
            )
        return order

    def _rows_by_id(self, ids):
        rows = {id: row for row, id in enumerate(ids)}
        if len(rows) < len(ids):
            row, id = next((r, i) for r, i in enumerate(ids) if rows[i] != r)
            raise InvalidInputError(
                f"{self.path}: the id {id!r} stands in row {row} and in row "
                f"{rows[id]} (counted from 0); ids must be unique."
            )
        return rows

    def _rows_of_ids(self, batch, start):
        ids = batch.columns.get(self.id_column)
        if ids is None:
            raise InvalidInputError(
                f"{self.data}: no column {self.id_column!r}; columns are: "
                f"{', '.join(batch.columns)}."
            )
        rows = np.array([self._row_of.get(id, -1) for id in map(str, ids)])
        if (rows < 0).any():
            at = int((rows < 0).argmax())
            raise InvalidInputError(
                f"{self.data}: the id {ids[at]!r} of row {start + at} (counted from "
                f"0) is not in {self.path}. {_ADVICE}"
            )
        first = np.unique(rows, return_index=True)[1]
        again = self._seen[rows]
        again[np.setdiff1d(np.arange(len(rows)), first)] = True
        if again.any():
            at = int(again.argmax())
            raise InvalidInputError(
                f"{self.data}: the id {ids[at]!r} stands in row {start + at} (counted "
                "from 0) and in one before; ids must be unique."
            )
        return rows


class Agreement:
    """In how many rows each column of the data equals one of the risk table."""

    def __init__(self):
        self.n_rows, self.n_equal, self.first = 0, {}, {}

    def see(self, own, cells):
        """Compare some rows."""
        for name in cells.keys() - self.n_equal.keys():
            self.n_equal[name] = 0
            if self.n_rows:
                self.first[name] = 0
        for name in self.n_equal:
            same = own == cells[name] if name in cells else np.zeros(len(own), bool)
            self.n_equal[name] += int(same.sum())
            if not same.all():
                self.first.setdefault(name, self.n_rows + int(same.argmin()))
        self.n_rows += len(own)

    def first_difference(self):
        """Find the first row where the nearest column differs."""
        nearest = max(self.n_equal, key=self.n_equal.get)
        return self.first.get(nearest)


def _hashes(values):
    """A number for each value, equal for equal texts; (n_rows,), int64."""
    return np.fromiter(map(hash, map(_as_text, values)), np.int64, len(values))


def _as_text(value):
    """A cell as text; the label 1.0 is written as 1."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)


@dataclass
class FilterJob:
    """What is to be filtered, and how."""

    data: Path
    risk: Path
    out: Path
    removed: Path | None = None
    id_column: str | None = None
    rule: dict = field(default_factory=dict)

    def check(self):
        """Refuse what cannot be done, before anything is read."""
        share, threshold, n_remove = (
            self.rule[name] for name in ("share", "threshold", "n_remove")
        )
        check_number("--share", share, least=0, below=1)
        check_number("--threshold", threshold)
        check_number("--n-remove", n_remove, least=0)
        check_number("--min-per-class", self.rule["min_per_class"], least=0)
        one_of({"--share": share, "--threshold": threshold, "--n-remove": n_remove})
        check_output(self.out, self.data, self.risk)
        if self.removed is not None:
            check_output(self.removed, self.data, self.risk, self.out)

    def run(self, heed):
        """Filter."""
        stream = RowStream(self.data)
        risk = RiskRows(self.risk, stream.name, self.id_column)
        with heed():
            kept = self._kept(risk.table)
        files = [self.out] + [self.removed] * (self.removed is not None)
        shape = shape_of(stream, set(map(file_kind, files)))
        removed = []
        with ExitStack() as stack:
            writers = [stack.enter_context(row_writer(f, stream, shape)) for f in files]
            for batch in stream:
                start = risk.n_rows
                keep = kept[risk.match(batch)]
                for add, mask in zip(writers, (keep, ~keep), strict=False):
                    add(batch, mask.tolist())
                removed += (start + np.flatnonzero(~keep)).tolist()
            risk.finish()
        n_kept = risk.n_rows - len(removed)
        return {"out": str(self.out), "n_kept": n_kept, "removed": removed}

    def _kept(self, table):
        """Which rows of the table the rule keeps; (n_rows,), bool."""
        n_remove = self.rule["n_remove"]
        groups = {"rows": len(table)}
        if self.rule["by_class"]:
            names, counts = np.unique(table["label"], return_counts=True)
            groups = {
                f"rows of class {name}": count
                for name, count in zip(names, counts, strict=True)
            }
        for what, count in groups.items():
            if n_remove is not None and n_remove > count:
                raise InvalidInputError(
                    f"--n-remove must be at most the {count} {what}; got {n_remove}."
                )
        return RiskFilter(table, **self.rule).fit(None, table["label"]).support_
