"""What tests of the command line share: data, and ways to run it."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
from typer.testing import CliRunner

import smilearn
from smilearn.cli._app import app

COMMAND = "import sys; sys.argv[0] = 'smilearn'; from smilearn.__main__ import main; "
COMMAND += "main()"
NOUNS = ["film", "movie", "plot", "actor", "scene"]
TEXTS = [f"the {('bad', 'good')[i % 2]} {NOUNS[i % 5]}" + " a" * i for i in range(20)]
LABELS = ["neg", "pos"] * 10


def run(*arguments, stdin=None):
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], stdin)


def succeed(*arguments, stdin=None):
    """Run a command that must end well; give what it prints."""
    done = run(*arguments, stdin=stdin)
    assert done.exit_code == 0, (done.stderr, done.exception)
    return done


def mistake(*arguments):
    """Run a command that must end with one line of error; give the line."""
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("smilearn: ")
    return line


def environment(**variables):
    """Give the variables for processes that import this smilearn."""
    source = str(Path(smilearn.__file__).parents[1])
    own = os.environ | {"PYTHONPATH": source, "HF_HUB_OFFLINE": "1"} | variables
    for name in ("PYTHONUNBUFFERED", "TQDM_DISABLE"):
        own.pop(name, None)  # unbuffered, Python does not notice broken pipes
    return own


def shell(script, **variables):
    """Run a script of bash in which smilearn is this one."""
    call = f'{sys.executable} -c "{COMMAND}" "$@"'
    return subprocess.run(
        ["bash", "-c", f"smilearn() {{ {call}; }}\n{script}"],
        env=environment(**variables),
        capture_output=True,
        text=True,
    )


def write(columns, path):
    """Write columns in the format that the suffix names."""
    frame = pl.DataFrame(columns, strict=False)
    suffix = Path(path).suffix
    {".csv": frame.write_csv, ".jsonl": frame.write_ndjson}.get(
        suffix, frame.write_parquet
    )(path)


def read(path):
    """Read columns; those of CSV are text."""
    if Path(path).suffix == ".csv":
        frame = pl.read_csv(path, infer_schema=False)
    elif Path(path).suffix == ".jsonl":
        frame = pl.read_ndjson(path)
    else:
        frame = pl.read_parquet(path)
    return frame.to_dict(as_series=False)
