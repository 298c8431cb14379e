"""Tables on their way out of a command: to files, to a pipe, as JSON."""

import shutil
import sys
import tempfile
from pathlib import Path

from smilearn.tables._files import file_kind
from smilearn.utils._escapes import escaped


def write_table(table, path):
    """Write a table in the format that the suffix names."""
    getattr(table, f"to_{file_kind(path)}")(path)


def write_to_stdout(table, kind):
    """Write a table to standard output, as it would stand in a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"table.{kind}"
        write_table(table, path)
        if sys.stdout.isatty():
            with path.open(encoding="utf-8") as file:
                for line in file:
                    sys.stdout.write(escaped(line, as_json=kind == "jsonl"))
            return
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def records(table):
    """Give the rows as JSON has them."""
    columns = [map(_plain, values.tolist()) for values in table.columns.values()]
    return [
        dict(zip(table.columns, row, strict=True)) for row in zip(*columns, strict=True)
    ]


def _plain(value):
    return value if isinstance(value, (str, int, float, type(None))) else str(value)
