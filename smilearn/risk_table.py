"""One row a sample: the form in which a person meets the scores (floor 2)."""

import html

import narwhals as nw
import numpy as np

from smilearn._files import file_kind, write_columns
from smilearn._optional import require
from smilearn._texts import check_labels, check_texts
from smilearn.exceptions import InvalidInputError

__all__ = ["RiskTable"]


class RiskTable:
    """Scores of labelled samples, one row each; here *high risk = at risk*.

    Parameters
    ----------
    psmi : array-like of shape (n_samples,)
        Pointwise sliced mutual information in nats; low = at risk.

    label : array-like of shape (n_samples,)
        Label of each sample.

    std : array-like of shape (n_samples,), default=None
        Monte-Carlo standard error of `psmi`, in nats.

    most_likely_label : array-like of shape (n_samples,), default=None
        The label under which each sample scores highest.

    text : sequence of str, default=None
        Text of each sample.

    id : sequence, default=None
        Name of each sample; None numbers them from 0.

    Attributes
    ----------
    columns : dict of str to ndarray of shape (n_samples,)
        The columns `id`, `label`, `text` (if given), `psmi`, `std` (if given), `risk`
        (minus `psmi`, in nats), `rank` (1 for the riskiest), `class_support` (samples
        that share the label) and `most_likely_label` (if given).

    is_whole : bool
        False for some rows of another table.

    Raises
    ------
    InvalidInputError
        If the columns differ in length, or a score is NaN.

    Examples
    --------
    >>> from smilearn import RiskTable
    >>> table = RiskTable(psmi=[0.6, -1.5, 0.4], label=["ham", "spam", "ham"])
    >>> table.riskiest(1)["id"].tolist()
    [1]
    >>> print(table.riskiest(2))
    id  label  psmi    risk    rank  class_support
     1  spam   -1.500   1.500     1              1
     2  ham     0.400  -0.400     2              2
    """

    def __init__(
        self, psmi, label, *, std=None, most_likely_label=None, text=None, id=None
    ):
        self.is_whole = True
        psmi = np.array(psmi, dtype=np.float64)  # a copy: risk and rank follow it
        if psmi.ndim != 1 or np.isnan(psmi).any():
            raise InvalidInputError(
                "psmi must be one column of numbers; got "
                + (f"shape {psmi.shape}." if psmi.ndim != 1 else "NaN.")
            )
        label = check_labels(label)
        if len(label) != len(psmi):
            raise InvalidInputError(
                f"label has {len(label)} rows where psmi has {len(psmi)}."
            )
        _, codes, support = np.unique(label, return_inverse=True, return_counts=True)
        rank = np.empty(len(psmi), np.int64)
        rank[np.argsort(psmi, kind="stable")] = np.arange(1, len(psmi) + 1)
        columns = {
            "id": np.arange(len(psmi)) if id is None else np.asarray(id),
            "label": label,
            "text": None if text is None else np.array(check_texts(text), dtype=object),
            "psmi": psmi,
            "std": None if std is None else np.asarray(std, dtype=np.float64),
            "risk": 0.0 - psmi,
            "rank": rank,
            "class_support": support[codes] if len(psmi) else rank,
            "most_likely_label": most_likely_label,
        }
        self.columns = {
            name: np.array(values)
            for name, values in columns.items()
            if values is not None
        }
        lengths = {name: len(values) for name, values in self.columns.items()}
        if set(lengths.values()) - {len(psmi)}:
            raise InvalidInputError(f"columns differ in length: {lengths}.")

    def __len__(self):
        return len(self.columns["psmi"])

    def __getitem__(self, name):
        return self.columns[name]

    def riskiest(self, n=None):
        """Give the n riskiest samples, riskiest first.

        Parameters
        ----------
        n : int, default=None
            How many, 0 or more; None gives all of them.

        Returns
        -------
        table : RiskTable
            A table in order of risk. Ranks and supports stay those of the whole.
        """
        if n is not None and n < 0:
            raise InvalidInputError(f"n must be 0 or more; got {n}.")
        return self.take(np.argsort(self["rank"], kind="stable")[:n])

    def take(self, indices):
        """Give some rows.

        Parameters
        ----------
        indices : array-like of int or of bool
            Rows wanted, or a mask.

        Returns
        -------
        table : RiskTable
            These rows. Ranks and supports stay those of the whole.
        """
        table = object.__new__(RiskTable)
        table.is_whole = False
        indices = np.atleast_1d(indices)
        if indices.size == 0:
            indices = indices.astype(np.int64)
        table.columns = {name: values[indices] for name, values in self.columns.items()}
        return table

    def to_pandas(self):
        """Convert to a pandas frame.

        Returns
        -------
        frame : pandas.DataFrame
            The columns, one row a sample.
        """
        return self._frame("pandas")

    def to_polars(self):
        """Convert to a polars frame.

        Returns
        -------
        frame : polars.DataFrame
            The columns, one row a sample.
        """
        return self._frame("polars")

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

    def _write(self, path, kind):
        if file_kind(path) != kind:
            raise InvalidInputError(f"to_{kind} writes .{kind} files; got {path}.")
        write_columns(self.columns, path)

    def _frame(self, backend):
        require(backend, extra="frames", caller=f"RiskTable.to_{backend}")
        columns = {name: values.tolist() for name, values in self.columns.items()}
        return nw.from_dict(columns, backend=backend).to_native()

    def _cells(self, shown=10):
        """Header and formatted rows, the text cut short."""
        head = self.take(np.arange(min(shown, len(self))))
        rows = zip(
            *(map(_cell, values) for values in head.columns.values()), strict=True
        )
        return list(self.columns), list(rows)

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
            f"<p>{len(self)} samples; risk in nats, high = at risk</p>"
        )


def _cell(value, width=60):
    if isinstance(value, (float, np.floating)):
        return f"{value:.3f}"
    text = " ".join(str(value).split())
    return text if len(text) <= width else text[: width - 1] + "…"
