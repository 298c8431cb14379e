"""One line for each mistake, and nothing left behind."""

import re

import command_line
import numpy as np
import pytest
from command_line import LABELS, RISK, TEXTS, run, write_risk
from table_files import write_columns

folder, rows = command_line.folder, command_line.rows

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
    "two rules": (
        [*FILTER, "--share", 0.1, "--n-remove", 1],
        "--share and --n-remove exc",
    ),
    "share": ([*FILTER, "--share", 1.5], "--share must be a number from 0 to below 1"),
    "too many": (
        [*FILTER, "--n-remove", 5],
        "--n-remove must be at most the 4 rows; got 5",
    ),
    "other length": (
        ["filter", "data.csv", *FILTER[2:]],
        "risk.csv: its ids must be the rows 0 to 19 of data.csv",
    ),
    "ids twice": ([*FILTER, "--risk", "twice.csv"], "rows 0 to 3 of rows.csv, each on"),
    "no table": ([*FILTER, "--risk", "data.csv"], "not a risk table: no column 'id'"),
    "no number": (
        [*FILTER, "--risk", "words.csv"],
        "words.csv: its ids are no row numbers",
    ),
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
