"""How commands end: the exit code, and at most one line on stderr."""

import pytest
from command_line import run, shell

from smilearn import RiskTable
from smilearn.exceptions import InvalidInputError


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InvalidInputError("Give\n two."), 2, "smilearn: Give two.\n"),
        (FileNotFoundError(2, "Gone", "a.csv"), 2, "smilearn: a.csv: Gone.\n"),
        (ImportError("no x"), 2, "smilearn: no x\n"),
        (KeyboardInterrupt(), 130, "smilearn: stopped.\n"),
        (ValueError("a bug"), 1, ""),
    ],
)
def test_an_error_is_a_code_and_a_line(folder, monkeypatch, error, code, line):
    def read(path):
        raise error

    monkeypatch.setattr(RiskTable, "read", read)
    (folder / "risk.csv").touch()
    done = run("table", "risk.csv")
    assert (done.exit_code, done.stdout, done.stderr) == (code, "", line)
    assert code != 1 or done.exception is error


@pytest.mark.parametrize("command", ["--help", "score --help", "table r.csv --json"])
def test_a_broken_pipe_ends_quietly_with_141(command):
    """Python itself complains with code 120 of what it could not write."""
    RiskTable(range(5000), ["x"] * 5000).to_csv("r.csv")
    done = shell(f"smilearn {command} | true; echo ${{PIPESTATUS[0]}}")
    assert (done.stdout, done.stderr) == ("141\n", "")


def test_a_closed_output_is_no_bug():
    RiskTable([0, 1], ["x", "y"]).to_csv("r.csv")
    done = shell("smilearn table r.csv >&-; echo $?; smilearn --help >&-; echo $?")
    assert (done.stdout, done.stderr) == ("0\n0\n", "")
