"""Sessions of the command line in `golden/cli` go as they are written there.

A session is a text file: commands after `$`, then what they print (stderr after `!`),
the exit code unless it is 0, and the files that they wrote or changed. Three commands
look at files: `risk FILE` shows a risk table without its schema,
`rows FILE` shows the lines as they stand, `cells FILE` shows the cells of Parquet (with
their types) and of JSON Lines. Commands with a pipe are run by a shell, all others in
this process. Help is reduced to names. Decimals are compared to four digits.

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

import numpy as np
import pandas as pd
import pytest

import smilearn
from smilearn import RiskTable
from smilearn.__main__ import main
from smilearn.datasets import flip_labels, load_rotten_tomatoes

COMMAND = "import sys; sys.argv[0] = 'smilearn'; from smilearn.__main__ import main; "
COMMAND += "main()"
SCORE = ["--label", "label", "--embeddings", "X.npy"]
SESSIONS = sorted((Path(__file__).parent / "golden" / "cli").glob("*.txt"))
HEAVY = "torch transformers numpy scipy sklearn pandas polars pyarrow numba"
NUMBER = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
SCRUBBED = [
    (r"\x1b\[[\d;]*m", ""),
    (r" {3,}", "  "),
    (
        r"(Invalid value for '.*?':|No such option: [\w-]+|No such command '\w+').*",
        r"\1",
    ),
    (r"(Missing argument|unexpected extra argument).*", r"\1"),
    (r"(not a NumPy array file:|not JSON|cannot be read as Parquet:).*", r"\1"),
    (r"\(We couldn't connect.*", "(...)"),
]
LABELS = ["ham", "spam"] * 6
PSMI = [0.5, -1.25, 0.25, 0.75, -0.5, 0.625, 0.125, -0.125, -2.5, 0.375, 1.5, 0.3125]
KEYS = [f"{i:02d}" for i in range(12)]
ODD_ROWS = (
    b'\xef\xbb\xbfkey,text,label,"odd, name"\r\n'
    b'01,"say ""no"", or",ham,1e5\r\n'
    b'02,"two\nlines",spam,\r\n'
    b"3,'gone',\"spam\",007\r\n"
    b"4.0, na\xc3\xafve \xe6\x98\xa0\xe7\x94\xbb ,ham,NA\r\n"
    b"5,last,spam,-0.0"
)


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


def write_data():
    """Write data, risk tables of them, embeddings, and files that are wrong."""
    texts = [f"the {'bad' if i % 2 else 'good'} film no. {i}" for i in range(12)]
    data = pd.DataFrame({"key": KEYS, "text": texts, "label": LABELS})
    write_frame(data, "data.csv", "data.jsonl", "data.parquet")
    write_frame(data[::-1], "reversed.jsonl")
    typed = {"whole": range(12), "real": np.arange(12) / 4, "yes": [True, False] * 6}
    write_frame(data.assign(**typed), "typed.parquet")
    Path("odd.csv").write_bytes(ODD_ROWS)
    odd_labels = ["ham", "spam", "spam", "ham", "spam"]
    RiskTable([0.5, 0.25, -1, -0.25, 2], odd_labels).to_csv("odd_risk.csv")
    likely = ["ham" if i in (1, 7) else label for i, label in enumerate(LABELS)]
    RiskTable(PSMI, LABELS, text=texts, most_likely_label=likely).to_csv("risk.csv")
    RiskTable(PSMI, LABELS, id=KEYS).to_jsonl("keyed.jsonl")
    RiskTable(np.roll(PSMI, 3), LABELS, text=texts).to_parquet("other.parquet")
    RiskTable(np.arange(5_000), ["x"] * 5_000).to_jsonl("many.jsonl")
    rng = np.random.default_rng(0)
    np.save("X.npy", rng.normal(size=(12, 3)) + np.eye(3)[[0, 1] * 6])
    reviews = load_rotten_tomatoes(40, random_state=0)
    codes, _ = flip_labels(reviews.labels, 0.1, random_state=0)
    label = np.array(reviews.target_names)[codes]
    write_frame(pd.DataFrame({"text": reviews.texts, "label": label}), "reviews.csv")
    write_mistakes(data)


def write_frame(frame, *paths):
    """Write a frame in the formats that the suffixes name."""
    for path in paths:
        if path.endswith("csv"):
            frame.to_csv(path, index=False)
        elif path.endswith("jsonl"):
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.to_parquet(path, index=False)


def write_mistakes(data):
    """Write files that are wrong in one way each."""
    Path("folder.csv").mkdir()
    Path("latin.csv").write_bytes("text,label\ncafé,ham\n".encode("latin-1"))
    Path("empty.csv").touch()
    Path("empty.jsonl").touch()
    Path("header.csv").write_text("key,text,label\n")
    Path("bad.jsonl").write_text('{"text": "a", "label": "ham"}\n{"text"\n')
    Path("ragged.csv").write_text("text,label\na,ham\nb,spam,more\n")
    Path("data.txt").write_text("text\n")
    Path("not.parquet").write_text("text\n")
    write_frame(data.assign(text=["", *data["text"][1:]]), "gap.csv")
    write_frame(data.assign(label=[None, None, *LABELS[2:]]), "no_label.jsonl")
    write_frame(data.assign(label=np.arange(12) / 8), "fraction.jsonl")
    write_frame(data.assign(label="ham"), "one_class.csv")
    write_frame(data.assign(key=[*KEYS[:11], "00"]), "twice.csv")
    write_frame(data.assign(label=LABELS[::-1]), "other_labels.csv")
    write_frame(data.assign(text=data["text"][::-1].tolist()), "other_texts.csv")
    write_frame(data[:11], "short.csv")
    write_frame(data.assign(key=[*KEYS[:11], "new"]), "new_key.csv")
    np.save("short.npy", np.ones((11, 3)))
    np.save("flat.npy", np.ones(12))
    np.save("words.npy", np.array([["a"]] * 12))
    np.save("nan.npy", np.where(np.eye(12, 3), np.nan, 1.0))
    RiskTable(PSMI[:11], LABELS[:11]).to_csv("short_risk.csv")
    risk = pd.DataFrame({"id": range(12), "label": LABELS, "psmi": PSMI})
    write_frame(risk.assign(id=[*range(11), 0]), "twice_risk.csv")
    write_frame(risk.assign(psmi=["much", *PSMI[1:]]), "word_risk.csv")


@pytest.mark.parametrize("path", SESSIONS, ids=lambda path: path.stem)
def test_a_session_goes_as_written(folder, monkeypatch, path):
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
    lines += [f"! {line}" for line in scrubbed(unboxed(err), folder)]
    after = contents(folder)
    changed = sorted(name for name in after if after[name] != before.get(name))
    lines += [f"[exit {codes}]"] * (codes.strip("0 ") != "")
    lines += [f"[wrote {', '.join(changed)}]"] * bool(changed)
    return lines + [f"[deleted {name}]" for name in sorted(before.keys() - after)]


def contents(folder):
    """Give the bytes of each file by its path; None for folders."""
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


def unboxed(text):
    """Give the message that is drawn in a box, if one is."""
    drawn = re.findall(r"^│ (.*?) *│$", text, re.MULTILINE)
    return "\n".join(drawn) or text


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
    numbers = [name for name in ("psmi", "std", "risk") if name in frame]
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
