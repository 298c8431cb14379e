"""Rows of two tables matched by their ids."""

import itertools

import numpy as np

from smilearn.exceptions import InvalidInputError


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
