"""Columns to files and back, for tests: dicts of lists, in any of the formats."""

import csv
import json
from pathlib import Path

import polars as pl

from smilearn.tables._io import file_kind, read_frame


def write_columns(columns, path):
    """Write columns as the standard library does."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = list(zip(*columns.values(), strict=True))
    if file_kind(path) == "parquet":
        pl.DataFrame(columns, strict=False).write_parquet(path)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        if file_kind(path) == "csv":
            quoting = csv.QUOTE_ALL if "\\r" in repr(rows) else csv.QUOTE_MINIMAL
            writer = csv.writer(file, lineterminator="\n", quoting=quoting)
            writer.writerows([columns, *rows])
            return
        for row in rows:
            line = json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False)
            file.write(f"{line}\n")


def read_columns(path):
    """Read columns."""
    return read_frame(path).to_dict(as_series=False)
