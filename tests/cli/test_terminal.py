"""What people, scripts and nobody get to hear."""

import warnings

import pytest

from smilearn.cli._terminal import Messages
from smilearn.exceptions import LowSupportWarning

FACTS = {"a": float("inf"), "b": [float("nan"), 1.5, {"c": (1, -float("inf"))}]}


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
