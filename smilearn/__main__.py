"""Door of ``python -m smilearn`` and of the ``smilearn`` command."""

import sys


def main():
    """Run the command line."""
    try:
        from smilearn.cli._app import app

        app()
    except KeyboardInterrupt:  # while the commands are loaded
        sys.exit(130)


if __name__ == "__main__":
    main()
