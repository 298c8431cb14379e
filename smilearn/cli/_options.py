"""Options that several commands share, and checks that typer does not have."""

import math
import os
from pathlib import Path
from typing import Annotated

import typer

from smilearn.exceptions import InvalidInputError

REPORTS = (".html", ".md", ".json")


def is_table(path: Path | None):
    """Refuse a file of another format, before anything heavy is imported."""
    from smilearn.utils._files import file_kind

    if path is not None and str(path) != "-":
        file_kind(path)
    return path


def is_report(path: Path | None):
    """Refuse a report of another format, before anything heavy is imported."""
    if path is not None and path.suffix.lower() not in REPORTS:
        raise typer.BadParameter(
            f"{path}: reports must end in {', '.join(REPORTS)}; got {path.suffix!r}."
        )
    return path


def share_of(text):
    """A share as 0.05 or as 5%."""
    number, percent, rest = text.partition("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = math.nan
    if rest or not 0 <= share < 1:
        raise typer.BadParameter(
            f"{text} is not from 0 to below 1, or 0% to below 100%; give 0.05 or 5%."
        )
    return share


def delimiter_of(text):
    """A character between cells; tabs may be written as such."""
    delimiter = "\t" if text in ("\\t", "tab") else text
    if len(delimiter.encode("utf-8", "surrogateescape")) != 1 or delimiter in '"\r\n':
        raise typer.BadParameter(
            f"{text!r} is not one character, such as ';' or '\\t' for a tab."
        )
    return delimiter


def table_file(help_):
    """Option for a table that is read."""
    return typer.Option(exists=True, dir_okay=False, callback=is_table, help=help_)


InFile = Annotated[
    Path,
    typer.Argument(
        exists=True,
        dir_okay=False,
        callback=is_table,
        help="CSV, JSON Lines or Parquet.",
    ),
]
Label = Annotated[str, typer.Option(help="Column of the labels.")]
Text = Annotated[str | None, typer.Option(help="Column of the texts.")]
Id = Annotated[
    str | None, typer.Option("--id", help="Column of ids to keep; else row numbers.")
]
Model = Annotated[
    str | None,
    typer.Option(help="Folder or Hub name of an encoder; MiniLM if not given."),
]
RunFolder = Annotated[
    Path | None,
    typer.Option(
        file_okay=False, help="Keep what is trained here, and go on from what is there."
    ),
]
Delimiter = Annotated[
    str,
    typer.Option(parser=delimiter_of, help="Between the cells of a CSV file of data."),
]
SafeCsv = Annotated[
    bool,
    typer.Option(
        "--safe-csv",
        help="Put ' before text in CSV that a spreadsheet would run as a formula.",
    ),
]
RiskId = Annotated[
    str | None,
    typer.Option(
        "--id", help="Column of DATA with the ids of the risk table; else row numbers."
    ),
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
        names = " and ".join(map(_option, given))
        raise InvalidInputError(f"{names} exclude each other; give one of them.")


def rows_from(embeddings, model, text):
    """Refuse options that name no rows to score, or two sources of them."""
    one_of(embeddings=embeddings, model=model)
    if not (embeddings or text):
        raise InvalidInputError("Name the column of the texts with --text.")


def only_csv(path, kind, **given):
    """Refuse options that are of CSV alone where a file has another format."""
    for name, value in given.items():
        if value not in (False, ",") and kind != "csv":
            raise InvalidInputError(
                f"{_option(name)} is of CSV, which {path} is not; leave it out."
            )


def tuning_of(tunes, usual_epochs, **given):
    """Options of a fine-tune with their defaults; refused where there is none."""
    given = {name: value for name, value in given.items() if value is not None}
    if tunes:
        return {"max_epochs": usual_epochs, "learning_rate": 5e-5} | given
    if given:
        raise InvalidInputError(
            f"{_option(next(iter(given)))} is of a fine-tune, and here nothing is "
            "trained so; leave it out."
        )
    return {}


def _option(name):
    """An option as it is typed."""
    return f"--{name.replace('_', '-')}"


def check_output(out, *inputs):
    """Refuse an output that cannot be written, or would overwrite another file."""
    from smilearn.utils._files import file_kind

    file_kind(out)
    check_report(out, *inputs)


def check_report(out, *inputs):
    """The same of a file of any format."""
    from smilearn.utils._files import check_writable

    check_writable(out)
    for path in filter(None, inputs):
        same = out.exists() and path.exists() and out.samefile(path)
        if same or out.resolve() == path.resolve():
            raise InvalidInputError(
                f"{out} is the same file as {path}, which is read or written too; name "
                "another file."
            )
    check_folder((out.resolve() if out.is_symlink() else out).parent, out)


def check_new_folder(folder):
    """Refuse a folder that holds something, or cannot be made."""
    if folder.exists() and any(folder.iterdir()):
        raise InvalidInputError(f"{folder} is not empty; name a new folder.")
    check_folder(folder, folder)


def check_folder(folder, out):
    """Refuse a folder that cannot be made, or written to."""
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise InvalidInputError(
            f"{out} cannot be written: {there} is not a folder to write to; name "
            "another place."
        )
