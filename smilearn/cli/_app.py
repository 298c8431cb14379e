"""The command line: each command is a function in a file of its own.

Heavy modules are imported inside the functions, so that ``--help`` is immediate.
"""

from importlib.metadata import version
from typing import Annotated

import typer

from smilearn.cli import (
    _audit,
    _demo,
    _doctor,
    _filter,
    _report,
    _score,
    _table,
    _train,
)
from smilearn.cli._exit_codes import Commands

app = typer.Typer(
    name="smilearn",
    cls=Commands,
    help="Which training samples will a fine-tuned text classifier memorize?",
    epilog="Exit codes: 0 done; 2 wrong input or usage, with a line on stderr; 1 a "
    "bug, with its traceback; 130 stopped by Ctrl-C; 141 broken pipe.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (
    _score.score,
    _filter.filter_,
    _table.table,
    _report.report,
    _train.train,
    _audit.audit,
    _demo.demo,
    _doctor.doctor,
):
    app.command(command.__name__.strip("_"))(command)


def _tell_version(wanted: bool):
    if wanted:
        typer.echo(f"smilearn {version('smilearn')}")
        raise typer.Exit


@app.callback()
def smilearn(
    version_: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=_tell_version,
            help="Show the version and exit.",
        ),
    ] = False,
):
    """Which training samples will a fine-tuned text classifier memorize?"""
