"""Options that several commands share, and checks that typer does not have."""

import math
import os
from pathlib import Path
from typing import Annotated

import typer

from smilearn.exceptions import InvalidInputError

InFile = Annotated[
    Path,
    typer.Argument(exists=True, dir_okay=False, help="CSV, JSON Lines or Parquet."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]


def that(test, wanted):
    """Make a callback of typer that refuses a number that is not as wanted."""

    def check(value: float | None):
        if value is not None and not test(value):
            raise typer.BadParameter(f"{value} is not {wanted}.")
        return value

    return check


is_finite = that(math.isfinite, "a finite number")
LearningRate = Annotated[
    float | None,
    typer.Option(
        callback=that(lambda rate: 0 < rate < math.inf, "a number above 0"),
        help="Largest learning rate of a fine-tune; 5e-5 if not given.",
    ),
]


def one_of(**options):
    """Refuse options that exclude each other."""
    given = [n for n, value in options.items() if not (value is None or value is False)]
    if len(given) > 1:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InvalidInputError(f"{names} exclude each other; give one of them.")


def tuning_of(max_epochs, learning_rate, usual, tunes):
    """Options of a fine-tune with their defaults; refused where there is none."""
    given = {"max_epochs": max_epochs, "learning_rate": learning_rate}
    if tunes:
        defaults = {"max_epochs": usual, "learning_rate": 5e-5}
        return defaults | {n: v for n, v in given.items() if v is not None}
    for name, value in given.items():
        if value is not None:
            raise InvalidInputError(
                f"--{name.replace('_', '-')} is of a fine-tune, and here nothing is "
                "trained so; leave it out."
            )
    return {}


def check_output(out, *inputs):
    """Refuse an output that cannot be written, or would overwrite another file."""
    from smilearn.tables._io import file_kind

    file_kind(out)
    for path in filter(None, inputs):
        same = out.exists() and path.exists() and out.samefile(path)
        if same or out.resolve() == path.resolve():
            raise InvalidInputError(
                f"{out} is the same file as {path}, which is read or written too; name "
                "another file."
            )
    check_folder(out.parent, out)


def check_folder(folder, out):
    """Refuse a folder that cannot be made, or written to."""
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise InvalidInputError(
            f"{out} cannot be written: {there} is not a folder to write to; name "
            "another place."
        )
