"""Risk put beside the rows of a frame."""

import narwhals as nw

from smilearn.exceptions import InvalidInputError
from smilearn.tables._columns import frame_column
from smilearn.tables._matching import places_of, unique_ids

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
