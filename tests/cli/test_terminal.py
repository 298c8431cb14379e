"""What people, scripts and nobody get to hear."""

import json
import warnings

import pytest

from smilearn.cli._terminal import Messages
from smilearn.exceptions import InvalidInputError, LowSupportWarning

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


def test_infinity_is_null_in_json(capsys):
    Messages(as_json=True).say("Done.", FACTS)
    facts = json.loads(capsys.readouterr().out)
    assert facts == {"a": None, "b": [None, 1.5, {"c": [1, None]}]}


def test_messages_that_exclude_each_other():
    with pytest.raises(InvalidInputError, match="--quiet and --json exclude"):
        Messages(quiet=True, as_json=True)
    with pytest.raises(InvalidInputError, match="--json prints on standard output"):
        Messages(as_json=True, data_on_stdout=True)


@pytest.mark.parametrize(
    ("quiet", "shown"), [(False, "smilearn: warning: few\n"), (True, "")]
)
def test_own_warnings_are_lines_and_others_are_not_shown(capsys, quiet, shown):
    with Messages(quiet=quiet).warnings():
        warnings.warn("few", LowSupportWarning, stacklevel=1)
        warnings.warn("theirs", UserWarning, stacklevel=1)
    assert capsys.readouterr() == ("", shown)
