"""What the demonstration prints, for machines and for nobody."""

import json
from pathlib import Path
from types import SimpleNamespace

import command_line
import numpy as np
import pytest
from command_line import run, succeed

from smilearn.cli import _demo

folder = command_line.folder
FOUND = SimpleNamespace(
    outcome=SimpleNamespace(summary={"n_samples": 40}),
    flipped=np.array([True, False, True]),
    comparison=[{"name": "p", "top 3 %": 1, "top 10 %": 2, "auc": 0.5}],
    kept_flips=1,
    files={"risk.csv": Path("f") / "risk.csv"},
)


@pytest.fixture
def asked(monkeypatch):
    calls = []

    def run_demo(folder, **options):
        calls.append((folder, options))
        return FOUND

    monkeypatch.setattr(_demo, "run_demo", run_demo)
    return calls


def test_json_has_the_findings_and_quiet_has_nothing(asked):
    options = ["--out", "f", "--n-samples", 40, "--max-epochs", 1, "--seed", 3]
    done = succeed("demo", *options, "--json")
    assert json.loads(done.stdout) == {
        "n_samples": 40,
        "n_flipped": 2,
        "kept_flips": 1,
        "found": FOUND.comparison,
        "files": {"risk.csv": "f/risk.csv"},
    }
    done = succeed("demo", *options, "--quiet")
    assert (done.stdout, done.stderr) == ("", "")
    wanted = {"n_samples": 40, "max_epochs": 1, "seed": 3, "verbose": False}
    assert asked == [(Path("f"), wanted)] * 2


def test_nothing_is_run_before_the_options_are_right(asked):
    assert run("demo", "--max-epochs", 0).exit_code == 2
    assert asked == []
