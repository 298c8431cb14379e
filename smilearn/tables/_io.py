"""CSV, JSON Lines and Parquet, in and out, whole or not at all.

A table is a dict of columns, each a list of plain Python values. CSV cells stay the
text they are: what is written back is what was read.
"""

import csv
import datetime
import hashlib
import itertools
import json
import operator
from pathlib import Path

import numpy as np

from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.tables._columns import arrow_columns, as_column, objects, support_of
from smilearn.utils._files import replacing
from smilearn.utils._optional import require
from smilearn.utils._ranks import are_ranks


def read_csv(path):
    """Read a CSV file; cells stay the text they are."""
    csv.field_size_limit(2**31 - 1)  # texts may be long
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = next(filter(None, reader), [])
            if len(set(header)) < len(header):
                raise FileFormatError(f"{path}: two columns share a name: {header}.")
            rows = []
            for row in filter(None, reader):
                if len(row) != len(header):
                    raise FileFormatError(
                        f"{path}, line {reader.line_num}: {len(row)} fields where the "
                        f"header has {len(header)}."
                    )
                rows.append(row)
        except csv.Error as error:
            raise FileFormatError(
                f"{path}, line {reader.line_num}: not CSV: {error}."
            ) from error
    columns = zip(*rows, strict=True) if rows else ([] for _ in header)
    return dict(zip(header, map(list, columns), strict=True))


def write_csv(columns, path):
    """Write columns as CSV that gives back every string, with all its line ends."""
    with path.open("w", encoding="utf-8", newline="") as file:
        plain = csv.writer(file, lineterminator="\n")
        quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        rows = zip(*columns.values(), strict=True)
        if not any(map(_has_return, [columns, *columns.values()])):
            plain.writerow(columns)
            plain.writerows(rows)
            return
        for row in (columns, *rows):
            # the plain writer leaves a lone carriage return bare: a line end to readers
            (quoted if _has_return(row) else plain).writerow(row)


def _has_return(cells):
    if set(map(type, cells)) != {str}:
        cells = [cell for cell in cells if isinstance(cell, str)]
    return any(map(operator.contains, cells, itertools.repeat("\r")))


def read_jsonl(path):
    """Read a JSON Lines file; rows may leave names out."""
    rows = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            rows.append(json_object(line, path, number))
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def json_object(line, path, number):
    """Read a line of JSON Lines."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path}, line {number}: not JSON: {error}.") from error
    if not isinstance(row, dict):
        raise FileFormatError(f"{path}, line {number}: not a JSON object.")
    return row


def write_jsonl(columns, path):
    """Write columns as JSON Lines; dates as in ISO 8601."""
    encode = json.JSONEncoder(
        ensure_ascii=False, allow_nan=False, default=_as_json
    ).encode
    with path.open("w", encoding="utf-8") as file:
        for values in zip(*columns.values(), strict=True):
            row = dict(zip(columns, values, strict=True))
            file.write(encode(row) + "\n")


def _as_json(value):
    if isinstance(value, datetime.date):
        return value.isoformat()
    raise TypeError(f"JSON has no place for {type(value).__name__}")


MARK = b"smilearn"  # key in the metadata of a Parquet schema

# Columns of a risk table with few values; and settings with which a million rows are
# read in half the time that the defaults of pyarrow take, written in as much.
REPEATED = ("label", "most_likely_label", "class_support")
_QUICK: dict = {"compression": "lz4", "row_group_size": 2**17}

_SUFFIXES = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


def file_kind(path):
    """Format of a file by its suffix."""
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise FileFormatError(
            f"{path}: files must end in {', '.join(_SUFFIXES)}; got {suffix!r}."
        )
    return _SUFFIXES[suffix]


def read_columns(path):
    """Read a table."""
    kind, path = file_kind(path), _existing(path)
    try:
        columns = _READERS[kind](path)
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}: not UTF-8 text ({error.reason}).") from error
    if not columns or not next(iter(columns.values())):
        raise FileFormatError(f"{path}: holds no rows.")
    return columns


def read_arrow(path):
    """Read a Parquet file as an Arrow table, with what it says of itself."""
    table = _arrow_table(_existing(path), read_dictionary=REPEATED)
    if not len(table):
        raise FileFormatError(f"{path}: holds no rows.")
    return table


def write_columns(columns, path, *, mark=None):
    """Write a table; the file appears whole or not at all."""
    kind = file_kind(path)
    if kind == "parquet":
        require("pyarrow", extra="frames", caller=f"Writing {path}")
    with replacing(path) as temporary:
        try:
            if kind == "parquet":
                _write_parquet(columns, temporary, mark)
            else:
                _WRITERS[kind](_marked(columns, mark), temporary)
        except (ValueError, TypeError) as error:
            raise InvalidInputError(f"{path}: cannot be written: {error}") from error


def take_rows(columns, indices):
    """Some rows of a table."""
    return {name: [values[i] for i in indices] for name, values in columns.items()}


def column_of(columns, name, path):
    """One column of a file that was read, or an error that names those there are."""
    if name not in columns:
        raise InvalidInputError(
            f"{path}: no column {name!r}; columns are: {', '.join(columns)}."
        )
    return columns[name]


def _existing(path):
    path = Path(path)
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file.")
    return path


def _plain(values):
    if getattr(getattr(values, "dtype", None), "kind", "") == "M":
        return np.datetime_as_string(values).tolist()
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _read_parquet(path):
    return _arrow_table(path).to_pydict()


def _arrow_table(path, **options):
    parquet = require("pyarrow.parquet", extra="frames", caller=f"Reading {path}")
    try:
        return parquet.read_table(path, **options)
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{path}: cannot be read as Parquet: {error}") from error


def _marked(columns, mark):
    plain = {name: _plain(values) for name, values in columns.items()}
    if mark is not None:
        plain["schema"] = [mark] * len(next(iter(plain.values())))
    return plain


def _write_parquet(columns, path, mark):
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table(arrow_columns(columns))
    options = {}
    if mark is not None:
        table = table.replace_schema_metadata({MARK: mark})
        repeated = [name for name in table.column_names if name in REPEATED]
        options = _QUICK | {"use_dictionary": repeated}
    parquet.write_table(table, path, **options)


_READERS = {"csv": read_csv, "jsonl": read_jsonl, "parquet": _read_parquet}


_WRITERS = {"csv": write_csv, "jsonl": write_jsonl}


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
