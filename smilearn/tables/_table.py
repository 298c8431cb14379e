"""A polars frame that people print, cut, convert and save."""

import html

import numpy as np
import polars as pl

from smilearn.exceptions import InvalidInputError
from smilearn.tables._io import file_kind, write_frame
from smilearn.utils._escapes import printable
from smilearn.utils._optional import require


class Table:
    """A frame with a printed form of aligned columns.

    Parameters
    ----------
    frame : polars.DataFrame or dict of str to array-like
        The columns.

    Attributes
    ----------
    frame : polars.DataFrame
        The columns.
    """

    _rows_are, _note = "rows", ""

    def __init__(self, frame):
        self.frame = pl.DataFrame(frame)

    @property
    def columns(self):
        """Names of the columns."""
        return self.frame.columns

    def __len__(self):
        return len(self.frame)

    def __contains__(self, name):
        return name in self.columns

    def __getitem__(self, key):
        """A column by its name; rows by a number, a slice, indices or a mask."""
        if isinstance(key, str):
            if key not in self.columns:
                raise KeyError(f"no column {key!r}; columns are: {self.columns}")
            return self.frame[key].to_numpy(writable=True)
        return self.take(np.arange(len(self))[key] if isinstance(key, slice) else key)

    def __getattr__(self, name):
        if name in getattr(vars(self).get("frame"), "columns", ()):
            raise AttributeError(f"columns are taken as table[{name!r}]")
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

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
        return self._with(self.frame.head(checked_count(n)))

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
        return self._with(self.frame[np.arange(len(self))[indices]])

    def _with(self, frame):
        """The same table with other rows."""
        table = object.__new__(type(self))
        table.__dict__ = self.__dict__ | {"frame": frame}
        return table

    def to_pandas(self):
        """Convert to a pandas frame.

        Returns
        -------
        frame : pandas.DataFrame
            The columns.
        """
        caller = f"{type(self).__name__}.to_pandas"
        pandas = require("pandas", extra="frames", caller=caller)
        return pandas.DataFrame({name: self[name] for name in self.columns})

    def to_polars(self):
        """Convert to a polars frame.

        Returns
        -------
        frame : polars.DataFrame
            The columns; the same as `frame`.
        """
        return self.frame.clone()

    def to_arrow(self):
        """Convert to an Arrow table.

        Returns
        -------
        table : pyarrow.Table
            The columns.
        """
        caller = f"{type(self).__name__}.to_arrow"
        require("pyarrow", extra="frames", caller=caller)
        return self.frame.to_arrow()

    def to_datasets(self):
        """Convert to a data set of Hugging Face.

        Returns
        -------
        dataset : datasets.Dataset
            The columns, in memory.
        """
        caller = f"{type(self).__name__}.to_datasets"
        datasets = require("datasets", extra="datasets", caller=caller)
        return datasets.Dataset(self.frame.to_arrow())

    def to_csv(self, path):
        """Write as CSV, numbers with six digits; the file appears whole or not at all.

        Parameters
        ----------
        path : path-like
            Where to, ending in .csv.
        """
        self._write(path, "csv")

    def to_parquet(self, path):
        """Write as Parquet, in full precision; the file appears whole or not at all.

        Parameters
        ----------
        path : path-like
            Where to, ending in .parquet.
        """
        self._write(path, "parquet")

    def to_jsonl(self, path):
        """Write as JSON Lines, numbers with six digits; whole or not at all.

        Parameters
        ----------
        path : path-like
            Where to, ending in .jsonl or .ndjson.
        """
        self._write(path, "jsonl")

    def _write(self, path, kind):
        if file_kind(path) != kind:
            raise InvalidInputError(f"to_{kind} writes .{kind} files; got {path}.")
        write_frame(self.frame, path)

    def _printed(self):
        """The first rows as a frame to print, and a note below it."""
        more = len(self) - 10
        return self.frame.head(10), f"... and {more} more rows" if more > 0 else ""

    def __repr__(self):
        frame, note = self._printed()
        return "\n".join([*aligned_lines(frame), *filter(None, [note])])

    def _repr_html_(self):
        header, *rows = _cells(self._html_frame())
        head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        return (
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"<p>{html.escape(self._html_note())}</p>"
        )

    def _html_frame(self):
        return self._printed()[0]

    def _html_note(self):
        return f"{len(self)} {self._rows_are}{self._note}"

    def __getstate__(self):
        return self.__dict__ | {"frame": self.frame.write_ipc(None).getvalue()}

    def __setstate__(self, state):
        self.__dict__.update(state, frame=pl.read_ipc(state["frame"]))


class WideTable(Table):
    """One row a measure; printed with one column for each value of `_across`."""

    _down, _across, _marks = (), "", {}  # _marks: verdict -> sign and its meaning

    def __init__(self, frame, reference, over):
        super().__init__(frame)
        self.reference, self.over = reference, over

    def _printed(self):
        """One row a combination of `_down`, intervals in its cells."""
        rows = {}
        for row in self.frame.iter_rows(named=True):
            cell = "{value:.3f} [{low:.3f}, {high:.3f}]".format(**row)
            if self.reference is not None and row["verdict"] in self._marks:
                cell += f" {self._marks[row['verdict']][0]}"
            key = tuple(row[name] for name in self._down)
            line = rows.setdefault(key, dict(zip(self._down, key, strict=True)))
            line[str(row[self._across])] = cell
        frame = pl.DataFrame(list(rows.values()), infer_schema_length=None)
        strings = frame.select(pl.col(pl.String).fill_null(""))
        return frame.with_columns(strings), self._html_note()

    def _html_note(self):
        legend = f"[95 % interval over {self.over}]"
        if self.reference is None:
            return legend
        marks = ", ".join(f"{sign} {meaning}" for sign, meaning in self._marks.values())
        return f"{legend}; {marks} {self.reference}, 0 excluded"


def aligned_lines(frame):
    """Header and rows of a frame as lines of aligned columns, numbers to the right."""
    lines = _cells(frame)
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    right = [dtype.is_numeric() for dtype in frame.dtypes]
    for place, line in enumerate(lines):
        yield "  ".join(
            cell.rjust(width) if flush and place else cell.ljust(width)
            for cell, width, flush in zip(line, widths, right, strict=True)
        ).rstrip()


def _cells(frame):
    """Header and rows as short strings that do nothing to a terminal."""
    return [list(map(printable, row)) for row in (frame.columns, *frame.iter_rows())]


def checked_count(n):
    """Check a number of rows."""
    if n < 0:
        raise InvalidInputError(f"n must be 0 or more; got {n}.")
    return n
