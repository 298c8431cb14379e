"""One row a sample: the form in which a person meets the scores."""

import itertools

import narwhals as nw
import numpy as np

from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.tables._column_table import ColumnTable, checked_count
from smilearn.tables._columns import (
    as_column,
    coded,
    differ,
    frame_column,
    numbers,
    objects,
    support_of,
)
from smilearn.tables._io import as_written, read_risk, write_risk
from smilearn.tables._plot import plot_risk
from smilearn.utils._ranks import order_of, rank_correlation, ranks_of
from smilearn.utils._validation import check_labels, check_texts

_MISSING = "missing"
_RISKIEST = 0.1  # share of the table that counts as its riskiest samples


class RiskGroups(ColumnTable):
    """One row a group of samples, the riskiest group first."""

    _rows_are, _note = "groups", "; risk in nats, high = at risk"


def risk_groups(table, key):
    """Summarize a risk table by groups."""
    names, codes = _named_groups(_group_of_rows(table, key))
    risk, n_groups = table["risk"], len(names)
    sizes = np.bincount(codes, minlength=n_groups)
    highest = np.full(n_groups, -np.inf)
    np.maximum.at(highest, codes, risk)
    below = np.bincount(codes[table["psmi"] < 0], minlength=n_groups)
    riskiest = order_of(table["rank"])[: int(np.ceil(_RISKIEST * len(table)))]
    among = np.bincount(codes[riskiest], minlength=n_groups)
    columns = {
        "group": names,
        "n_samples": sizes,
        "mean_risk": np.bincount(codes, risk, minlength=n_groups) / sizes,
        "max_risk": highest,
        "share_below_zero": below / sizes,
        "share_of_riskiest": among / max(len(riskiest), 1),
    }
    order = np.argsort(-columns["mean_risk"], kind="stable")
    return RiskGroups({name: values[order] for name, values in columns.items()})


def _group_of_rows(table, key):
    if isinstance(key, str):
        if key not in table.columns:
            raise InvalidInputError(
                f"There is no column {key!r}; columns are: {', '.join(table.columns)}."
            )
        return table[key]
    values = as_column(key(table) if callable(key) else key, "key")
    if len(values) != len(table):
        raise InvalidInputError(
            f"key must give one group a row; got {len(values)} groups for "
            f"{len(table)} rows."
        )
    return values


def _named_groups(values):
    """Names of the groups, and the group of each row; missing ones are one group."""
    distinct, codes = coded(values)
    missing = np.fromiter(map(_is_missing, distinct), bool, len(distinct))
    if missing.any():
        first = int(missing.argmax())
        place = np.where(missing, first, np.arange(len(distinct)))
        kept, codes = np.unique(place[codes], return_inverse=True)
        distinct = [_MISSING if i == first else str(distinct[i]) for i in kept]
    if len(set(map(type, distinct))) > 1:
        distinct = list(map(str, distinct))
    if len(set(distinct)) < len(distinct):
        raise InvalidInputError(
            "Two groups would have one name, such as the string '1' and the number 1, "
            f"or {_MISSING!r} and a group that is missing; name them apart."
        )
    names = as_column(distinct, "key")
    return names if len(names) else objects([]), codes


def _is_missing(value):
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def unique_ids(ids, whose):
    """Check that no id stands for two rows."""
    try:
        n_distinct = len(set(ids.tolist()))
    except TypeError as error:
        raise InvalidInputError(
            f"The ids of {whose} cannot be matched: {error}."
        ) from (error)
    if n_distinct < len(ids):
        seen = set()
        twice = next(each for each in ids.tolist() if each in seen or seen.add(each))
        raise InvalidInputError(
            f"The ids of {whose} must be unique to be matched; {twice!r} occurs more "
            "than once."
        )


def places_of(wanted, ids, where, whose):
    """Find the row of each id."""
    keys, known = _keys(wanted, ids)
    places = dict(zip(known, itertools.count()))
    try:
        found = np.fromiter(
            map(places.get, keys, itertools.repeat(-1)), np.intp, len(keys)
        )
    except TypeError as error:
        raise InvalidInputError(
            f"The ids of {where} cannot be matched: {error}."
        ) from error
    lost = np.flatnonzero(found < 0)
    if len(lost):
        known_as = f", such as {_shown(ids[0])}" if known else ""
        raise InvalidInputError(
            f"{len(lost)} of {len(keys)} rows of {where} have no row in {whose}; the "
            f"first is {_shown(wanted[lost[0]])}. {whose.capitalize()} has "
            f"{len(known)} ids{known_as}."
        )
    return found


def _keys(wanted, ids):
    """Both as lists of things that are equal where they mean the same."""
    if "M" in (wanted.dtype.kind, ids.dtype.kind):
        try:
            both = [_as_times(values) for values in (wanted, ids)]
            unit = np.promote_types(both[0].dtype, both[1].dtype)
            return [values.astype(unit).astype(np.int64).tolist() for values in both]
        except (ValueError, TypeError):
            pass
    return wanted.tolist(), ids.tolist()


def _as_times(values):
    return values if values.dtype.kind == "M" else values.astype("datetime64[us]")


def _shown(value):
    """An id as it is written, with its type: '7' is not 7."""
    is_plain = isinstance(value, np.generic) and value.dtype.kind != "M"
    plain = value.item() if is_plain else value
    return f"{plain!r} ({type(plain).__name__})"


class RiskComparison(ColumnTable):
    """One row a sample: its risk in two tables, in the order of the first."""

    _rows_are, _note = "samples", "; risk in nats, high = at risk"

    def __init__(self, columns):
        super().__init__(columns)
        self._risks = columns["risk"], columns["other_risk"]
        self._orders = order_of(columns["rank"]), order_of(columns["other_rank"])
        if len(self):
            self.rank_correlation = rank_correlation(*self._risks)
        else:
            self.rank_correlation = 1.0

    def overlap(self, share=0.1):
        """Tell how many of the riskiest samples of one table are so in the other."""
        n_samples = len(self._orders[0])
        if not 0 < share <= 1:
            raise InvalidInputError(f"share must be in (0, 1]; got {share}.")
        if not n_samples:
            raise InvalidInputError("There are no samples, so none is riskiest.")
        n_riskiest = int(np.ceil(share * n_samples - 1e-9))
        both = np.intersect1d(*(order[:n_riskiest] for order in self._orders))
        return len(both) / n_riskiest

    def most_changed(self, n=10):
        """Give the samples whose risk differs most, the largest difference first."""
        order = np.argsort(-np.abs(self["change"]), kind="stable")
        return self.take(order[: checked_count(n)])


def compare_tables(table, other):
    """Match two risk tables by id."""
    unique_ids(table["id"], "this table")
    unique_ids(other["id"], "the other table")
    places = places_of(table["id"], other["id"], "this table", "the other table")
    if len(other) > len(table):
        places_of(other["id"], table["id"], "the other table", "this table")
    other = {name: values[places] for name, values in other.columns.items()}
    _check_labels(table, other["label"])
    risk, other_risk = table["risk"], other["risk"]
    change = np.zeros(len(risk))
    np.subtract(other_risk, risk, out=change, where=risk != other_risk)
    columns = {name: table[name] for name in ("id", "label")}
    if "text" in table.columns:
        columns["text"] = table["text"]
    columns |= {"risk": risk, "other_risk": other_risk, "change": change}
    columns |= {"rank": table["rank"], "other_rank": other["rank"]}
    return RiskComparison(columns)


def _check_labels(table, labels):
    different = differ(table["label"], labels)
    if different.any():
        row = int(different.argmax())
        raise InvalidInputError(
            f"{different.sum()} samples have different labels in the two tables: "
            f"{table['id'][row]!r} is {table['label'][row]!r} here and "
            f"{labels[row]!r} in the other. Compare scores of the same labels."
        )


_ADDED = ("psmi", "std", "risk", "rank", "most_likely_label")


def join_risk(table, frame, on, prefix):
    """Add the columns of a risk table to a frame."""
    try:
        frame = nw.from_native(frame, eager_only=True)
    except TypeError as error:
        raise InvalidInputError(
            "frame must be a pandas or polars frame or an Arrow table; got "
            f"{type(frame).__name__}."
        ) from error
    names = {name: prefix + name for name in _ADDED if name in table.columns}
    clash = [name for name in names.values() if name in frame.columns]
    if clash:
        raise InvalidInputError(
            f"The frame has columns {', '.join(clash)} already; give a prefix, such as "
            "prefix='smilearn_'."
        )
    rows = _rows_by_place(table, frame) if on is None else _rows_by_id(table, frame, on)
    backend = frame.implementation
    return frame.with_columns(
        nw.new_series(new, frame_column(table[name][rows]), backend=backend)
        for name, new in names.items()
    ).to_native()


def _rows_by_place(table, frame):
    if not table.is_whole:
        raise InvalidInputError(
            "The risk table is a view made by take or riskiest; its rows are matched "
            "by id: name the column of ids with on=."
        )
    if len(frame) != len(table):
        raise InvalidInputError(
            f"The frame has {len(frame)} rows where the table has {len(table)}; name "
            "the column of ids with on=."
        )
    return slice(None)


def _rows_by_id(table, frame, on):
    if on not in frame.columns:
        raise InvalidInputError(
            f"The frame has no column {on!r}; columns are: {', '.join(frame.columns)}."
        )
    unique_ids(table["id"], "the risk table")
    wanted = frame[on].to_numpy()
    return places_of(wanted, table["id"], "the frame", "the risk table")


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
