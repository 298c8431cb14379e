"""CSV, JSON Lines and Parquet, in and out, whole or not at all (floor 1).

A table is a dict of columns, each a list of plain Python values. CSV cells stay the
text they are: what is written back is what was read.
"""

import csv
import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from smilearn._optional import require
from smilearn.exceptions import FileFormatError, InvalidInputError

_SUFFIXES = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


def file_kind(path):
    """Format of a file by its suffix.

    Parameters
    ----------
    path : path-like
        File name.

    Returns
    -------
    kind : {"csv", "jsonl", "parquet"}
        The format.

    Raises
    ------
    FileFormatError
        If the suffix is none of ours.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise FileFormatError(
            f"{path}: files must end in {', '.join(_SUFFIXES)}; got {suffix!r}."
        )
    return _SUFFIXES[suffix]


def read_columns(path):
    """Read a table.

    Parameters
    ----------
    path : path-like
        A CSV (with a header, UTF-8), JSON Lines or Parquet file.

    Returns
    -------
    columns : dict of str to list
        The columns, all of one length.

    Raises
    ------
    FileFormatError
        If the file is missing, empty, or not what its suffix says.
    """
    kind, path = file_kind(path), Path(path)
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file.")
    try:
        columns = _READERS[kind](path)
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}: not UTF-8 text ({error.reason}).") from error
    if not columns or not next(iter(columns.values())):
        raise FileFormatError(f"{path}: holds no rows.")
    return columns


def write_columns(columns, path):
    """Write a table; the file appears whole or not at all.

    Parameters
    ----------
    columns : dict of str to sequence
        The columns, all of one length.

    path : path-like
        Where to; the suffix names the format. Folders are made.
    """
    kind = file_kind(path)
    if kind == "parquet":
        require("pyarrow", extra="frames", caller=f"Writing {path}")
    plain = {name: _plain(values) for name, values in columns.items()}
    with replacing(path) as temporary:
        try:
            _WRITERS[kind](plain, temporary)
        except (ValueError, TypeError) as error:
            raise InvalidInputError(f"{path}: cannot be written: {error}") from error


@contextmanager
def replacing(path):
    """Give a temporary name beside a file, and rename it over the file on success.

    Parameters
    ----------
    path : path-like
        The file to be.

    Yields
    ------
    temporary : Path
        Where to write.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp gives 0600; a new file gets this
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def take_rows(columns, indices):
    """Some rows of a table.

    Parameters
    ----------
    columns : dict of str to sequence
        The columns.

    indices : sequence of int
        Rows wanted, in order.

    Returns
    -------
    columns : dict of str to list
        The rows.
    """
    return {name: [values[i] for i in indices] for name, values in columns.items()}


def column_of(columns, name, path):
    """One column of a file that was read, or an error that names those there are.

    Parameters
    ----------
    columns : dict of str to list
        The table.

    name : str
        Column wanted.

    path : path-like
        Where the table came from; named in the error.

    Returns
    -------
    values : list
        The column.

    Raises
    ------
    InvalidInputError
        If there is no such column.
    """
    if name not in columns:
        raise InvalidInputError(
            f"{path}: no column {name!r}; columns are: {', '.join(columns)}."
        )
    return columns[name]


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _plain(values):
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _read_csv(path):
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


def _read_jsonl(path):
    rows = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise FileFormatError(
                    f"{path}, line {number}: not JSON: {error}."
                ) from error
            if not isinstance(row, dict):
                raise FileFormatError(f"{path}, line {number}: not a JSON object.")
            rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _read_parquet(path):
    parquet = require("pyarrow.parquet", extra="frames", caller=f"Reading {path}")
    try:
        return parquet.read_table(path).to_pydict()
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{path}: cannot be read as Parquet: {error}") from error


def _write_csv(columns, path):
    with path.open("w", encoding="utf-8", newline="") as file:
        plain = csv.writer(file, lineterminator="\n")
        quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for row in (columns, *zip(*columns.values(), strict=True)):
            # the plain writer leaves a lone carriage return bare: a line end to readers
            bare = any("\r" in cell for cell in row if isinstance(cell, str))
            (quoted if bare else plain).writerow(row)


def _write_jsonl(columns, path):
    with path.open("w", encoding="utf-8") as file:
        for values in zip(*columns.values(), strict=True):
            row = dict(zip(columns, values, strict=True))
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def _write_parquet(columns, path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(columns), path)


_READERS = {"csv": _read_csv, "jsonl": _read_jsonl, "parquet": _read_parquet}
_WRITERS = {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}
