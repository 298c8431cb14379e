"""CSV and JSON Lines, read and written as they are."""

import csv
import datetime
import itertools
import json
import operator

from smilearn.exceptions import FileFormatError


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
