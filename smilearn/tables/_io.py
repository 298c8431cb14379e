"""Tables in CSV, JSON Lines and Parquet files, written whole or not at all."""

import csv
import json
import re
from pathlib import Path

import polars as pl
from polars import selectors
from polars.exceptions import PanicException, PolarsError

from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.utils._files import replacing

_SUFFIXES = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_VERSION = 1  # of the schema; under the key smilearn in the metadata of Parquet files
_DIGITS = 6  # significant ones of a score, in CSV and JSON Lines
_NAMES = ("id", "label", "most_likely_label", "group")  # columns that hold no score


def file_kind(path):
    """Format of a file by its suffix."""
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise FileFormatError(
            f"{path}: files must end in {', '.join(_SUFFIXES)}; got {suffix!r}."
        )
    return _SUFFIXES[suffix]


def read_frame(path, types=None):
    """Read a polars frame; cells of CSV are text where `types` names no other dtype."""
    kind, path = file_kind(path), Path(path)
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file.")
    try:
        frame = _read_csv(path, types or {}) if kind == "csv" else _READERS[kind](path)
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}: not UTF-8 text ({error.reason}).") from error
    if frame.is_empty():
        raise FileFormatError(f"{path}: holds no rows.")
    return frame


def require_columns(names, columns, path):
    """Refuse a file without some columns."""
    for name in names:
        if name in columns:
            continue
        advice = ""
        if name == "risk" and "psmi" in columns:
            advice = (
                " Tables are ranked by risk (nats, high = at risk): write the table "
                "anew, or add a column 'risk', such as minus psmi."
            )
        raise FileFormatError(
            f"{path}: no column {name!r}; columns are: {', '.join(columns)}.{advice}"
        )


def write_frame(frame, path):
    """Write a polars frame; the file appears whole or not at all."""
    kind = file_kind(path)
    with replacing(path) as temporary, temporary.open("wb") as file:
        try:
            if kind == "parquet":
                frame.write_parquet(file, metadata={"smilearn": str(_VERSION)})
            elif kind == "csv":
                _rounded(frame).write_csv(file)
            else:
                _without_infinity(_rounded(frame)).write_ndjson(file)
        except (PolarsError, PanicException) as error:
            raise InvalidInputError(f"{path}: cannot be written: {error}") from error


def _rounded(frame):
    """Scores with few digits; ids and labels that are floats stay as they are."""
    scores = selectors.float() - selectors.by_name(*_NAMES, require_all=False)
    rounded = scores.round_sig_figs(_DIGITS)
    return frame.with_columns(
        pl.when(scores.is_finite()).then(rounded).otherwise(scores)
    )


def _without_infinity(frame):
    """Columns with infinite numbers as strings, as JSON has no infinity."""
    infinite = [
        name
        for name in frame.select(selectors.float()).columns
        if frame[name].is_infinite().any()
    ]
    return frame.with_columns(pl.col(infinite).cast(pl.String))


def _read_csv(path, types):
    csv.field_size_limit(2**31 - 1)  # texts may be long
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(filter(None, csv.reader(file)), [])
    if len(set(header)) < len(header):
        raise FileFormatError(f"{path}: two columns share a name: {header}.")
    types = {name: types[name] for name in header if name in types}
    try:
        with path.open("rb") as file:
            frame = pl.read_csv(file, infer_schema=False, schema_overrides=types)
    except PolarsError:
        return checked_csv(path)
    # polars ends short rows with null, as it reads cells that are empty
    if frame.columns != header or frame[header[-1]].null_count():
        return checked_csv(path)
    return frame.with_columns(pl.col(pl.String).fill_null(""))


def checked_csv(path):
    """Read CSV by the standard library, which names the line of a mistake."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = next(filter(None, reader), [])
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
    return pl.DataFrame(rows, dict.fromkeys(header, pl.String), orient="row")


def _read_jsonl(path):
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        frame = pl.read_ndjson(content, infer_schema_length=None)
    except (PolarsError, PanicException):
        return _checked_jsonl(path, content.decode())
    # polars makes strings of numbers that stand beside strings: 1 and "1" are one
    if any(
        _holds_others(content, name)
        for name in frame.select(selectors.string()).columns
    ):
        return _checked_jsonl(path, content.decode())
    return frame


def _holds_others(content, name):
    """Whether a column that was read as strings has other values in JSON Lines."""
    key = re.escape(json.dumps(name, ensure_ascii=False).encode())
    return re.search(key + rb'\s*:\s*(?!["\s]|null)', content) is not None


def _checked_jsonl(path, content):
    """Read JSON Lines by the standard library, which names the line of a mistake."""
    rows = []
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise FileFormatError(
                    f"{path}, line {number}: not JSON: {error}."
                ) from error
            if not isinstance(rows[-1], dict):
                raise FileFormatError(f"{path}, line {number}: not a JSON object.")
    names = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame([json_column(n, [row.get(n) for row in rows]) for n in names])


def json_column(name, values):
    """Values of JSON as a series; as objects where they are of several types."""
    kinds = set(map(type, values)) - {type(None)}
    if len(kinds) < 2 or kinds == {int, float}:
        try:
            return pl.Series(name, values, strict=len(kinds) < 2)
        except (PolarsError, TypeError, ValueError, OverflowError):
            pass  # lists of several types, large numbers, text that is not Unicode
    return pl.Series(name, values, dtype=pl.Object)


def _read_parquet(path):
    try:
        with path.open("rb") as file:
            version = pl.read_parquet_metadata(file).get("smilearn", "")
        if version.isdecimal() and int(version) > _VERSION:
            raise FileFormatError(
                f"{path}: was written by a newer smilearn (tables of version "
                f"{version}; this one reads up to {_VERSION}). Upgrade smilearn to "
                "read it."
            )
        with path.open("rb") as file:
            return pl.read_parquet(file)
    except (PolarsError, PanicException) as error:
        raise FileFormatError(f"{path}: cannot be read as Parquet: {error}") from error


_READERS = {"jsonl": _read_jsonl, "parquet": _read_parquet}
