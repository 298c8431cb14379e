"""Door of ``python -m smilearn`` and of the ``smilearn`` command (floor 14)."""


def main():
    """Run the command line."""
    from smilearn.cli import app

    app()


if __name__ == "__main__":
    main()
