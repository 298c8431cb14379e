"""How commands end: the exit code, and at most one line on stderr."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import environment, run, shell

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


def test_a_closed_output_is_one_that_nobody_reads():
    RiskTable([0, 1], ["x", "y"]).to_csv("r.csv")
    done = shell("smilearn table r.csv >&-; echo $?; smilearn --help >&-; echo $?")
    assert (done.stdout, done.stderr) == ("141\n141\n", "")
    done = shell("smilearn table r.csv --out x.csv --quiet >&-; echo $?")
    assert (done.stdout, done.stderr) == ("0\n", "")
    assert len(RiskTable.read("x.csv")) == 2


def test_closed_errors_and_a_closed_input():
    done = shell("smilearn table none.csv 2>&-; echo $?")
    assert (done.stdout, done.stderr) == ("2\n", "")
    done = shell("smilearn score - --label y --text x <&-; echo $?")
    assert done.stdout == "2\n"
    assert done.stderr == "smilearn: standard input is closed; name a data file.\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="of Linux")
def test_a_full_disk_is_a_line():
    RiskTable([0, 1], ["x", "y"]).to_csv("r.csv")
    done = shell("smilearn table r.csv > /dev/full; echo $? >&2")
    assert done.stderr.splitlines() == [
        "smilearn: [Errno 28] No space left on device",
        "2",
    ]


WRITING = """
import sys, time
from smilearn.tables import _io

def write(frame, path):
    with _io.replacing(path) as temporary:
        temporary.write_text("half")
        print("writing", flush=True)
        time.sleep(60)

_io.write_frame = write
from smilearn.__main__ import main
sys.argv = ["smilearn", "table", "r.csv", "--out", "x.csv"]
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_leaves_no_half_of_a_file(folder, name):
    RiskTable([0, 1], ["x", "y"]).to_csv("r.csv")
    command = [sys.executable, "-c", WRITING]
    files = {"stdout": subprocess.PIPE, "env": environment()}
    with subprocess.Popen(command, **files) as process:
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(getattr(signal, name))
    assert process.returncode == 128 + getattr(signal, name)
    assert [each.name for each in folder.iterdir()] == ["r.csv"]
