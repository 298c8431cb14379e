"""Where the command line decides the exit code, and writes the line of an error.

0 is done, 2 a mistake of the user (one line on stderr), 1 a bug (with its traceback),
130 an interruption, 141 a broken pipe.
"""

import os
import sys

from typer.core import TyperGroup

from smilearn.exceptions import SmilearnError
from smilearn.utils._escapes import escaped

MISTAKE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141


class Commands(TyperGroup):
    """The commands of smilearn; whatever happens in one ends in `main`."""

    def main(self, *args, **kwargs):
        """Run a command and exit."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        sys.stdout = sys.stdout or os.fdopen(nowhere, "w")  # None if it was closed
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False}) or 0
            sys.stdout.flush()
        except (Exception, SystemExit) as error:
            pipe = (error, error.__context__)  # typer makes an exit of a broken pipe
            if any(isinstance(cause, BrokenPipeError) for cause in pipe):
                os.dup2(nowhere, 1)  # for what is still unwritten
                sys.exit(BROKEN_PIPE)
            if isinstance(error, SystemExit) or not is_mistake(error):
                raise
            tell(error_line(error))
            sys.exit(MISTAKE)
        if code == INTERRUPTED:
            tell("stopped.")
        sys.exit(code)


def is_mistake(error):
    """Whether a user can mend an error; those of usage can show themselves."""
    own = (SmilearnError, OSError, ImportError)
    return isinstance(error, own) or hasattr(error, "format_message")


def error_line(error):
    """What went wrong, in one line; of an error of the system the file first."""
    text = str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename}: {error.strerror}."
    if hasattr(error, "format_message"):
        text = error.format_message()
    return " ".join(text.split())


def tell(line):
    """Write a line of smilearn to stderr."""
    if line:  # no command at all shows the help instead
        sys.stderr.write(f"smilearn: {escaped(line)}\n")
