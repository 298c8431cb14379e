"""Columns as people have them, made polars series that lose and merge nothing."""

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from smilearn.exceptions import InvalidInputError
from smilearn.utils._labels import check_labels
from smilearn.utils._validation import (
    check_texts,
    is_missing,
    read_column,
    refuse_tables,
)

_UNITS = ("D", "ms", "us", "ns")  # of dates, that polars has
_REFUSED = (pl.Decimal, pl.List, pl.Array, pl.Struct)


def as_series(values, name, *, may_miss=False):
    """Make a series of one type; `name` names it in errors."""
    refuse_tables(values, f"{str(name).removesuffix('s')}s")
    if isinstance(values, (str, bytes)) or not np.iterable(values):
        raise InvalidInputError(f"{name} must be a sequence; got {values!r}.")
    values = _with_type(read_column(values), name)
    if getattr(values, "dtype", None) == pl.Object:
        raise _wrong_type(name, "several types")
    try:
        series = pl.Series(name, values)
        if series.dtype == pl.Object:  # of one type, such as UUIDs
            series = pl.Series(name, [v if v is None else str(v) for v in values])
        if series.dtype == pl.Int128:
            series = series.cast(pl.UInt64)
    except (TypeError, ValueError, OverflowError, PolarsError) as error:
        raise _wrong_type(name, str(error).partition("\n")[0]) from error
    if isinstance(series.dtype, (pl.Categorical, pl.Enum, pl.Null)):
        series = series.cast(pl.String)
    if isinstance(series.dtype, _REFUSED):
        raise _wrong_type(name, str(series.dtype))
    if series.null_count() and not may_miss:
        raise InvalidInputError(
            f"{name} must be given for each row; {series.null_count()} are missing, "
            f"the first in row {series.is_null().arg_max()} (counted from 0)."
        )
    return series


def _with_type(values, name):
    """An array, Arrow or polars column as it is, anything else as a list of a type."""
    if isinstance(values, pl.Series) or hasattr(values, "to_pylist"):
        return values
    if isinstance(getattr(values, "dtype", None), np.dtype):
        values = np.array(values)  # a copy, which the series may keep
        if values.ndim != 1:
            raise InvalidInputError(
                f"{name} must be one column; got shape {values.shape}."
            )
        if values.dtype.kind == "M" and np.datetime_data(values.dtype)[0] not in _UNITS:
            values = values.astype("datetime64[ms]")
        if values.dtype.kind != "O":
            return values
    values = values if type(values) is list else list(values)
    kinds = set(map(type, values))
    if len(kinds) > 1 or any(issubclass(kind, np.generic) for kind in kinds):
        values = [v.item() if isinstance(v, np.generic) else v for v in values]
        values = [None if is_missing(v) else v for v in values]
        kinds = set(map(type, values)) - {type(None)}
    if len(kinds) > 1:
        names = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise _wrong_type(name, names)
    return list(map(str, values)) if kinds == {tuple} else values  # of a MultiIndex


def _wrong_type(name, got):
    return InvalidInputError(
        f"{name} must hold values of one type: strings, dates, true or false, or "
        f"numbers of 64 bits; got {got}. Turn them into strings first."
    )


def as_labels(values, name="label"):
    """Make a series of labels, none of them missing."""
    if isinstance(values, pl.Series) and not values.dtype.is_float():
        return as_series(values, name)
    if type(values) is list and set(map(type, values)) in ({str}, {int}):
        return as_series(values, name)
    checked = check_labels(values)  # of NumPy, which rounds large ints with gaps
    is_exact = hasattr(values, "to_pylist") or hasattr(values, "to_list")
    is_exact = is_exact or isinstance(values, (list, tuple))
    return as_series(values if is_exact else checked, name)


def as_numbers(values, name):
    """Make a series of floats, none of them NaN."""
    wanted = f"{name} must be one column of numbers"
    try:
        if not isinstance(values, pl.Series):
            values = np.array(values, dtype=np.float64)
        if len(values.shape) != 1:
            raise InvalidInputError(f"{wanted}; got shape {values.shape}.")
        values = pl.Series(name, values)
        series = values.cast(pl.Float64, strict=False).fill_nan(None)
    except (ValueError, TypeError, PolarsError) as error:
        raise InvalidInputError(f"{wanted}: {error}.") from error
    if series.null_count():
        got = values[series.is_null().arg_max()]
        got = repr(got) if isinstance(got, str) else "NaN"
        raise InvalidInputError(f"{wanted}; got {got}.")
    return series


def as_texts(values, name="text"):
    """Make a series of texts, none of them missing."""
    if isinstance(values, pl.Series) and values.dtype == pl.String:
        return as_series(values, name)
    return pl.Series(name, check_texts(values), dtype=pl.String)


def whole_numbers(series):
    """Strings as int64 where all are written as whole numbers are, else as they are."""
    for part in (series.head(1), series):  # a quick no where the first one is none
        numbers = part.cast(pl.Int64, strict=False)
        if numbers.null_count() or (numbers.cast(pl.String) != part).any():
            return series
    return numbers
