"""Columns as arrays: from what people have, in groups, to Arrow."""

import itertools
import operator

import numpy as np

from smilearn.exceptions import InvalidInputError
from smilearn.utils._validation import refuse_tables

_ARROW_UNITS = ("D", "s", "ms", "us", "ns")
_FRAME_UNITS = ("D", "ms", "us", "ns")  # those that pandas and polars share
_FEW = 16  # distinct strings up to which comparing is faster than a dict


def as_column(values, name):
    """Turn a column as people have it into an array that loses nothing."""
    refuse_tables(values, f"{name.removesuffix('s')}s")
    if hasattr(values, "to_pylist"):
        values = values.to_pylist()
    if isinstance(values, (str, bytes)) or not np.iterable(values):
        raise InvalidInputError(f"{name} must be a sequence; got {values!r}.")
    if not hasattr(values, "__array__"):
        return _from_list(list(values))
    column = np.array(values)
    if column.dtype.kind == "f" and "int" in str(getattr(values, "dtype", "")).lower():
        column = _from_list(values.to_list())  # gaps make floats, which merge some
    if column.ndim != 1:
        raise InvalidInputError(f"{name} must be one column; got shape {column.shape}.")
    return column


def _from_list(values):
    kinds = set(map(type, values))
    if len(kinds) == 1 and issubclass(*kinds, (int, float, np.generic)):
        column = np.asarray(values)
        exact = column.dtype.kind in "iub" or not issubclass(*kinds, int)
        if column.ndim == 1 and exact:
            return column
    return objects(values) if values else np.asarray(values)


def numbers(values, name):
    """Turn a column of numbers into an array of its own."""
    try:
        column = np.array(values, dtype=np.float64)
    except (ValueError, TypeError) as error:
        said = f"{name} must be one column of numbers: {error}."
        raise InvalidInputError(said) from error
    if column.ndim != 1 or np.isnan(column).any():
        got = f"shape {column.shape}" if column.ndim != 1 else "NaN"
        raise InvalidInputError(f"{name} must be one column of numbers; got {got}.")
    return column


def objects(values):
    """Put things in an array as they are."""
    return np.fromiter(values, object, len(values))


def coded(values):
    """Find the distinct values of a column and number them, without sorting strings."""
    if values.dtype.kind in "iubfM":
        distinct, codes = np.unique(values, return_inverse=True)
        return list(distinct), codes
    found = _few(values) if values.dtype.kind == "U" else None
    if found is not None:
        return found
    values = values.tolist()
    try:
        places = dict(zip(dict.fromkeys(values), itertools.count()))
    except TypeError as error:
        raise InvalidInputError(
            f"groups must be strings, numbers or dates: {error}."
        ) from error
    codes = np.fromiter(map(places.__getitem__, values), np.intp, len(values))
    return list(places), codes


def _few(values):
    """Distinct strings and codes, a comparison of all rows each; None if many."""
    distinct, codes = [], np.full(len(values), -1)
    while len(values) and (codes[row := int(codes.argmin())]) < 0:
        if len(distinct) == _FEW:
            return None
        codes[values == values[row]] = len(distinct)
        distinct.append(str(values[row]))
    return distinct, codes


def support_of(values):
    """Count the rows that share a value with each row."""
    _, codes = coded(values)
    return np.bincount(codes).astype(np.int64)[codes] if len(values) else codes


def arrow_columns(columns):
    """Turn columns into Arrow arrays, from arrays and not from lists."""
    import pyarrow

    arrays = {}
    for name, values in columns.items():
        if _unit(values) not in _ARROW_UNITS:
            values = values.astype("datetime64[s]")
        try:
            few = _few(values) if getattr(_dtype(values), "kind", "") == "U" else None
            arrays[name] = pyarrow.array(values if few is None else few[0])
            if few is not None:
                arrays[name] = arrays[name].take(pyarrow.array(few[1]))
        except (ValueError, TypeError, OverflowError) as error:
            raise InvalidInputError(
                f"The column {name} cannot be an Arrow column: {error}. Give it values "
                "of one type, such as strings."
            ) from error
    return arrays


def _unit(values):
    """Unit of an array of times; "s" for anything else, which needs no other."""
    is_time = getattr(_dtype(values), "kind", "") == "M"
    return np.datetime_data(values.dtype)[0] if is_time else "s"


def _dtype(values):
    return getattr(values, "dtype", None)


def frame_column(values):
    """Give a column to pandas or polars in the form that both understand."""
    if values.dtype.kind == "M" and _unit(values) not in _FRAME_UNITS:
        return values.astype("datetime64[ms]")
    return values if values.dtype.kind in "iubfM" else values.tolist()


def all_true(test, values, *others):
    """Ask something of each value, without a loop in Python."""
    return np.fromiter(map(test, values, *others), bool, len(values))


def differ(values, others):
    """Tell where two columns hold different values."""
    return all_true(operator.ne, values.tolist(), others.tolist())
