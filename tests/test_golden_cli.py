"""Sessions of the command line in `golden/cli` go as they are written there.

A session is a text file: commands after `$`, then what they print (stderr after `!`),
the exit code unless it is 0, and the files that they wrote or changed. Three commands
look at files: `risk FILE` shows a risk table without its schema, `rows FILE` shows the
lines as they stand, `cells FILE` shows the cells of Parquet (with their types) and of
JSON Lines. Commands with a pipe are run by a shell, all others in this process. Help is
reduced to names. Decimals are compared to four digits.

SMILEARN_REMAKE_GOLDEN=1 writes the sessions that differ instead of failing.
"""

import difflib
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from session_data import write_data

import smilearn
from smilearn.__main__ import main

COMMAND = "import sys; sys.argv[0] = 'smilearn'; from smilearn.__main__ import main; "
COMMAND += "main()"
SCORE = ["--label", "label", "--embeddings", "X.npy"]
GOLDEN = Path(__file__).parent / "golden" / "cli"
SESSIONS = ["help", "score", "score_texts", "table", "filter", "audit", "pipes"]
SESSIONS += ["mistakes_score", "mistakes_table_filter"]
HEAVY = "torch transformers numpy scipy sklearn pandas polars pyarrow numba"
NUMBER = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
SCRUBBED = [
    (r"\x1b\[[\d;]*m", ""),
    (r" {3,}", "  "),
    (r"(Invalid value for '.*?':|No such command '\w+').*", r"\1"),
    (r"(No such option: [\w-]+|Missing argument|unexpected extra argument).*", r"\1"),
    (r"(not a NumPy array file:|not JSON|cannot be read as Parquet:).*", r"\1"),
    (r"\(We couldn't connect.*", "(...)"),
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Write the data of all sessions into a folder, once."""
    folder = tmp_path_factory.mktemp("sources")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_data()
    return folder


@pytest.fixture
def folder(sources, tmp_path, monkeypatch, one_thread):
    """Work in a folder that holds the data of all sessions."""
    shutil.copytree(sources, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "500")
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    return tmp_path


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_goes_as_written(folder, monkeypatch, name):
    path = GOLDEN / f"{name}.txt"
    text = path.read_text(encoding="utf-8")
    wanted = text.splitlines()
    lines = []
    for line in re.findall(r"^[$#] .*", text, re.MULTILINE):
        after_comment = bool(lines) and lines[-1].startswith("# ")
        lines += [line] if after_comment or not lines else ["", line]
        if line.startswith("$ "):
            lines += outcome(line[2:], folder, monkeypatch)
    if len(lines) == len(wanted):
        lines = [
            old if close(old, new) else new
            for old, new in zip(wanted, lines, strict=True)
        ]
    if lines != wanted and os.environ.get("SMILEARN_REMAKE_GOLDEN") == "1":
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    elif lines != wanted:
        diff = difflib.unified_diff(wanted, lines, path.name, "now", lineterm="")
        pytest.fail("\n".join(diff), pytrace=False)


def close(line, other):
    """Whether two lines differ in the last digits of decimals only."""
    if NUMBER.split(line) != NUMBER.split(other):
        return False
    pairs = zip(NUMBER.findall(line), NUMBER.findall(other), strict=True)
    return all(abs(float(a) - float(b)) <= tolerance(a) for a, b in pairs)


def tolerance(number):
    """Give 1.5 units of the last digit, or what keeps four significant digits."""
    digits = len(number.partition(".")[2].partition("e")[0])
    return max(1.5 * 10.0**-digits, 1e-5 + 1e-4 * abs(float(number)))


def outcome(command, folder, monkeypatch):
    """Run a command; give the lines that a session shows of it."""
    words = shlex.split(command)
    if words[0] in SHOW:
        return SHOW[words[0]](words[1])
    before = contents(folder)
    run = in_a_shell if "|" in words else in_this_process
    codes, out, err = run(command, folder, monkeypatch)
    lines = scrubbed(names_in(out) if "Usage:" in out else out, folder)
    lines += [f"! {line}" for line in scrubbed(err, folder)]
    after = contents(folder)
    changed = sorted(name for name in after if after[name] != before.get(name))
    lines += [f"[exit {codes}]"] * (codes.strip("0 ") != "")
    lines += [f"[wrote {', '.join(changed)}]"] * bool(changed)
    return lines + [f"[deleted {name}]" for name in sorted(before.keys() - after)]


def contents(folder):
    """Give the bytes of each file by its path; nothing of folders."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else ""
        for path in folder.rglob("*")
    }


def in_this_process(command, folder, monkeypatch):
    """Run `smilearn ... < FILE > FILE`; give exit code, stdout and stderr."""
    words, _, target = command.partition(" > ")
    words, _, source = words.partition(" < ")
    stdin = Path(source).read_bytes() if source else b""
    streams = [io.BytesIO(stdin), io.BytesIO(), io.BytesIO()]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", shlex.split(words))
        for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
            patch.setattr(sys, name, io.TextIOWrapper(stream, encoding="utf-8"))
        with pytest.raises(SystemExit) as done:
            main()
        sys.stdout.flush()
        sys.stderr.flush()
        out, err = (stream.getvalue().decode() for stream in streams[1:])
    if target:
        Path(target).write_text(out, encoding="utf-8", newline="")
        out = ""
    return str(done.value.code or 0), out, err


def in_a_shell(command, folder, monkeypatch):
    """Run a pipe; the exit codes are those of all its commands."""
    script = folder.parent / f"{folder.name}-bin" / "smilearn"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{COMMAND}" "$@"\n')
    script.chmod(0o755)
    codes = script.with_name("codes")
    done = subprocess.run(
        ["bash", "-c", f'{command}; echo "${{PIPESTATUS[@]}}" > {codes}'],
        env=environment() | {"PATH": f"{script.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    return codes.read_text().strip(), done.stdout, done.stderr


def environment():
    """Give the variables for processes that import this smilearn."""
    source = str(Path(smilearn.__file__).parents[1])
    own = os.environ | {"PYTHONPATH": source}
    own.pop("PYTHONUNBUFFERED", None)  # Python does not notice broken pipes then
    return own


def names_in(page):
    """Give the sorted names of each box of a help page, a line a box."""
    boxes = {}
    for line in page.splitlines():
        if title := re.match(r"╭─ (\w+)", line):
            names = boxes.setdefault(title[1], [])
        elif name := re.match(r"│[ *]+(-*\w[\w-]*)", line):
            names.append(name[1] if name[1].startswith("-") else name[1].lower())
    return "\n".join(f"{title}: {' '.join(sorted(boxes[title]))}" for title in boxes)


def scrubbed(text, folder):
    """Give the lines of a text without what varies."""
    text = text.replace(str(folder), "FOLDER")
    for pattern, stand_in in SCRUBBED:
        text = re.sub(pattern, stand_in, text)
    return [line.rstrip() for line in text.splitlines()]


def risk_lines(path):
    """Give the columns of a risk table and its rows, numbers with six decimals."""
    if path.endswith("csv"):
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    else:
        frame = read_frame(path)
    frame = frame.drop(columns="schema", errors="ignore")
    numbers = [name for name in ("risk", "probability", "psmi", "std") if name in frame]
    frame[numbers] = frame[numbers].astype(float).map("{:.6f}".format)
    rows = frame.drop(columns=["text", "std"], errors="ignore").astype(str)
    shown = [" ".join(row) for row in rows.itertuples(index=False)]
    return [" ".join(frame), f"{len(frame)} rows", *shown]


def cell_lines(path):
    """Give the types of Parquet, and the cells of each row."""
    frame = read_frame(path)
    types = " ".join(f"{name}:{kind}" for name, kind in frame.dtypes.items())
    return [types] * path.endswith("parquet") + list(
        map(json.dumps, frame.to_dict(orient="records"))
    )


def read_frame(path):
    """Read Parquet or JSON Lines."""
    if path.endswith("parquet"):
        return pd.read_parquet(path)
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return pd.DataFrame(map(json.loads, lines), dtype=None)


def row_lines(path):
    """Give the lines of a file as they stand."""
    text = Path(path).read_bytes().decode()
    text = text.replace("\r", "\\r").replace("\ufeff", "\\ufeff")
    return text.removesuffix("\n").split("\n")


SHOW = {"risk": risk_lines, "rows": row_lines, "cells": cell_lines}


def test_help_loads_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "smilearn", "score", "--help"],
        env=environment(),
        capture_output=True,
        text=True,
    )
    loaded = set(re.findall(r"\| +(\w+)$", done.stderr, re.MULTILINE))
    assert (done.returncode, "typer" in loaded) == (0, True)
    assert loaded & set(HEAVY.split()) == set()


def test_ctrl_c_ends_with_130(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "score", "-", *SCORE],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write(b'{"label": "ham"}\n' * 100_000)  # more than a pipe holds,
    process.stdin.flush()  # so that it is reading by now
    process.send_signal(signal.SIGINT)
    found = process.communicate(timeout=60)
    assert (process.returncode, *found) == (130, b"", b"smilearn: stopped.\n")


def test_a_bug_ends_with_1_and_its_traceback(folder):
    bug = "import smilearn; smilearn.RiskTable.read = lambda path: 1 / 0; "
    done = subprocess.run(
        [sys.executable, "-c", bug + COMMAND, "table", "risk.csv"],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Traceback")
    assert "ZeroDivisionError" in done.stderr
