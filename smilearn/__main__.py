"""Door of ``python -m smilearn`` and of the ``smilearn`` command."""

import signal
import sys


def _stop(number, frame):
    """End by way of all that tidies up, as Ctrl-C does."""
    sys.exit(128 + number)


def main():
    """Run the command line."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has one of them
        if number and signal.getsignal(number) == signal.SIG_DFL:  # not under nohup
            signal.signal(number, _stop)
    try:
        from smilearn.cli._app import app

        app()
    except KeyboardInterrupt:  # while the commands are loaded
        sys.exit(130)


if __name__ == "__main__":
    main()
