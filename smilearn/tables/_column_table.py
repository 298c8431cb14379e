"""A table of named columns: shown, cut, and given to other libraries."""

import html

import narwhals as nw
import numpy as np

from smilearn.exceptions import InvalidInputError
from smilearn.tables._columns import arrow_columns, frame_column
from smilearn.tables._io import file_kind, write_columns
from smilearn.utils._escapes import printable
from smilearn.utils._optional import require


class ColumnTable:
    """Named columns of one length."""

    _rows_are, _note = "rows", ""

    def __init__(self, columns):
        self.columns = columns

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name):
        return self.columns[name]

    def head(self, n=5):
        """Give the first rows as they stand.

        Parameters
        ----------
        n : int, default=5
            How many, 0 or more.

        Returns
        -------
        table : same type as the table
            The first n rows, or all where there are fewer.

        Raises
        ------
        InvalidInputError
            If n is below 0.
        """
        return self.take(np.arange(min(checked_count(n), len(self))))

    def take(self, indices):
        """Give some rows.

        Parameters
        ----------
        indices : array-like of int or of bool
            Rows wanted, or a mask.

        Returns
        -------
        table : same type as the table
            These rows. What was computed over the whole table stays as it was.
        """
        indices = np.atleast_1d(indices)
        if indices.size == 0:
            indices = indices.astype(np.int64)
        if indices.ndim != 1:
            raise InvalidInputError(
                f"indices must be one row of numbers; got shape {indices.shape}."
            )
        if indices.dtype == bool:
            indices = np.arange(len(self))[indices]
        table = object.__new__(type(self))
        table.__dict__.update(self.__dict__)
        table.columns = {n: values.take(indices) for n, values in self.columns.items()}
        return table

    def to_pandas(self):
        """Convert to a pandas frame.

        Returns
        -------
        frame : pandas.DataFrame
            The columns.
        """
        return self._frame("pandas")

    def to_polars(self):
        """Convert to a polars frame.

        Returns
        -------
        frame : polars.DataFrame
            The columns.

        Raises
        ------
        InvalidInputError
            If a column holds values of several types.
        """
        return self._frame("polars")

    def to_arrow(self):
        """Convert to an Arrow table.

        Returns
        -------
        table : pyarrow.Table
            The columns.

        Raises
        ------
        InvalidInputError
            If a column holds values of several types.
        """
        return self._arrow("to_arrow")

    def to_datasets(self):
        """Convert to a data set of Hugging Face.

        Returns
        -------
        dataset : datasets.Dataset
            The columns, in memory.

        Raises
        ------
        InvalidInputError
            If a column holds values of several types.
        """
        caller = f"{type(self).__name__}.to_datasets"
        datasets = require("datasets", extra="datasets", caller=caller)
        return datasets.Dataset(self._arrow("to_datasets"))

    def to_csv(self, path):
        """Write as CSV; the file appears whole or not at all.

        Parameters
        ----------
        path : path-like
            Where to, ending in .csv.
        """
        self._write(path, "csv")

    def to_parquet(self, path):
        """Write as Parquet; the file appears whole or not at all.

        Parameters
        ----------
        path : path-like
            Where to, ending in .parquet.
        """
        self._write(path, "parquet")

    def to_jsonl(self, path):
        """Write as JSON Lines; the file appears whole or not at all.

        Parameters
        ----------
        path : path-like
            Where to, ending in .jsonl or .ndjson.
        """
        self._write(path, "jsonl")

    def _write(self, path, kind):
        if file_kind(path) != kind:
            raise InvalidInputError(f"to_{kind} writes .{kind} files; got {path}.")
        self._write_file(path)

    def _write_file(self, path):
        write_columns(self.columns, path)

    def _arrow(self, method):
        caller = f"{type(self).__name__}.{method}"
        pyarrow = require("pyarrow", extra="frames", caller=caller)
        return pyarrow.table(arrow_columns(self.columns))

    def _frame(self, backend):
        caller = f"{type(self).__name__}.to_{backend}"
        require(backend, extra="frames", caller=caller)
        columns = {name: frame_column(values) for name, values in self.columns.items()}
        try:
            return nw.from_dict(columns, backend=backend).to_native()
        except (ValueError, TypeError) as error:
            raise InvalidInputError(
                f"The table cannot be a frame of {backend}: {error}."
            ) from error

    def _cells(self, shown=10):
        """Header and formatted rows, the text cut short."""
        head = self.head(shown)
        rows = zip(
            *(map(printable, values) for values in head.columns.values()), strict=True
        )
        return [*map(printable, self.columns)], list(rows)

    def __repr__(self):
        header, rows = self._cells()
        right = [values.dtype.kind in "iuf" for values in self.columns.values()]
        lines = [header, *rows]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        text = [
            "  ".join(
                cell.rjust(width) if flush and line is not header else cell.ljust(width)
                for cell, width, flush in zip(line, widths, right, strict=True)
            ).rstrip()
            for line in lines
        ]
        more = len(self) - len(rows)
        return "\n".join(text + [f"... and {more} more rows"] * (more > 0))

    def _repr_html_(self):
        header, rows = self._cells()
        cells = "".join(f"<th>{html.escape(name)}</th>" for name in header)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        return (
            f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
            f"<p>{len(self)} {self._rows_are}{self._note}</p>"
        )


def checked_count(n):
    """Check a number of rows."""
    if n < 0:
        raise InvalidInputError(f"n must be 0 or more; got {n}.")
    return n
