"""Where the command line decides the exit code, and writes the line of an error.

0 is done, 2 a mistake of the user (one line on stderr), 1 a bug (with its traceback),
130 an interruption, 141 a broken pipe.
"""

import os
import sys
from pathlib import Path

from typer.core import TyperGroup

from smilearn.exceptions import SmilearnError
from smilearn.utils._escapes import escaped

MISTAKE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141


class Commands(TyperGroup):
    """The commands of smilearn; whatever happens in one ends in `main`."""

    def main(self, *args, **kwargs):
        """Run a command and exit."""
        if sys.stdout is None:  # it was closed
            sys.stdout = _unread()
        if sys.stderr is None:
            sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False}) or 0
            sys.stdout.flush()
        except (Exception, SystemExit) as error:
            # of a broken pipe typer makes an exit
            if any(isinstance(e, BrokenPipeError) for e in (error, error.__context__)):
                _drop_output()
                sys.exit(BROKEN_PIPE)
            is_usage = hasattr(error, "format_message")
            if not (
                is_usage or isinstance(error, (SmilearnError, OSError, ImportError))
            ):
                raise
            tell(error.format_message() if is_usage else message_of(error))
            if isinstance(error, OSError):  # maybe of unwritten output
                _drop_output()
            sys.exit(MISTAKE)
        if code == INTERRUPTED:
            tell("stopped.")
        sys.exit(code)


def _drop_output():
    """Let nothing that is still to be written to standard output fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _unread():
    """Standard output as a pipe whose reader has gone."""
    ends = os.pipe()
    os.dup2(ends[1], 1)
    for end in {*ends} - {1}:
        os.close(end)
    return os.fdopen(1, "w")


def message_of(error):
    """What went wrong; of an error of the system the file first."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}."
    return str(error)


def tell(message):
    """Write a message to stderr as one line."""
    if message:  # without a command the help is shown instead
        sys.stderr.write(f"smilearn: {escaped(' '.join(message.split()))}\n")
