"""What people, scripts and nobody get to hear."""

import warnings

import pytest
from command_line import TEXTS, succeed, write

from smilearn import RiskTable
from smilearn.cli._terminal import Messages, print_riskiest
from smilearn.exceptions import InvalidInputError, LowSupportWarning

FACTS = {"a": float("inf"), "b": [float("nan"), 1.5, {"c": (1, -float("inf"))}]}


def test_the_riskiest_are_drawn_with_their_probability(capsys):
    labels, likely = {"most_likely_label": ["b", "a"]}, {"probability": [0.125, 0.5]}
    print_riskiest(RiskTable([-2.0, -0.5], ["a", "b"], **labels, **likely), n=1)
    shown = capsys.readouterr().out.replace(" ", "")
    assert "┃rank┃risk┃probability┃label┃likelier┃id┃" in shown
    assert "│1│2.000│0.125│a│b│0│" in shown
    print_riskiest(RiskTable([-2.0], ["a"], most_likely_label=["b"]))
    assert "probability" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, ("Done.\n", "")),
        ({"data_on_stdout": True}, ("", "Done.\n")),
        ({"quiet": True}, ("", "")),
    ],
)
def test_sentences_have_a_place(capsys, options, shown):
    Messages(**options).say("Done.", FACTS)
    assert capsys.readouterr() == shown


@pytest.mark.parametrize(
    ("quiet", "shown"), [(False, "smilearn: warning: few\n"), (True, "")]
)
def test_own_warnings_are_lines_and_others_are_not_shown(capsys, quiet, shown):
    with Messages(quiet=quiet).warnings() as messages:
        warnings.warn("few", LowSupportWarning, stacklevel=1)
        warnings.warn("theirs", UserWarning, stacklevel=1)
        warnings.warn("few", LowSupportWarning, stacklevel=1)
    assert capsys.readouterr() == ("", shown)
    assert messages == ["few"]


def test_warnings_come_before_the_line_of_an_error(capsys):
    with pytest.raises(InvalidInputError), Messages().warnings():
        warnings.warn("few", LowSupportWarning, stacklevel=1)
        raise InvalidInputError("too few")
    assert capsys.readouterr().err == "smilearn: warning: few\n"


@pytest.mark.parametrize("command", ["score", "train", "audit"])
def test_labels_that_look_alike_are_told_in_one_line(folder, tiny_encoder, command):
    labels = ["neg", "Neg", "pos", "pos"] * 5
    write({"text": TEXTS, "label": labels}, "data.csv")
    options = ["--text", "text", "--label", "label", "--model", tiny_encoder]
    options += ["--max-epochs", 1, "--learning-rate", 1e-9]
    options += ["--out", "out" if command == "train" else "out.csv"]
    lines = succeed(command, "data.csv", *options).stderr.splitlines()
    [line] = [line for line in lines if "differ by case" in line]
    assert line.startswith("smilearn: warning: Labels that differ by case")
