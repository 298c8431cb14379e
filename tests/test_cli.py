"""The command line: what it writes, what it prints, and one line for each mistake."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from smilearn import SentenceEmbedder, SlicedMIScorer
from smilearn._files import read_columns, write_columns
from smilearn.cli import app

NOUNS = ["film", "movie", "plot", "actor", "scene"]
TEXTS = [f"the {('bad', 'good')[i % 2]} {NOUNS[i % 5]}" + " a" * i for i in range(20)]
LABELS = ["neg", "pos"] * 10
COLUMNS = ["id", "label", "text", "psmi", "std", "risk", "rank", "class_support"]
COLUMNS = [*COLUMNS, "most_likely_label"]
STORED = [*COLUMNS, "schema"]  # in CSV and JSON Lines
SUFFIXES, SLICINGS = [".csv", ".jsonl", ".parquet"], ["isotropic", "joint", "adaptive"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Everything happens in an empty folder, on one thread."""
    monkeypatch.chdir(tmp_path)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(n_threads)


@pytest.fixture
def data(folder):
    write_columns({"text": TEXTS, "label": LABELS}, "data.csv")
    return "data.csv"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def succeed(*arguments):
    """Run a command that must end well; give what it prints."""
    done = run(*arguments)
    assert done.exit_code == 0, (done.stderr, done.exception)
    return done


def score(data, out, *more, moment="before"):
    options = ["--label", "label", "--out", out, "--moment", moment, *more]
    return succeed("score", data, *options)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_scores_before_training_are_those_of_the_library(tiny_encoder, suffix):
    write_columns({"label": LABELS, "n": [1] * 20, "text": TEXTS}, f"data{suffix}")
    done = score(f"data{suffix}", "risk.csv", "--text", "text", "--model", tiny_encoder)
    X = SentenceEmbedder(tiny_encoder).fit_transform(TEXTS)
    scorer = SlicedMIScorer(random_state=0).fit(X, LABELS)
    risk = read_columns("risk.csv")
    assert list(risk) == STORED
    assert (risk["text"], risk["label"]) == (TEXTS, LABELS)
    assert risk["id"] == [str(i) for i in range(20)]
    found = {name: np.array(risk[name], float) for name in ("psmi", "std", "risk")}
    np.testing.assert_allclose(found["psmi"], scorer.scores_, atol=1e-6)
    np.testing.assert_allclose(found["std"], scorer.scores_std_, atol=1e-6)
    np.testing.assert_array_equal(found["risk"], -found["psmi"])
    order = np.argsort(np.array(risk["rank"], int))
    assert (np.diff(found["risk"][order]) <= 0).all()
    n_below = (found["psmi"] < 0).sum()
    assert done.stdout.startswith(f"risk.csv: 20 samples, {n_below} below 0 nats; ")
    assert done.stderr == ""


@pytest.mark.parametrize(("suffix", "slicing"), [*zip(SUFFIXES, SLICINGS, strict=True)])
def test_scores_of_embeddings(data, suffix, slicing):
    X = np.random.default_rng(0).normal(size=(20, 3))
    np.save("X.npy", X)
    options = ("--embeddings", "X.npy", "--n-slices", 16, "--slicing", slicing)
    done = score(data, f"new/risk{suffix}", *options)
    risk = read_columns(f"new/risk{suffix}")
    names = COLUMNS if suffix == ".parquet" else STORED
    assert list(risk) == [name for name in names if name != "text"]
    scorer = SlicedMIScorer(16, slicing=slicing, random_state=0).fit(X, LABELS)
    np.testing.assert_allclose(np.float64(risk["psmi"]), scorer.scores_, atol=1e-6)
    assert f"; slices: {scorer.n_slices_}, reliability " in done.stdout
    score(data, "t.jsonl", *options, "--text", "text")
    assert read_columns("t.jsonl")["text"] == TEXTS


def test_early_scores_warn_in_lines_and_print_json(data, tiny_encoder):
    options = ("--text", "text", "--model", tiny_encoder, "--max-epochs", 2, "--json")
    done = score(data, "risk.jsonl", *options, moment="early")
    facts = json.loads(done.stdout)
    assert facts["out"] == "risk.jsonl"
    assert (facts["n_samples"], facts["n_classes"]) == (20, 2)
    assert (facts["model"], facts["early_point_reached"]) == (tiny_encoder, False)
    assert [entry["step"] for entry in facts["history"]] == [0, 1, 2]
    [line] = done.stderr.splitlines()
    assert line.startswith("smilearn: warning: max_epochs=2 passed before the early")
    risk = read_columns("risk.jsonl")
    assert list(risk) == STORED
    assert facts["n_below_zero"] == sum(value < 0 for value in risk["psmi"])
    again = score(data, "again.jsonl", *options, moment="early")
    assert json.loads(again.stdout) == {**facts, "out": "again.jsonl"}
    assert read_columns("again.jsonl") == risk
    score(data, "other.jsonl", *options, "--seed", 1, moment="early")
    assert read_columns("other.jsonl")["psmi"] != risk["psmi"]


def test_warning_of_cut_texts_is_a_line(tiny_encoder):
    write_columns({"t": [*TEXTS, "a " * 99], "label": [*LABELS, "pos"]}, "data.csv")
    done = score("data.csv", "r.csv", "--text", "t", "--model", tiny_encoder)
    [line] = done.stderr.splitlines()
    assert line.startswith("smilearn: warning: 1 of 21 texts are longer than the 64")


ROWS = [["01", 'say "no", or', "x", "1e5"], ["02", "two\nlines", "y", ""]]
ROWS += [["3", "gone", "y", "gone"], ["4.0", " naïve 映画 ", "x", "NA"]]
RISK = {"id": [0, 1, 2, 3], "label": list("xyyx"), "psmi": [0.5, 0.25, -0.5, -0.25]}


def write_risk(path, order=(0, 1, 2, 3)):
    columns = {**RISK, "risk": [-value for value in RISK["psmi"]]}
    write_columns({n: [v[i] for i in order] for n, v in columns.items()}, path)


@pytest.fixture
def rows():
    names = ["key", "text", "label", "odd, name"]
    write_columns(dict(zip(names, zip(*ROWS, strict=True), strict=True)), "rows.csv")
    write_risk("risk.csv")
    return names


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 3, 1, 0)], ids=["rows", "risk"])
def test_filter_keeps_cells_and_columns_as_they_are(rows, suffix, order):
    """The risk table may have been sorted by risk: its ids say what is what."""
    write_risk(f"sorted{suffix}", order)
    options = ("--risk", f"sorted{suffix}", "--n-remove", 1)
    done = succeed("filter", "rows.csv", *options, "--out", "kept.csv")
    assert done.stdout == "kept.csv: kept 3 of 4 rows, removed 1.\n"
    cells = [ROWS[i] for i in (0, 1, 3)]
    with Path("kept.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [rows, *cells]
    succeed("filter", "rows.csv", *options, "--out", f"kept{suffix}")
    columns = map(list, zip(*cells, strict=True))
    assert read_columns(f"kept{suffix}") == dict(zip(rows, columns, strict=True))


def test_filter_keeps_types(rows):
    table = {"b": [True, None, False, True], "n": [1, 2, 3, 4], "x": [None, 1, 0.5, 2]}
    table |= {"label": [row[2] for row in ROWS]}
    write_columns(table, "rows.parquet")
    options = ("--risk", "risk.csv", "--threshold", 0.3, "--out", "kept.parquet")
    succeed("filter", "rows.parquet", *options)
    expected = {"b": [True, None, True], "n": [1, 2, 4], "x": [None, 1, 2]}
    expected |= {"label": [ROWS[i][2] for i in (0, 1, 3)]}
    assert read_columns("kept.parquet") == expected


@pytest.mark.parametrize(
    ("rule", "removed"),
    [
        ([], [2, 3]),
        (["--share", 0.25], [2]),
        (["--threshold", 0.25], [2]),
        (["--threshold", 0.2], [2, 3]),
        (["--n-remove", 2], [2, 3]),
        (["--n-remove", 1, "--by-class"], [2, 3]),
        (["--share", 0.25, "--by-class"], []),
    ],
)
def test_filter_prints_json(rows, rule, removed):
    options = ("--risk", "risk.csv", "--out", "k.csv", "--json")
    done = succeed("filter", "rows.csv", *options, *rule)
    facts = {"out": "k.csv", "n_kept": 4 - len(removed), "removed": removed}
    assert json.loads(done.stdout) == facts
    left = [row[0] for i, row in enumerate(ROWS) if i not in removed]
    assert read_columns("k.csv")["key"] == left


def test_filter_warns_in_a_line(rows):
    options = ("--n-remove", 3, "--min-per-class", 2, "--risk", "risk.csv")
    done = succeed("filter", "rows.csv", *options, "--out", "kept.csv")
    line = "smilearn: warning: min_per_class=2 kept samples at risk in the classes x, y"
    assert done.stderr == f"{line}.\n"


def test_scores_can_be_filtered_right_away(data, tiny_encoder):
    score(data, "risk.parquet", "--text", "text", "--model", tiny_encoder)
    options = ("--risk", "risk.parquet", "--share", 0.2, "--out", "kept.csv")
    succeed("filter", data, *options)
    risk = pd.read_parquet("risk.parquet")
    kept = risk[risk["rank"] > 4]
    assert read_columns("kept.csv")["text"] == kept["text"].tolist()


SCORE = ["score", "data.csv", "--label", "label", "--out", "new/out.csv"]
TEXT = [*SCORE, "--text", "text"]
FILTER = ["filter", "rows.csv", "--risk", "risk.csv", "--out", "new/out.csv"]
MISTAKES = {
    "label column": ([*TEXT, "--label", "labl"], "'labl'; columns are: text, label"),
    "text column": ([*SCORE, "--text", "txt"], "no column 'txt'; columns are: text"),
    "no text": (SCORE, "with --text"),
    "empty text": (
        [*TEXT, "--text", "gap"],
        r"'gap' is empty in 2 of 20 rows .*: 3, 4",
    ),
    "empty label": ([*TEXT, "--label", "gap"], "column 'gap' is empty in 2 of 20 rows"),
    "one class, before": ([*TEXT, "--label", "one", "--moment", "before"], "2 classes"),
    "one class, early": ([*TEXT, "--label", "one"], r"2 classes .* \['x'\] only"),
    "no file": (["score", "none.csv", *TEXT[2:]], "none.csv: no such file"),
    "a folder": (["score", "folder.csv", *TEXT[2:]], "folder.csv: a folder"),
    "latin-1": (["score", "latin.csv", *TEXT[2:]], "latin.csv: not UTF-8 text"),
    "broken": (["score", "bad.jsonl", *TEXT[2:]], "bad.jsonl, line 1: not JSON"),
    "suffix": (["score", "data.txt", *TEXT[2:]], r"must end in \.csv.* got '\.txt'"),
    "out suffix": ([*TEXT, "--out", "out.xls"], r"out\.xls: files must end .* '\.xls'"),
    "model": ([*TEXT, "--model", "nowhere"], "No model 'nowhere'"),
    "folder of a model": ([*TEXT, "--model", "./no/model"], "No folder './no/model'"),
    "no npy": ([*SCORE, "--embeddings", "no.npy"], "no.npy: not a NumPy array file"),
    "bad npy": ([*SCORE, "--embeddings", "data.csv"], "data.csv: not a NumPy array fi"),
    "rows": ([*SCORE, "--embeddings", "19.npy"], r"expected 20 rows .* \(19, 2\)"),
    "shape": ([*SCORE, "--embeddings", "20.npy"], r"expected 20 rows .* \(20,\)"),
    "nan": ([*SCORE, "--embeddings", "nan.npy"], "holds NaN or infinity in 20 rows"),
    "two rules": ([*FILTER, "--share", 0.1, "--n-remove", 1], "--share and --n-remove exc"),
    "share": ([*FILTER, "--share", 1.5], "--share must be a number from 0 to below 1"),
    "too many": ([*FILTER, "--n-remove", 5], "--n-remove must be at most the 4 rows; got 5"),
    "other length": (["filter", "data.csv", *FILTER[2:]], "risk.csv: its ids must be the rows 0 to 19 of data.csv"),
    "ids twice": ([*FILTER, "--risk", "twice.csv"], "rows 0 to 3 of rows.csv, each on"),
    "no table": ([*FILTER, "--risk", "data.csv"], "not a risk table: no column 'id'"),
    "no number": ([*FILTER, "--risk", "words.csv"], "words.csv: its ids are no row numbers"),
    "no risk file": ([*FILTER, "--risk", "none.csv"], "none.csv: no such file"),
    "no rule of a class": (
        [*FILTER, "--n-remove", 3, "--by-class"],
        "at most the 2 rows of class x; got 3",
    ),
    "zero counts": ([*FILTER, "--share", 0, "--threshold", 0], "exclude each other"),
    "threshold": ([*FILTER, "--threshold", "nan"], "--threshold must be a finite nu"),
    "min per class": ([*FILTER, "--min-per-class", -1], "--min-per-class must be 0 or"),
    "removed is kept": ([*FILTER, "--removed", "new/out.csv"], "is the same file as"),
    "removed suffix": ([*FILTER, "--removed", "gone"], "gone: files must end in"),
    "slices": ([*TEXT, "--n-slices", 0], "--n-slices must be 1 or more; got 0"),
    "epochs": ([*TEXT, "--max-epochs", 0], "--max-epochs must be 1 or more; got 0"),
    "rate": ([*TEXT, "--learning-rate", "nan"], "--learning-rate must be a number a"),
    "seed": ([*TEXT, "--seed", -1], "--seed must be 0 or more; got -1"),
    "ids of score": ([*TEXT, "--id", "label"], "'neg' in row 0 and in row 2 "),
    "no data": (["score", *TEXT[2:]], "Name a data file"),
    "data twice": ([*TEXT, "--stdin"], r"data\.csv and --stdin exclude"),
    "format": ([*TEXT, "--format", "csv"], "--format is that of standard input"),
    "two voices": ([*TEXT, "--quiet", "--json"], "--quiet and --json exclude"),
    "json and table": ([*TEXT, "--out", "-", "--json"], "name a file with --out"),
    "demo samples": (["demo", "--n-samples", 39], "--n-samples must be 40 or more"),
    "demo folder": (["demo", "--out", "data.csv"], "data.csv is not a folder"),
    "table head": (["table", "risk.csv", "--head", -1], "--head must be 0 or more"),
    "table quiet": (["table", "risk.csv", "--quiet"], "name a file with --out"),
    "table groups": (
        ["table", "risk.csv", "--by", "label", "--by-class"],
        "--by and --by-class exclude",
    ),
    "table sorted groups": (
        ["table", "risk.csv", "--by-class", "--sort", "id"],
        "--by-class and --sort exclude",
    ),
    "table column": (["table", "risk.csv", "--by", "no"], "no column 'no' for --by"),
    "table over itself": (["table", "risk.csv", "--out", "risk.csv"], "same file"),
    "no risk table": (["table", "data.csv"], "no column 'psmi'"),
    "other samples": (
        ["table", "risk.csv", "--compare", "short.csv"],
        r"risk\.csv, short\.csv: ",
    ),
    "filter suffix": ([*FILTER, "--out", "out"], "out: files must end in"),
}


@pytest.mark.parametrize(("command", "match"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(
    folder, rows, tiny_encoder, command, match
):
    gap = ["x", "y", "x", "", "", *"xy" * 7, "x"]
    columns = {"text": TEXTS, "label": LABELS, "gap": gap, "one": ["x"] * 20}
    write_columns(columns, "data.csv")
    (folder / "folder.csv").mkdir()
    (folder / "latin.csv").write_bytes("text,label\ncafé,x\n".encode("latin-1"))
    (folder / "bad.jsonl").write_text("text\n")
    for name, array in [("19", np.eye(19, 2)), ("20", np.ones(20))]:
        np.save(name, array)
    np.save("nan", np.full((20, 2), np.nan))
    write_risk("twice.csv", (0, 1, 2, 2))
    write_columns({**RISK, "id": list("abcd")}, "words.csv")
    write_risk("short.csv", (0, 1, 2))
    before = sorted(folder.rglob("*"))
    if command[0] == "score" and not {"--model", "--embeddings"} & set(command):
        command = [*command, "--model", tiny_encoder]
    done = run(*command)
    assert (done.exit_code, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("smilearn: ")
    assert re.search(match, line)
    assert sorted(folder.rglob("*")) == before


def python_m_smilearn(*arguments):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environment.pop("TQDM_DISABLE", None)
    return subprocess.run(
        [sys.executable, "-m", "smilearn", *arguments],
        capture_output=True,
        text=True,
        env=environment,
    )


def test_help_names_the_commands():
    done = python_m_smilearn("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("score", "filter", "table", "demo"):
        assert f" {command} " in done.stdout


@pytest.mark.parametrize(
    "moment", [pytest.param("before", marks=pytest.mark.slow), "early"]
)
def test_a_pipe_gets_no_progress_bars(data, tiny_encoder, moment):
    options = ["--label", "label", "--text", "text", "--model", tiny_encoder, "--json"]
    options += ["--moment", moment, "--max-epochs", "1"]
    done = python_m_smilearn("score", data, "--out", "risk.csv", *options)
    assert done.returncode == 0
    assert json.loads(done.stdout)["n_samples"] == 20
    lines = done.stderr.splitlines()
    assert len(lines) == (moment == "early")
    assert all(line.startswith("smilearn: warning: max_epochs=1") for line in lines)
