"""Tables in CSV, JSON Lines and Parquet files, written whole or not at all."""

import csv
import json
import re
from io import BytesIO
from pathlib import Path

import polars as pl
from polars import selectors
from polars.exceptions import PanicException, PolarsError

from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.utils._files import file_kind, replacing

_VERSION = 1  # of the schema; under the key smilearn in the metadata of Parquet files
_DEEPEST = 32  # lists and objects in each other, of JSON
_DIGITS = 6  # significant ones of a score, in CSV and JSON Lines
_NAMES = ("id", "label", "most_likely_label", "group")  # columns that hold no score
_FORMULA = re.compile(r"^[=+\-@\t\r]")  # what a spreadsheet may run begins so


def read_frame(path, types=None, delimiter=","):
    """Read a polars frame; cells of CSV are text where `types` names no other dtype."""
    kind, path = file_kind(path), Path(path)
    if not path.is_file():
        raise FileFormatError(f"{path}: no such file.")
    try:
        if kind == "csv":
            frame = _read_csv(path, types or {}, delimiter)
        else:
            frame = _READERS[kind](path)
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    if frame.is_empty():
        raise FileFormatError(f"{path}: holds no rows.")
    return frame


def not_utf8(path):
    """Make the error of a file that is not UTF-8, with the line where it is not."""
    with Path(path).open("rb") as lines:
        wrong = (n for n, line in enumerate(lines, 1) if not _is_utf8(line))
        return FileFormatError(
            f"{path}, line {next(wrong, 1)}: not UTF-8 text. Convert the file from the "
            "encoding it has, such as by iconv -f LATIN1 -t UTF-8."
        )


def _is_utf8(line):
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def require_columns(names, columns, path):
    """Refuse a file without some columns."""
    for name in names:
        if name in columns:
            continue
        columns = list(columns)
        near = [c for c in columns if c.strip().lower() == name.strip().lower()]
        advice = f" Did you mean {near[0]!r}?" if near else _other_delimiter(columns)
        if name == "risk" and "psmi" in columns:
            advice = (
                " Tables are ranked by risk (nats, high = at risk): write the table "
                "anew, or add a column 'risk', such as minus psmi."
            )
        if name == "probability":
            advice = " Without it, say how many go: --share, --threshold or --n-remove."
        raise FileFormatError(
            f"{path}: no column {name!r}; columns are: {', '.join(columns)}.{advice}"
        )


def _other_delimiter(header):
    """Advice where the only column of a header looks like several."""
    for delimiter in ";\t|":
        if len(header) == 1 and delimiter in header[0]:
            return (
                f" Are its cells separated by {delimiter!r}? score, filter and audit "
                f"read that with --delimiter {delimiter!r}."
            )
    return ""


def write_frame(frame, path, *, exact=(), safe=False):
    """Write a polars frame; the file appears whole or not at all."""
    # exact: names of columns whose numbers keep all digits; safe: for spreadsheets
    kind = file_kind(path)
    with replacing(path) as temporary, temporary.open("wb") as file:
        try:
            if kind == "parquet":
                frame.write_parquet(file, metadata={"smilearn": str(_VERSION)})
            elif kind == "csv":
                frame = _rounded(frame, exact)
                (safe_cells(frame) if safe else frame).write_csv(file)
            else:
                _without_infinity(_rounded(frame, exact)).write_ndjson(file)
        except (PolarsError, PanicException) as error:
            raise InvalidInputError(f"{path}: cannot be written: {error}") from error


def safe_cells(frame):
    """Texts and names that a spreadsheet may run behind an apostrophe; no numbers."""
    text = selectors.string()
    is_number = text.cast(pl.Float64, strict=False).is_not_null()
    acts = text.str.contains(_FORMULA.pattern) & ~is_number
    frame = frame.with_columns(
        pl.when(acts).then(text.str.replace("^", "'")).otherwise(text)
    )
    names = frame.collect_schema().names()
    return frame.rename({n: f"'{n}" for n in names if _FORMULA.match(n)})


def _rounded(frame, exact):
    """Scores with few digits; ids and labels that are floats stay as they are."""
    scores = selectors.float() - selectors.by_name(*_NAMES, *exact, require_all=False)
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


def _read_csv(path, types, delimiter):
    csv.field_size_limit(2**31 - 1)  # texts may be long
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(filter(None, csv.reader(file, delimiter=delimiter)), [])
    if len(set(header)) < len(header):
        raise FileFormatError(f"{path}: two columns share a name: {header}.")
    types = {name: types[name] for name in header if name in types}
    try:
        with path.open("rb") as file:
            frame = pl.read_csv(
                file, infer_schema=False, schema_overrides=types, separator=delimiter
            )
    except PolarsError:
        return checked_csv(path, delimiter)
    # polars ends short rows with null, as it reads cells that are empty
    if frame.columns != header or frame[header[-1]].null_count():
        return checked_csv(path, delimiter)
    return frame.with_columns(pl.col(pl.String).fill_null(""))


def checked_csv(path, delimiter):
    """Read CSV by the standard library, which names the line of a mistake."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = next(filter(None, reader), [])
            rows = []
            for row in filter(None, reader):
                if len(row) != len(header):
                    raise FileFormatError(
                        f"{path}, line {reader.line_num}: {len(row)} fields where the "
                        f"header has {len(header)}.{_other_delimiter(header)}"
                    )
                rows.append(row)
        except csv.Error as error:
            raise FileFormatError(
                f"{path}, line {reader.line_num}: not CSV: {error}."
            ) from error
    return pl.DataFrame(rows, dict.fromkeys(header, pl.String), orient="row")


def _read_jsonl(path):
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    # polars takes minutes over lists in lists that are deeper
    if any(sum(map(line.count, (b"[", b"{"))) > _DEEPEST for line in BytesIO(content)):
        return _checked_jsonl(path, content.decode())
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
    if (len(kinds) < 2 or kinds == {int, float}) and not _is_deep(values):
        try:
            return pl.Series(name, values, strict=len(kinds) < 2)
        except (PolarsError, TypeError, ValueError, OverflowError):
            pass  # lists of several types, large numbers, text that is not Unicode
    return pl.Series(name, values, dtype=pl.Object)


def _is_deep(values):
    """Whether lists and objects stand in each other deeper than polars can bear."""
    for _ in range(_DEEPEST):
        nested = [v for v in values if isinstance(v, (list, dict))]
        if not nested:
            return False
        values = [i for v in nested for i in (v.values() if type(v) is dict else v)]
    return True


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
