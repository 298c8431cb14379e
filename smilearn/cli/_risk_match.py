"""Whether a risk table is that of the rows that stream past.

Of the risk file only numbers are held: scores, codes of the labels, and a hash of each
label and text. The hash is Python's own, of 64 bits.
"""

import numpy as np

from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.tables._files import MARK
from smilearn.tables._risk_files import parse_mark
from smilearn.tables._risk_table import RiskTable
from smilearn.tables._row_streams import RowStream

_ADVICE = "Score this very file first."


class RiskRows:
    """A risk file, matched with the rows of a data file as they come."""

    def __init__(self, path, data, id_column=None):
        self.path, self.data, self.id_column = path, data, id_column
        self._is_whole, self._said = None, {}
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
            if not psmi:
                self._check_version(stream, batch)
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

    def _check_version(self, stream, batch):
        """Refuse a table of a newer smilearn."""
        mark = str(batch.columns.get("schema", [""])[0])
        if stream.schema is not None:
            mark = ((stream.schema.metadata or {}).get(MARK) or b"").decode()
        if mark.startswith(MARK.decode()):
            self._is_whole, self._said = parse_mark(mark, self.path)

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
        order = np.argsort(places, kind="stable")
        wrong = places[order] != np.arange(len(ids))
        if not wrong.any() and self._is_whole and "order" in self._said:
            raise InvalidInputError(
                f"{self.path}: its ids are no row numbers but ids of your own; name "
                f"the column of {self.data} that holds them with --id."
            )
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
