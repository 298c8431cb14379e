"""Checks of columns that score and filter share."""

import polars as pl

from smilearn.exceptions import InvalidInputError


def refuse_empty(values, path):
    """Refuse cells without a value."""
    empty = values.is_null()
    if values.dtype == pl.String:
        empty |= values == ""
    if values.dtype.is_float():
        empty |= values.is_nan()
    if empty.any():
        rows = empty.arg_true().to_list()
        shown = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        raise InvalidInputError(
            f"{path}: column {values.name!r} is empty in {len(rows)} of {len(values)} "
            f"rows (counted from 0: {shown}). Fill them in or drop them."
        )


def refuse_doubles(ids, path):
    """Refuse ids that name two rows."""
    doubles = ids.filter(ids.is_duplicated())
    if len(doubles):
        first, second = (ids == doubles[0]).arg_true()[:2]
        raise InvalidInputError(
            f"{path}: column {ids.name!r} has {doubles[0]!r} in row {first} and in "
            f"row {second} (counted from 0); ids must be unique."
        )


def whole_numbers(values):
    """Floats that are all whole as integers; any other column as it is."""
    if not values.dtype.is_float():
        return values
    whole = ((values.abs() < 2**63) & (values == values.round())).all()
    return values.cast(pl.Int64) if whole else values


def as_ids(values, path):
    """Ids in one form for every format: whole numbers, booleans, or else text."""
    if is_odd(values):
        raise InvalidInputError(
            f"{path}: ids must be strings, numbers or dates; column {values.name!r} "
            f"holds {type_of(values)}."
        )
    values = whole_numbers(values)
    return values.cast(pl.String) if values.dtype.is_temporal() else values


def is_odd(values):
    """Whether a column holds what is neither text, number, date nor boolean."""
    return values.dtype.is_nested() or values.dtype in (
        pl.Object,
        pl.Binary,
        pl.Duration,
    )


def type_of(values):
    """Type of a column, in words where polars has none."""
    return "several types" if values.dtype == pl.Object else values.dtype
