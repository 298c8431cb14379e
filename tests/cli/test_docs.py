"""The sessions in docs/cli.md go as they are shown, but for their numbers."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import environment, shell

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def code_of(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def sessions_of(page):
    """Commands of a page with what they print, in their order."""
    for block in code_of(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            yield command, shown


def without_numbers(text):
    return re.sub(r"\s+", " ", re.sub(r"-?\d+(\.\d+)?", "#", text))


def test_a_session_is_found_with_its_output():
    page = "x\n```console\n$ a | b\none\ntwo\n$ c\n```\n```python\n1\n```\n"
    assert list(sessions_of(page)) == [("a | b", "one\ntwo\n"), ("c", "")]
    assert code_of(page, "python") == ["1\n"]
    assert without_numbers("a  -1.5 b12") == without_numbers("a 7 b3")
    assert without_numbers("a 1") != without_numbers("b 1")


@pytest.mark.slow
def test_sessions_go_as_shown(folder):
    page = PAGE.read_text(encoding="utf-8")
    [data] = code_of(page, "python")
    subprocess.run([sys.executable, "-c", data], check=True, env=environment())
    sessions = list(sessions_of(page))
    assert len(sessions) > 12
    for command, shown in sessions:
        done = shell(f"{command} 2>&1")
        assert without_numbers(done.stdout) == without_numbers(shown), command
