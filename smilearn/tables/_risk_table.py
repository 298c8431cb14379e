"""One row a sample: the form in which a person meets the scores."""

import numpy as np

from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.tables._column_table import ColumnTable, checked_count
from smilearn.tables._columns import as_column, numbers, objects, support_of
from smilearn.tables._risk_comparison import compare_tables
from smilearn.tables._risk_files import as_written, read_risk, write_risk
from smilearn.tables._risk_groups import risk_groups
from smilearn.tables._risk_join import join_risk
from smilearn.tables._risk_plot import plot_risk
from smilearn.utils._ranks import order_of, ranks_of
from smilearn.utils._texts import check_labels, check_texts

__all__ = ["RiskTable"]


class RiskTable(ColumnTable):
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
        Strings, numbers or dates that name the samples; None numbers them from 0.

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

    _rows_are, _note = "samples", "; risk in nats, high = at risk"

    def __init__(
        self, psmi, label, *, std=None, most_likely_label=None, text=None, id=None
    ):
        self.is_whole = True
        psmi = numbers(psmi, "psmi")  # a copy: risk and rank follow it
        label = np.array(check_labels(label))
        if len(label) != len(psmi):
            raise InvalidInputError(
                f"label has {len(label)} rows where psmi has {len(psmi)}."
            )
        likely = most_likely_label
        columns = {
            "id": np.arange(len(psmi)) if id is None else as_column(id, "id"),
            "label": label,
            "text": None if text is None else objects(check_texts(text)),
            "psmi": psmi,
            "std": None if std is None else numbers(std, "std"),
            "risk": 0.0 - psmi,
            "rank": ranks_of(psmi),
            "class_support": support_of(label),
            "most_likely_label": None if likely is None else as_column(likely, "label"),
        }
        self.columns = {
            n: values for n, values in columns.items() if values is not None
        }
        lengths = {name: len(values) for name, values in self.columns.items()}
        if set(lengths.values()) - {len(psmi)}:
            raise InvalidInputError(f"columns differ in length: {lengths}.")

    @classmethod
    def read(cls, path):
        """Read a table that was written by `to_csv`, `to_jsonl` or `to_parquet`.

        Other files need columns `psmi` and `label`; from CSV these have strings.

        Parameters
        ----------
        path : path-like
            A file that ends in .csv, .jsonl, .ndjson or .parquet.

        Returns
        -------
        table : RiskTable
            The table, without the columns that are not its own.

        Raises
        ------
        InvalidInputError
            If the file is not a risk table, has no rows, or is of a newer smilearn.
        """
        columns, is_whole = read_risk(path)
        if is_whole and (unchanged := as_written(columns)) is not None:
            table = object.__new__(cls)
            table.is_whole, table.columns = True, unchanged
            return table
        given = ("psmi", "label", "std", "most_likely_label", "text", "id")
        try:
            table = cls(**{name: columns[name] for name in given if name in columns})
        except InvalidInputError as error:
            raise FileFormatError(f"{path}: not a risk table: {error}") from error
        kept = {n: columns[n] for n in ("rank", "class_support") if n in columns}
        if is_whole is None:
            is_whole = all((table[name] == kept[name]).all() for name in kept)
        table.is_whole = is_whole
        table.columns |= {} if is_whole else kept
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
        order = order_of(self["rank"])
        return self.take(order if n is None else order[: checked_count(n)])

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
        table = super().take(indices)
        table.is_whole = False
        return table

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
            `share_below_zero` (of its samples, those with a PSMI below 0) and
            `share_of_riskiest` (of the riskiest tenth of the table).

        Raises
        ------
        InvalidInputError
            If no such column, groups not one a row, or two of one name.

        Examples
        --------
        >>> from smilearn import RiskTable
        >>> table = RiskTable([0.6, -1.5, 0.4], ["ham", "spam", "ham"])
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
            The same rows and index, with the columns `psmi`, `risk`, `rank`, and `std`
            and `most_likely_label` where known.

        Raises
        ------
        InvalidInputError
            If it is no frame, rows do not match, or a name is taken.
        """
        return join_risk(self, frame, on, prefix)

    def plot(self, kind="hist", *, ax=None):
        """Draw the risk with matplotlib.

        Parameters
        ----------
        kind : {"hist", "by_class", "rank"}, default="hist"
            Samples by risk; a box for each of the 30 riskiest classes, with its 5th and
            95th percentile; or risk by rank.

        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        ax : matplotlib.axes.Axes
            What was drawn on. Its title counts samples of infinite risk, left out.

        Raises
        ------
        InvalidInputError
            If the kind is unknown or there is nothing to draw.
        """
        return plot_risk(self, kind, ax)

    def _write_file(self, path):
        write_risk(self.columns, path, is_whole=self.is_whole)
