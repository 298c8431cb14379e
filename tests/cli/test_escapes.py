"""What texts, labels and names hold does nothing to the terminal that shows them."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import LABELS, TEXTS, environment, mistake, run, succeed, write

from smilearn import RiskTable

ATTACKS = {
    "OSC 52": "\x1b]52;c;ZXZpbA==\x07",
    "CSI": "\x1b[2J\x1b[31m",
    "C1 CSI": "\x9b2J",
    "C1 OSC": "\x9d0;title\x9c",
    "overwriting": "safe\rharm\x08\x08",
    "bell": "\x07",
    "delete": "\x7f",
    "bidi override": "\u202egnp.exe\u202c",
    "bidi isolate": "\u2066left\u2069\u200f",
    "tag": "\U000e0041",
}
ALL = "".join(ATTACKS.values())


def acting(shown):
    """Characters that a terminal acts on, line ends and tabs aside."""
    return sorted({c for c in shown if not (c.isprintable() or c in "\r\n\t")})


def on_a_terminal(*arguments):
    """What a command of its own process writes to a terminal."""
    main, side = pty.openpty()
    env = environment(COLUMNS="200", TERM="dumb", NO_COLOR="1")
    command = [sys.executable, "-m", "smilearn", *map(str, arguments)]
    files = {"stdin": subprocess.DEVNULL, "stdout": side, "stderr": side}
    process = subprocess.Popen(command, env=env, **files)
    os.close(side)
    shown = b""
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:  # the end, on Linux
            piece = b""
        if not piece:
            break
        shown += piece
    os.close(main)
    return process.wait(), shown.decode()


@pytest.fixture
def risk():
    """A risk table all of whose strings attack, under a name that does."""
    texts = [f"{attack} {i}" for i, attack in enumerate([ALL, *ATTACKS.values()])]
    labels = [f"{ALL}{i % 2}" for i in range(len(texts))]
    table = RiskTable(np.linspace(-1, 1, len(texts)), labels, text=texts, id=texts)
    table.to_jsonl("risk.jsonl")
    return "risk.jsonl"


def test_a_table_on_a_terminal(risk):
    for options in ([], ["--compare", risk]):
        code, shown = on_a_terminal("table", risk, *options)
        assert code == 0, shown
        assert acting(shown) == [], options
        assert r"\x1b" in shown


@pytest.mark.parametrize("options", [[], ["--by-class"], ["--compare", "risk.jsonl"]])
def test_a_table_in_a_pipe(risk, options):
    done = run("table", risk, *options)
    assert done.exit_code == 0
    assert acting(done.stdout) == []
    assert r"\x1b]52;c" in done.stdout


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_error_lines(attack):
    for arguments in (
        ("table", f"{attack}.csv"),
        ("table", "t.csv", "--by", attack, "--compare", attack),
        ("score", f"{attack}.csv", "--label", "y", "--out", "x.csv"),
        ("filter", f"{attack}.jsonl", "--risk", "r", "--out", f"{attack}.csv"),
        ("score", "x.csv", "--label", "y", "--moment", attack),
        ("score", "x.csv", "--label", "y", "--seed", attack),
        ("table", "x.csv", attack),
        ("table", "x.csv", f"--{attack}"),
        (attack,),
        (f"--{attack}",),
    ):
        assert acting(mistake(*arguments)) == [], arguments


def test_what_a_filter_says():
    labels, data, out = list("ab") * 5 + ["a"], f"{ALL}.jsonl", f"kept{ALL}.jsonl"
    write({"text": [f"{ALL}{i}" for i in range(11)], "label": labels}, data)
    RiskTable(np.linspace(-1, 1, 11), labels).to_csv("r.csv")
    options = ["--risk", "r.csv", "--out", out, "--n-remove", 1]
    done = succeed("filter", data, *options)
    assert acting(done.output) == []
    assert r"kept\x1b]52;c" in done.stdout
    with Path(out).open(encoding="utf-8") as file:
        assert json.loads(file.readline())["text"][:-1] == ALL
    assert acting(succeed("filter", data, *options, "--json").stdout) == []


def test_json_says_the_same_and_acts_on_nothing(risk):
    done = run("table", risk, "--json")
    rows = json.loads(done.stdout)["rows"]
    assert acting(done.stdout) == []
    assert rows[0]["text"] == f"{ALL} 0"


def test_scores_on_a_terminal(data):
    texts = [f"{text} {ALL}" for text in TEXTS]
    labels = [f"{label}{ALL}" for label in LABELS]
    write({"text": texts, "label": labels}, f"d{ALL}.jsonl")
    options = ["--label", "label", "--text", "text"]
    options += ["--embeddings", "X.npy", "--n-slices", 16]
    code, shown = on_a_terminal("score", f"d{ALL}.jsonl", *options)
    assert (code, acting(shown)) == (0, []), shown
    assert r"\u001b]52;c" in shown
    code, shown = on_a_terminal("score", f"d{ALL}.jsonl", *options, "--out", "r.csv")
    assert (code, acting(shown)) == (0, []), shown
    assert r"\x1b]52;c" in shown
    table = RiskTable.read("r.csv")
    assert set(table["label"]) == set(labels)
    assert table["text"].tolist() == texts
