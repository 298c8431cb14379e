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
    """Numbers that are all whole as integers of 64 bits; other columns as they are."""
    if values.dtype == pl.Int128:
        narrow = values.cast(pl.UInt64, strict=False)
        return values if narrow.null_count() > values.null_count() else narrow
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
    kept = values.dtype.is_float() or is_label(values)
    return values if kept else values.cast(pl.String)


def is_label(values):
    """Whether a column holds text, whole numbers of 64 bits or booleans."""
    is_whole = values.dtype.is_integer() and values.dtype != pl.Int128
    return is_whole or values.dtype in (
        pl.String,
        pl.Boolean,
        pl.Categorical,
        pl.Enum,
    )


def is_odd(values):
    """Whether a column holds what is neither text, number, date nor boolean."""
    return values.dtype.is_nested() or values.dtype in (
        pl.Object,
        pl.Binary,
        pl.Duration,
    )


def type_of(values):
    """Type of a column, in words where polars has none."""
    if values.dtype == pl.Object:
        return "several types, or what is too large, too deep or no Unicode"
    # a list of lists of lists may be too deep to be written out
    return values.dtype.base_type() if values.dtype.is_nested() else values.dtype
