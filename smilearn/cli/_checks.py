"""Options and outputs of commands, checked before anything is read."""

import math
import os
from pathlib import Path

from smilearn.exceptions import InvalidInputError
from smilearn.tables._files import file_kind
from smilearn.utils._optional import require


def check_number(option, value, *, least=None, above=None, below=None):
    """Check a number of the command line."""
    if value is None:
        return
    wrong = (
        not math.isfinite(value)
        or (least is not None and value < least)
        or (above is not None and value <= above)
        or (below is not None and value >= below)
    )
    if wrong:
        wanted = {
            (True, False, False): f"{least} or more",
            (False, True, False): f"a number above {above}",
            (True, False, True): f"a number from {least} to below {below}",
        }
        given = (least is not None, above is not None, below is not None)
        stated = wanted.get(given, "a finite number")
        raise InvalidInputError(f"{option} must be {stated}; got {value}.")


def one_of(options):
    """Refuse options that exclude each other."""
    given = [n for n, value in options.items() if not (value is None or value is False)]
    if len(given) > 1:
        raise InvalidInputError(
            f"{' and '.join(given)} exclude each other; give one of them."
        )


def check_output(out, *inputs):
    """Refuse an output that could not be written, or would overwrite another file."""
    if file_kind(out) == "parquet":
        require("pyarrow", extra="frames", caller=f"Writing {out}")
    if out.is_dir():
        raise InvalidInputError(f"{out} is a folder; name a file.")
    for path in filter(None, inputs):
        same = out.exists() and Path(path).exists() and out.samefile(path)
        if same or out.resolve() == Path(path).resolve():
            raise InvalidInputError(
                f"{out} is the same file as {path}, which is read or written too; name "
                "another file."
            )
    check_folder(out.parent, out)


def check_folder(folder, out):
    """Refuse a folder that could not be made, or written to."""
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not there.is_dir():
        raise InvalidInputError(
            f"{out} cannot be written: {there} is not a folder; name another place."
        )
    if not os.access(there, os.W_OK):
        raise InvalidInputError(
            f"{out} cannot be written: no permission to write to {there}."
        )
