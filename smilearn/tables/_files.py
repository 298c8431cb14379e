"""CSV, JSON Lines and Parquet, in and out, whole or not at all.

A table is a dict of columns, each a list of plain Python values. CSV cells stay the
text they are: what is written back is what was read.
"""

from pathlib import Path

import numpy as np

from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.tables._columns import arrow_columns
from smilearn.tables._line_files import read_csv, read_jsonl, write_csv, write_jsonl
from smilearn.utils._files import replacing
from smilearn.utils._optional import require

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
