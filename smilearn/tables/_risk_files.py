"""Risk tables in files that say of themselves what they are.

The mark of a file is a line such as ``smilearn risk 1; whole; numbered 80; id int64;
label U4``: the version, whether the rows are a whole table, what ids they have in what
order, and the type of each column that may have several. It lets CSV and JSON Lines
give back the very types that were written, and tells rows that were sorted or cut.
"""

import datetime
import hashlib
import json

import numpy as np

from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.tables._columns import as_column, objects, support_of
from smilearn.tables._files import (
    MARK,
    column_of,
    file_kind,
    read_arrow,
    read_columns,
    write_columns,
)
from smilearn.utils._ranks import are_ranks

_VERSION = 1
_HEAD = "smilearn risk "
_NAMED = ("id", "label", "most_likely_label")  # their types differ from table to table
_TYPES = {
    "text": "str",
    "psmi": "float64",
    "std": "float64",
    "risk": "float64",
    "rank": "int64",
    "class_support": "int64",
}
_PLAIN = (str, int, float, bool, type(None))
_TRUTH = {"True": True, "False": False}


def write_risk(columns, path, *, is_whole):
    """Write the columns of a risk table; the suffix names the format."""
    kind = file_kind(path)
    types = _TYPES | {n: _type_of(columns[n], n) for n in _NAMED if n in columns}
    stored = {
        name: _encode(values, types[name], kind) for name, values in columns.items()
    }
    named = [f"{name} {types[name]}" for name in _NAMED if name in columns]
    extent = "whole" if is_whole else "view"
    parts = [f"{_HEAD}{_VERSION}", extent, order_mark(columns["id"]), *named]
    write_columns(stored, path, mark="; ".join(parts))


def read_risk(path):
    """Read the columns of a risk table."""
    kind = file_kind(path)
    stored, mark = _parquet(path) if kind == "parquet" else _lines(path)
    for name in ("psmi", "label"):
        column_of(stored, name, path)
    is_whole, types = parse_mark(mark, path)
    numbers = map(str, range(len(stored["psmi"])))
    if kind == "csv" and mark is None and stored.get("id") == list(numbers):
        types = {"id": "int64"}  # of an older smilearn: the rows, numbered
    known = [name for name in (*_NAMED, *_TYPES) if name in stored]
    columns = {}
    for name in known:
        dtype = types.get(name, _TYPES.get(name))
        try:
            columns[name] = _decode(stored[name], dtype, kind)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise FileFormatError(
                f"{path}: the column {name} does not hold {dtype}: {error}."
            ) from error
    if is_whole and "id" in columns:
        kind, _, value = order_mark(columns["id"]).partition(" ")
        is_whole = types.get(kind) == value  # else sorted or cut since
    return columns, is_whole


def order_mark(ids):
    """What a mark says of the ids: "numbered 80", or "order" and a hash of them."""
    if ids.dtype.kind in "iu" and np.array_equal(ids, np.arange(len(ids))):
        return f"numbered {len(ids)}"
    cells = "\0".join(map(str, ids.tolist())).encode("utf-8", "surrogatepass")
    return f"order {hashlib.blake2b(cells, digest_size=8).hexdigest()}"


def as_written(columns):
    """Give the columns of a whole table if nothing in them needs computing anew."""
    if not {"id", "label", *_TYPES} - {"text", "std"} <= columns.keys():
        return None
    psmi, label = columns["psmi"], columns["label"]
    unchanged = (
        are_ranks(columns["rank"], psmi)
        and np.array_equal(columns["risk"], 0.0 - psmi)
        and np.array_equal(columns["class_support"], support_of(label))
    )
    order = ("id", "label", *_TYPES, "most_likely_label")
    known = {name: columns[name] for name in order if name in columns}
    return known if unchanged else None


def _lines(path):
    columns = read_columns(path)
    marks = set(map(str, columns.get("schema", [])))
    if not any(mark.startswith(_HEAD) for mark in marks):
        return columns, None
    if len(marks) > 1:
        raise FileFormatError(
            f"{path}: its rows are of several tables, as their schema differs: "
            f"{', '.join(sorted(marks)[:2])}. Read each table from a file of its own."
        )
    return columns, marks.pop()


def _parquet(path):
    table = read_arrow(path)
    mark = (table.schema.metadata or {}).get(MARK)
    columns = dict(zip(table.column_names, table.columns, strict=True))
    return columns, None if mark is None else mark.decode()


def parse_mark(mark, path):
    """Read a mark."""
    if mark is None:
        return None, {}
    head, *parts = mark.split("; ")
    version = head.removeprefix(_HEAD)
    if version.isdecimal() and int(version) > _VERSION:
        raise FileFormatError(
            f"{path}: was written by a newer smilearn (risk tables of version "
            f"{version}; this one reads up to {_VERSION}). Upgrade smilearn to read it."
        )
    if version != str(_VERSION) or not parts or parts[0] not in ("whole", "view"):
        raise FileFormatError(f"{path}: its schema is not understood: {mark!r}.")
    types = dict(part.partition(" ")[::2] for part in parts[1:])
    return parts[0] == "whole", types


def _type_of(values, name):
    """How a file calls the type of a column."""
    if values.dtype.kind in "iubfM":
        return values.dtype.name
    if values.dtype.kind == "U":
        return values.dtype.str[1:]
    kinds = set(map(type, values)) if values.dtype.kind == "O" else {values.dtype}
    for type_name, own in _OBJECTS.items():
        if kinds == {own}:
            return type_name
    if kinds <= set(_PLAIN):
        return "json"
    other = ", ".join(sorted(getattr(k, "__name__", str(k)) for k in kinds))
    raise InvalidInputError(
        f"The column {name} holds {other}; files hold strings, numbers, dates and true "
        "or false. Turn it into strings first."
    )


_OBJECTS = {"str": str, "date": datetime.date, "datetime": datetime.datetime}


def _encode(values, dtype, kind):
    """A column as the format has it."""
    if dtype == "json" and kind != "jsonl":
        return list(map(json.dumps, values))
    if dtype in ("date", "datetime") and kind != "parquet":
        return [value.isoformat() for value in values]
    if kind == "jsonl" and values.dtype.kind == "f" and not np.isfinite(values).all():
        return [x if np.isfinite(x) else str(x) for x in values.tolist()]
    return values


def _decode(values, dtype, kind):
    """A column as it was before it was written."""
    if dtype == "json":
        cells = values.to_pylist() if kind == "parquet" else values
        return objects(cells if kind == "jsonl" else list(map(json.loads, cells)))
    if kind == "parquet":
        return _from_arrow(values, dtype)
    if dtype is None:
        return as_column(values, "column")
    if dtype in ("str", "date", "datetime"):
        if set(map(type, values)) - {str}:
            raise TypeError("some are no strings")
        restore = getattr(_OBJECTS[dtype], "fromisoformat", str)
        return objects(list(map(restore, values)))
    cells = list(map(str, values))
    if dtype.startswith("U"):
        return _strings(cells, dtype)
    dtype = np.dtype(dtype)
    convert = {"i": int, "u": int, "f": float, "b": _TRUTH.__getitem__, "M": str}
    return np.array(list(map(convert[dtype.kind], cells)), dtype=dtype)


def _strings(cells, dtype):
    """An array of strings, wider than it was where a cell was made longer."""
    column = np.array(cells, dtype=str)
    wanted = np.dtype(dtype)
    return column.astype(wanted) if column.itemsize <= wanted.itemsize else column


def _from_arrow(values, dtype):
    if values.null_count and not str(dtype).startswith("datetime64"):
        raise TypeError(f"{values.null_count} are missing")
    of_strings = dtype in ("str", "json") or str(dtype).startswith("U")
    if of_strings and "string" not in str(values.type):
        raise TypeError(f"it holds {values.type}")
    is_coded = "dictionary" in str(values.type)
    if dtype in ("date", "datetime"):
        return objects(values.to_pylist())
    if not str(dtype).startswith("U") and not is_coded:
        column = values.to_numpy()
        return column if dtype in (None, "str") else column.astype(dtype, copy=False)
    coded = values if is_coded else values.dictionary_encode()
    coded = coded.unify_dictionaries()
    names = coded.chunk(0).dictionary.to_pylist()
    is_str = str(dtype).startswith("U")
    names = _strings(names, dtype) if is_str else objects(names)
    return names.take(np.concatenate([c.indices.to_numpy() for c in coded.chunks]))
