"""Rows matched by id, and the risk joined to frames."""

import narwhals as nw
import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from smilearn.exceptions import InvalidInputError
from smilearn.tables._columns import as_series

_ADDED = ("risk", "probability", "psmi", "std", "rank", "most_likely_label")


def rows_of(wanted, ids, where, whose):
    """Row of each wanted id, and an error unless all ids are found and unique."""
    check_unique(ids, whose)
    wanted, ids = _as_dates(wanted, ids), _as_dates(ids, wanted)
    known = pl.DataFrame({"id": ids}).with_row_index("row")
    wanted_ids = pl.DataFrame({"id": _in_type_of(ids, wanted)})
    rows = wanted_ids.join(known, "id", "left", maintain_order="left")["row"]
    if rows.null_count():
        first = wanted[rows.is_null().arg_max()]
        raise InvalidInputError(
            f"{rows.null_count()} of {len(rows)} rows of {where} have no row in "
            f"{whose}; the first is {_shown(first)}. {whose.capitalize()} has "
            f"{len(ids)} ids{f', such as {_shown(ids[0])}' if len(ids) else ''}."
        )
    return rows.to_numpy().astype(np.intp)


def check_unique(ids, whose):
    """Check that no id stands for two rows."""
    if ids.n_unique() < len(ids):
        twice = ids.filter(ids.is_duplicated())[0]
        raise InvalidInputError(
            f"The ids of {whose} must be unique to be matched; {twice!r} occurs more "
            "than once."
        )


def _as_dates(ids, others):
    """Strings of a plain file as moments, where the other ids are dates."""
    if ids.dtype != pl.String or not others.dtype.is_temporal():
        return ids
    try:
        return pl.Series(ids.to_numpy().astype("datetime64[us]"))
    except ValueError:
        return ids


def _in_type_of(ids, wanted):
    """Wanted ids in the type of the ids; null where that would change them."""
    own, other = ids.dtype, wanted.dtype
    if own == other:
        return wanted
    comparable = own.is_numeric() and other.is_numeric()
    try:
        if comparable or (own.is_temporal() and other.is_temporal()):
            same = wanted.cast(own, strict=False)
            kept = same.cast(other, strict=False) == wanted
            return pl.select(pl.when(kept).then(same)).to_series()
    except PolarsError:  # such as a date with a time zone and one without
        pass
    return pl.Series([None] * len(wanted), dtype=own)


def _shown(value):
    """An id as it is written, with its type: '7' is not 7."""
    return f"{value!r} ({type(value).__name__})"


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
    added = table.frame.select(pl.col(old).alias(new) for old, new in names.items())
    rows = _rows_by_place(table, frame) if on is None else _rows_by_id(table, frame, on)
    added = added if rows is None else added[rows]
    return frame.with_columns(
        nw.new_series(
            column.name,
            column.to_numpy() if column.dtype.is_numeric() else column.to_list(),
            backend=frame.implementation,
        )
        for column in added
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


def _rows_by_id(table, frame, on):
    if on not in frame.columns:
        raise InvalidInputError(
            f"The frame has no column {on!r}; columns are: {', '.join(frame.columns)}."
        )
    wanted = as_series(frame[on].to_native(), on, may_miss=True)
    return rows_of(wanted, table.frame["id"], "the frame", "the risk table")
