"""Exit codes, and who hears what."""

import json
import subprocess
import sys
import warnings

import pytest
import typer

from smilearn.cli import _terminal
from smilearn.cli._terminal import Voice, explained
from smilearn.exceptions import InvalidInputError, LowSupportWarning

FACTS = {"a": float("inf"), "b": [float("nan"), 1.5, {"c": (1, -float("inf"))}]}


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InvalidInputError("Give\n two."), 2, "smilearn: Give two.\n"),
        (FileNotFoundError(2, "No such file", "a.csv"), 2, "smilearn: a.csv: No such"),
        (ImportError("no x"), 2, "smilearn: no x\n"),
        (KeyboardInterrupt(), 130, "smilearn: stopped.\n"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_what_can_be_mended_is_a_line_and_a_code(
    monkeypatch, capsys, error, code, line
):
    left = []
    monkeypatch.setattr(_terminal, "leave_quietly", lambda: left.append(True))

    @explained
    def command():
        raise error

    with pytest.raises(typer.Exit) as raised:
        command()
    assert raised.value.exit_code == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(line) and bool(shown.err) == bool(line)
    assert left == [True] * (code == 141)


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x"), KeyError("x")])
def test_what_cannot_is_left_alone(error):
    @explained
    def command():
        raise error

    with pytest.raises(type(error), match="x"):
        command()


@pytest.mark.parametrize("quietly", [True, False])
def test_leaving_quietly_needs_no_reader(monkeypatch, quietly):
    """Without it Python complains about what it could not write, with code 120."""
    code = "import os, sys\nfrom smilearn.cli._terminal import leave_quietly\n"
    code += "end, pipe = os.pipe()\nos.dup2(pipe, 1)\nos.close(end)\n"
    code += "sys.stdout.write('unread')\n" + "leave_quietly()\n" * quietly
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE)
    assert (done.returncode == 0, done.stderr == b"") == (quietly, quietly)


def test_sentences_facts_and_silence(capsys):
    Voice().say("Done.", FACTS)
    assert capsys.readouterr() == ("Done.\n", "")
    Voice(data_on_stdout=True).say("Done.", FACTS)
    assert capsys.readouterr() == ("", "Done.\n")
    Voice(quiet=True).say("Done.", FACTS)
    assert capsys.readouterr() == ("", "")
    Voice(as_json=True).say("Done.", FACTS)
    out, err = capsys.readouterr()
    assert (json.loads(out), err) == (
        {"a": None, "b": [None, 1.5, {"c": [1, None]}]},
        "",
    )


def test_voices_that_exclude_each_other():
    with pytest.raises(InvalidInputError, match="--quiet and --json exclude"):
        Voice(quiet=True, as_json=True)
    with pytest.raises(InvalidInputError, match="--json prints on standard output"):
        Voice(as_json=True, data_on_stdout=True)


def test_own_warnings_are_lines_and_others_are_not_shown(capsys):
    for quiet, expected in [(False, "smilearn: warning: few\n"), (True, "")]:
        with Voice(quiet=quiet).warnings():
            warnings.warn("few", LowSupportWarning, stacklevel=1)
            warnings.warn("theirs", UserWarning, stacklevel=1)
        assert capsys.readouterr() == ("", expected)
