"""What tests of the command line share: data, risk tables, and a way to run it."""

import pytest
import torch
from table_files import write_columns
from typer.testing import CliRunner

from smilearn.cli._app import app

NOUNS = ["film", "movie", "plot", "actor", "scene"]
TEXTS = [f"the {('bad', 'good')[i % 2]} {NOUNS[i % 5]}" + " a" * i for i in range(20)]
LABELS = ["neg", "pos"] * 10


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Everything happens in an empty folder, on one thread."""
    monkeypatch.chdir(tmp_path)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(n_threads)


@pytest.fixture
def data(folder):
    write_columns({"text": TEXTS, "label": LABELS}, "data.csv")
    return "data.csv"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def succeed(*arguments):
    """Run a command that must end well; give what it prints."""
    done = run(*arguments)
    assert done.exit_code == 0, (done.stderr, done.exception)
    return done


ROWS = [["01", 'say "no", or', "x", "1e5"], ["02", "two\nlines", "y", ""]]
ROWS += [["3", "gone", "y", "gone"], ["4.0", " naïve 映画 ", "x", "NA"]]
RISK = {"id": [0, 1, 2, 3], "label": list("xyyx"), "psmi": [0.5, 0.25, -0.5, -0.25]}


def write_risk(path, order=(0, 1, 2, 3)):
    columns = {**RISK, "risk": [-value for value in RISK["psmi"]]}
    write_columns({n: [v[i] for i in order] for n, v in columns.items()}, path)


@pytest.fixture
def rows():
    names = ["key", "text", "label", "odd, name"]
    write_columns(dict(zip(names, zip(*ROWS, strict=True), strict=True)), "rows.csv")
    write_risk("risk.csv")
    return names
