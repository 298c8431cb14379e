"""Scores of labelled samples, one row each: the form in which a person meets them."""

from pathlib import Path

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.tables._columns import (
    as_labels,
    as_numbers,
    as_series,
    as_texts,
    whole_numbers,
)
from smilearn.tables._comparison import compare_tables
from smilearn.tables._groups import risk_groups
from smilearn.tables._io import file_kind, read_frame, require_columns
from smilearn.tables._matching import join_risk
from smilearn.tables._table import Table, checked_count

_NUMBERS = ("risk", "probability", "psmi", "std")
_TYPES = dict.fromkeys(_NUMBERS, pl.Float64)
_TYPES |= {"rank": pl.Int64, "class_support": pl.Int64}
COLUMNS = ("id", "label", "text", *_TYPES, "most_likely_label")


class RiskTable(Table):
    """Scores of labelled samples, one row each; here *high risk = at risk*.

    Parameters
    ----------
    score : array-like of shape (n_samples,)
        What samples are ranked by, in nats; low = at risk, as `scores_` of a scorer.

    label : array-like of shape (n_samples,)
        Label of each sample.

    probability : array-like of shape (n_samples,), default=None
        Probability of the label by all other samples, in [0, 1]; low = at risk.

    psmi : array-like of shape (n_samples,), default=None
        Pointwise sliced mutual information, in nats; low = at risk.

    std : array-like of shape (n_samples,), default=None
        Monte-Carlo standard error of `psmi`, in nats.

    most_likely_label : array-like of shape (n_samples,), default=None
        The label under which each sample scores highest.

    text : sequence of str, default=None
        Text of each sample.

    id : sequence, default=None
        Strings, numbers or dates that name the samples; None numbers them from 0.

    Attributes
    ----------
    frame : polars.DataFrame of shape (n_samples, n_columns)
        The columns `id`, `label`, `text` (if given), `risk` (minus the score, in nats),
        `probability`, `psmi` and `std` (if given), `rank` (1 for the riskiest),
        `class_support` (samples that share the label) and `most_likely_label` (if
        given).

    columns : list of str
        Their names. ``table["risk"]`` gives one as an array.

    is_whole : bool
        False for some rows of another table.

    Raises
    ------
    InvalidInputError
        If the columns differ in length or hold values of several types, a number is
        NaN, or a probability is not in [0, 1].

    Examples
    --------
    >>> from smilearn import RiskTable
    >>> table = RiskTable(score=[-0.2, -1.5, -0.4], label=["ham", "spam", "ham"])
    >>> table.riskiest(1)["id"].tolist()
    [1]
    >>> print(table.riskiest(2))
    id  label  risk   rank  class_support
     1  spam   1.500     1              1
     2  ham    0.400     2              2
    """

    _rows_are, _note = "samples", "; risk in nats, high = at risk"

    def __init__(
        self,
        score,
        label,
        *,
        probability=None,
        psmi=None,
        std=None,
        most_likely_label=None,
        text=None,
        id=None,
    ):
        given = {"id": id, "label": label, "text": text, "score": score}
        given |= {"probability": probability, "psmi": psmi, "std": std}
        given["most_likely_label"] = most_likely_label
        self.frame = _complete({n: v for n, v in given.items() if v is not None})
        self.is_whole = True

    @classmethod
    def read(cls, path):
        """Read a table that was written by `to_csv`, `to_jsonl` or `to_parquet`.

        Other files need columns `risk` and `label`. Of CSV, ids and labels are int64 if
        all are whole numbers, without leading zeros, and strings else.

        Parameters
        ----------
        path : path-like
            A file that ends in .csv, .jsonl, .ndjson or .parquet; or a folder of
            Parquet files, in the order of their names.

        Returns
        -------
        table : RiskTable
            The table, without the columns that are not its own.

        Raises
        ------
        InvalidInputError
            If the file is not a risk table, has no rows, or is of a newer smilearn.
        """
        path = Path(path)
        parts = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        if not parts:
            raise FileFormatError(f"{path}: a folder without Parquet files.")
        frame = pl.concat([read_frame(part, _TYPES) for part in parts])
        require_columns(("risk", "label"), frame.columns, path)
        table = object.__new__(cls)
        try:
            columns = {n: frame[n] for n in COLUMNS if n in frame.columns}
            if file_kind(parts[0]) == "csv":
                columns = _typed(columns)
            table.frame = _complete(columns)
        except (InvalidInputError, PolarsError) as error:
            raise FileFormatError(f"{path}: not a risk table: {error}") from error
        table.is_whole = _is_whole(table.frame)
        return table

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

        Raises
        ------
        InvalidInputError
            If n is below 0.
        """
        order = np.argsort(self["rank"], kind="stable")
        return self.take(order if n is None else order[: checked_count(n)])

    def _with(self, frame):
        table = super()._with(frame)
        table.is_whole = False
        return table

    def _html_frame(self):
        return self.riskiest(10).frame

    def _html_note(self):
        return f"{super()._html_note()}; riskiest first"

    def by(self, key):
        """Summarize the risk by groups of samples.

        Parameters
        ----------
        key : str, array-like of shape (n_samples,) or callable
            A column, one group a row, or a function of the table that gives it.
            Missing groups are a group named "missing".

        Returns
        -------
        groups : table
            Riskiest mean first: `group`, `n_samples`, `mean_risk`, `max_risk` (nats),
            `mean_probability` (if the table has probabilities) and `share_of_riskiest`
            (of the riskiest tenth of the table).

        Raises
        ------
        InvalidInputError
            If no such column, groups not one a row, or two of one name.

        Examples
        --------
        >>> from smilearn import RiskTable
        >>> table = RiskTable([-0.2, -1.5, -0.4], ["ham", "spam", "ham"])
        >>> table.by(["web", "print", "print"])["group"].tolist()
        ['print', 'web']
        """
        return risk_groups(self, key)

    def by_class(self):
        """Summarize the risk by label, as ``by("label")``.

        Returns
        -------
        groups : table
            One row a label.
        """
        return self.by("label")

    def compare(self, other):
        """Put the risk of the same samples in another table beside this one.

        Parameters
        ----------
        other : RiskTable
            Scores of another model or checkpoint; rows in any order, matched by id.

        Returns
        -------
        comparison : table
            In this order: `id`, `label`, `text` (if known), `risk`, `other_risk`,
            `change` (other minus this, nats), `rank`, `other_rank`. With Spearman's
            `rank_correlation`, ``overlap(share=0.1)`` of the riskiest of both, and
            ``most_changed(n=10)``.

        Raises
        ------
        InvalidInputError
            If ids are not unique or not the same in both, or labels differ.
        """
        return compare_tables(self, other)

    def join(self, frame, on=None, *, prefix=""):
        """Add the risk to the rows of a frame.

        Parameters
        ----------
        frame : pandas.DataFrame, polars.DataFrame or pyarrow.Table
            Rows of the same samples.

        on : str, default=None
            Column of the frame that holds ids of this table, which may repeat and be
            fewer. None matches rows by their place.

        prefix : str, default=""
            Put before the names of the new columns.

        Returns
        -------
        frame : same type as frame
            The same rows and index, with the columns `risk`, `rank`, and `probability`,
            `psmi`, `std` and `most_likely_label` where known.

        Raises
        ------
        InvalidInputError
            If it is no frame, rows do not match, or a name is taken.
        """
        return join_risk(self, frame, on, prefix)

    def to_html(self, path, **options):
        """Write a report that opens in any browser, offline; or Markdown, or JSON.

        Parameters
        ----------
        path : path-like
            Where to, ending in .html, .md or .json.

        **options : dict
            As those of :func:`smilearn.report.write_report`, such as `title`, `facts`,
            `embeddings` and ``texts=False``.

        Returns
        -------
        path : Path
            Where the report is.

        Raises
        ------
        InvalidInputError
            If the table is empty, the suffix is another one, or rows do not match.
        """
        from smilearn.report._report import write_report  # which imports this room

        return write_report(self, path, **options)


def _column(name, values):
    """Check a column of a risk table and make it a series."""
    if name in ("rank", "class_support"):
        values = values.cast(pl.Int64)
    make = {"label": as_labels, "text": as_texts, "score": as_numbers}
    make |= dict.fromkeys(_NUMBERS, as_numbers)
    values = make.get(name, as_series)(values, name)
    if name == "probability" and not values.is_between(0, 1).all():
        wrong = values.filter(~values.is_between(0, 1))[0]
        raise InvalidInputError(f"probability must lie in [0, 1]; got {wrong}.")
    return values


def _complete(columns):
    """A frame of columns, checked, and those that follow from them."""
    columns = {name: _column(name, values) for name, values in columns.items()}
    n_rows = len(columns["label"])
    columns = {"id": pl.arange(n_rows, eager=True)} | columns
    lengths = {name: len(values) for name, values in columns.items()}
    if set(lengths.values()) != {n_rows}:
        raise InvalidInputError(f"columns differ in length: {lengths}.")
    if "score" in columns:  # 0.0 - 0.0 is 0.0 in NumPy, and -0.0 in polars
        columns["risk"] = pl.Series(0.0 - columns.pop("score").to_numpy())
    made = {
        "rank": (-pl.col("risk")).rank("ordinal").cast(pl.Int64),
        "class_support": pl.len().over("label").cast(pl.Int64),
    }
    frame = pl.DataFrame(columns)
    frame = frame.with_columns(**{n: e for n, e in made.items() if n not in columns})
    return frame.select(name for name in COLUMNS if name in frame.columns)


def _typed(columns):
    """Columns of CSV, which are strings, in the types that a risk table has."""
    columns = dict(columns)
    for name in ("id", "label"):
        if name in columns:
            columns[name] = whole_numbers(columns[name])
    if "most_likely_label" in columns and columns["label"].dtype == pl.Int64:
        columns["most_likely_label"] = whole_numbers(columns["most_likely_label"])
    return columns


def _is_whole(frame):
    """Whether a frame of a file holds all rows of a table, numbered ones in order."""
    n_rows, ids, rank = len(frame), frame["id"], frame["rank"].to_numpy()
    support = frame.select(pl.col("class_support") == pl.len().over("label"))
    if not support["class_support"].all() or rank.min() != 1 or rank.max() != n_rows:
        return False
    if np.bincount(rank).max() > 1:
        return False
    is_sorted = not ids.dtype.is_integer() or ids.is_sorted()
    return is_sorted or set(ids) != set(range(n_rows))
