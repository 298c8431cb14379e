"""Exit codes, and who hears what: people, machines, or nobody.

0 is done, 2 a mistake of the user's (one line on stderr), 1 a mistake of ours (with
its traceback), 130 an interruption, 141 a reader of the output that went away.
"""

import json
import math
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

import typer
from typer.core import TyperGroup

from smilearn.exceptions import InvalidInputError, SmilearnError
from smilearn.tables._io import file_kind
from smilearn.utils._escapes import escaped

MISTAKE, INTERRUPTED, NO_READER = 2, 130, 141


def explained(command):
    """Turn what a user can mend into one line and exit code 2."""

    @wraps(command)
    def run(*args, **kwargs):
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:
            leave_quietly()
            raise typer.Exit(NO_READER) from None
        except KeyboardInterrupt:
            typer.echo("smilearn: stopped.", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except (SmilearnError, OSError, ImportError) as error:
            typer.echo(f"smilearn: {_line(error)}", err=True)
            raise typer.Exit(MISTAKE) from error

    return run


class Commands(TyperGroup):
    """Commands whose complaints about an option show what it holds without harm."""

    def make_context(self, *args, **kwargs):
        """Read the arguments of the program."""
        with _shown():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx):
        """Read the arguments of a command and run it."""
        with _shown():
            return super().invoke(ctx)


@contextmanager
def _shown():
    """Escape what an error of usage says."""
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message"):  # of click, or of the copy in typer
            error.message = escaped(error.message)
        raise


def _line(error):
    """What went wrong, in one line; of an error of the system the file first."""
    text = str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename}: {error.strerror}."
    return escaped(" ".join(text.split()))


def leave_quietly():
    """Let what is still unwritten go nowhere, as nobody reads it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


class Voice:
    """What a command says beside its data."""

    def __init__(self, *, quiet=False, as_json=False, data_on_stdout=False):
        if quiet and as_json:
            raise InvalidInputError(
                "--quiet and --json exclude each other; give one of the two."
            )
        if as_json and data_on_stdout:
            raise InvalidInputError(
                "--json prints on standard output, and so would the table; name a "
                "file with --out."
            )
        self.quiet, self.as_json, self.to_stderr = quiet, as_json, data_on_stdout

    @property
    def progress(self):
        """Whether to show progress bars."""
        return not self.quiet and sys.stderr.isatty()

    @property
    def draws(self):
        """Whether tables for people may be drawn on stdout."""
        return not (self.quiet or self.as_json or self.to_stderr)

    def say(self, sentence, facts):
        """Tell the outcome."""
        if self.as_json:
            text = json.dumps(_finite(facts), ensure_ascii=False, allow_nan=False)
            sys.stdout.write(f"{escaped(text, as_json=True)}\n")
        elif not self.quiet:
            typer.echo(escaped(sentence), err=self.to_stderr)

    @contextmanager
    def warnings(self):
        """Show smilearn's warnings as plain lines on stderr."""
        import warnings

        from smilearn.exceptions import SmilearnWarning

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", SmilearnWarning)
            yield
        for warning in () if self.quiet else caught:
            line = escaped(f"smilearn: warning: {warning.message}")
            typer.echo(line, err=True)


def _finite(value):
    """JSON knows no infinity and no NaN: they become null."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
    file_kind(out)
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
    return [
        {name: _plain(value) for name, value in row.items()}
        for row in table.frame.iter_rows(named=True)
    ]


def _plain(value):
    return value if isinstance(value, (str, int, float, type(None))) else str(value)
