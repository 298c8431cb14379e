"""What people, scripts and nobody get to hear."""

import warnings

import pytest

from smilearn import RiskTable
from smilearn.cli._terminal import Messages, print_riskiest
from smilearn.exceptions import LowSupportWarning

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
    with Messages(quiet=quiet).warnings():
        warnings.warn("few", LowSupportWarning, stacklevel=1)
        warnings.warn("theirs", UserWarning, stacklevel=1)
    assert capsys.readouterr() == ("", shown)
