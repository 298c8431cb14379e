"""The command line: what it writes, what it prints, and one line for each mistake."""

import csv
import json
from pathlib import Path

import command_line
import numpy as np
import pandas as pd
import pytest
from command_line import LABELS, ROWS, TEXTS, succeed, write_risk
from table_files import read_columns, write_columns

from smilearn import SentenceEmbedder, SlicedMIScorer

data, folder, rows = command_line.data, command_line.folder, command_line.rows

COLUMNS = ["id", "label", "text", "psmi", "std", "risk", "rank", "class_support"]
COLUMNS = [*COLUMNS, "most_likely_label"]
STORED = [*COLUMNS]  # in CSV and JSON Lines
SUFFIXES, SLICINGS = [".csv", ".jsonl", ".parquet"], ["isotropic", "joint", "adaptive"]


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
