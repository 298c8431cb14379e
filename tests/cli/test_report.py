"""The report command, the report of a scoring, and the review that filter applies."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import LABELS, TEXTS, mistake, read, succeed, write

from smilearn import RiskTable

SCORE = ["--label", "label", "--text", "text", "--embeddings", "X.npy"]
REVIEW = {
    "id": [0, 1, 2, 3],
    "label": ["neg", "pos", "neg", "pos"],
    "action": ["relabel", "drop", "keep", "protect"],
    "new_label": ["pos", "", "", ""],
}


@pytest.fixture
def risk(data):
    """A risk table of the data with a column of its own."""
    frame = pl.read_csv(data).with_columns(part=pl.Series(["a", "b"] * 10))
    frame.write_csv(data)
    succeed("score", data, *SCORE, "--keep", "part", "--out", "risk.csv")
    return "risk.csv"


def data_of(path):
    text = Path(path).read_text(encoding="utf-8")
    start = text.index('id="data">') + len('id="data">')
    return json.loads(text[start : text.index("</script>", start)])


def test_a_scoring_writes_its_report_with_all_facts(data):
    options = ["--out", "risk.csv", "--report", "new/report.html"]
    succeed("score", data, *SCORE, *options)
    page = data_of("new/report.html")
    assert list(page["facts"]) == ["Data", "Cost", "Date", "Versions", "Command"]
    assert page["facts"]["Data"] == "data.csv"
    assert page["facts"]["Versions"].startswith("smilearn ")
    assert page["command"]["start"] == "smilearn filter data.csv --risk risk.csv"
    assert len(page["rows"]["near"]) == 20
    table = RiskTable.read("risk.csv").riskiest()
    assert page["rows"]["id"] == [str(row) for row in table["id"]]


@pytest.mark.parametrize("moment", ["before", "early", "held-out"])
def test_the_report_knows_the_moment_and_its_warnings(data, tiny_encoder, moment):
    columns = ["--label", "label", "--text", "text", "--id", "text"]
    write({"text": [f"{t} {i}" for i, t in enumerate(TEXTS)], "label": LABELS}, data)
    options = ["--model", tiny_encoder, "--moment", moment, "--n-slices", 16]
    options += [] if moment == "before" else ["--max-epochs", 1]
    done = succeed("score", data, *columns, *options, "--report", "r.json")
    page = json.loads(Path("r.json").read_text())
    assert page["facts"]["Model"] == tiny_encoder
    words = {"before": "before any training", "early": "at the early point"}
    assert words.get(moment, "by two fine-tunes") in page["facts"]["Moment"]
    assert (page["curve"] is not None) == (moment == "early")
    warned = [line for line in done.stderr.splitlines() if "warning: " in line]
    for line in warned:
        assert line.partition("warning: ")[2] in page["warnings"]
    assert bool(warned) == (moment == "early")
    assert page["command"]["start"].endswith("data.csv --risk risk.csv --id text")


def test_a_table_alone_gives_what_it_knows(risk):
    done = succeed("report", risk, "--out", "report.html")
    assert done.stdout == "report.html: a report of 20 samples.\n"
    page = data_of("report.html")
    assert page["facts"] == {"Risk table": "risk.csv"}
    assert page["own"] == ["part"]
    assert page["curve"] is None
    assert page["rows"]["text"] == RiskTable.read(risk).riskiest()["text"].tolist()
    succeed("report", risk, "--no-text", "--out", "report.html", "--title", "Mails")
    page = data_of("report.html")
    assert "text" not in page["rows"]
    assert page["title"] == "Mails"


def test_columns_of_the_data_are_matched_by_id(data):
    ids = [f"k{i}" for i in range(20)]
    write(
        {"key": ids, "label": LABELS, "stars": list(range(20)), "x": [None] * 20},
        "d.jsonl",
    )
    table = RiskTable(np.arange(20.0), LABELS, id=ids)
    table.take(np.arange(20)[::-1]).to_parquet("risk.parquet")
    options = ["--data", "d.jsonl", "--id", "key", "--keep", "stars", "--keep", "x"]
    succeed("report", "risk.parquet", *options, "--out", "r.json")
    page = json.loads(Path("r.json").read_text())
    rows = zip(page["rows"]["id"], page["rows"]["own"][0], strict=True)
    assert {*rows} == {(name, i) for i, name in enumerate(ids)}
    assert page["command"]["start"].endswith("d.jsonl --risk risk.parquet --id key")


def test_an_audit_is_evidence(data, risk):
    succeed(
        "audit", data, "--label", "label", "--embeddings", "X.npy", "--out", "audit.csv"
    )
    succeed("report", risk, "--audit", "audit.csv", "--out", "report.html")
    found = data_of("report.html")["audit"]
    assert (found["n_samples"], found["n_top"]) == (20, 2)
    assert 0 <= found["low"] <= found["auc"] <= found["high"] <= 1


def test_markdown_and_json_go_to_standard_output(risk):
    text = succeed("report", risk, "--format", "md").stdout
    assert text.startswith("# Which samples are at risk of being memorized?\n")
    succeed("report", risk, "--out", "report.md")
    assert Path("report.md").read_text(encoding="utf-8") == text
    page = json.loads(succeed("report", risk, "--format", "json").stdout)
    assert page["n_samples"] == 20


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ([], "Name the page to write, with --out report.html."),
        (["--format", "html"], "Name the page to write, with --out report.html."),
        (["--out", "r.txt"], "must end in .html, .md, .json; got '.txt'."),
        (["--out", "r.md", "--format", "json"], "r.md is not --format json; give one"),
        (["--out", "r.md", "--keep", "x"], "--keep, --id and --label are of --data"),
        (["--out", "r.md", "--data", "data.csv", "--keep", "x"], "no column 'x'"),
        (["--out", "r.md", "--audit", "data.csv"], "data.csv: no column 'id'"),
        (["--out", "r.md", "--embeddings", "data.csv"], "not a NumPy array file"),
        (["--out", "risk.csv/r.md"], "is not a folder to write to"),
    ],
)
def test_mistakes_are_lines(risk, options, line):
    assert line in mistake("report", risk, *options)
    assert not Path("r.md").exists()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_review_is_applied_whatever_the_risk(data, risk, suffix):
    rows = {"text": TEXTS, "label": LABELS, "n": [str(i) for i in range(20)]}
    write(rows, f"d{suffix}")
    write(REVIEW, "review.csv")
    out = ["--label", "label", "--out", f"k{suffix}", "--removed", f"g{suffix}"]
    options = ["--risk", risk, "--review", "review.csv", *out]
    done = succeed("filter", f"d{suffix}", *options)
    assert done.stdout == (
        f"k{suffix}: kept 19 of 20 rows, removed 1 (reviewed: 1 keep, 1 relabel, "
        "1 drop, 1 protect).\n"
    )
    kept = read(f"k{suffix}")
    assert kept["n"] == [str(i) for i in range(20) if i != 1]
    assert kept["label"] == ["pos", *LABELS[2:]]
    assert kept["text"] == [TEXTS[0], *TEXTS[2:]]
    assert read(f"g{suffix}")["n"] == ["1"]
    facts = succeed("filter", f"d{suffix}", *options, "--n-remove", 18, "--json").stdout
    facts = json.loads(facts)
    assert facts["reviewed"] == {"keep": 1, "relabel": 1, "drop": 1, "protect": 1}
    assert {0, 2, 3} & {*facts["removed"]} == set()
    assert 1 in facts["removed"]


def test_new_labels_have_the_type_of_the_old(folder):
    labels = [1, 0, 1, 0]
    RiskTable(np.arange(4.0), labels).to_csv("risk.csv")
    write({"id": [3], "action": ["relabel"], "new_label": ["1"]}, "review.csv")
    for suffix in (".parquet", ".jsonl"):
        write({"y": labels, "x": ["a", "b", "c", "é"]}, f"d{suffix}")
        options = ["--risk", "risk.csv", "--review", "review.csv", "--label", "y"]
        succeed("filter", f"d{suffix}", *options, "--out", f"k{suffix}")
        assert read(f"k{suffix}") == {"y": [1, 0, 1, 1], "x": ["a", "b", "c", "é"]}
    lines = Path("d.jsonl").read_bytes().splitlines(keepends=True)
    assert Path("k.jsonl").read_bytes().splitlines(keepends=True)[:3] == lines[:3]


@pytest.mark.parametrize(
    ("changed", "options", "line"),
    [
        ({"action": ["burn"] * 4}, [], "row 0 (counted from 0) has 'burn'"),
        ({"id": [0, 1, 2, 99]}, [], "1 of 4 ids are not in data.csv, such as '99'"),
        ({"id": [0, 1, 2, 2]}, [], "ids must be unique"),
        ({"label": ["pos"] * 4}, [], "other labels"),
        ({}, [], "gives 1 rows a new label: name the column of data.csv"),
        ({"new_label": ["odd", "", "", ""]}, ["--label", "label"], "'odd' is no label"),
        ({"new_label": ["", "", "", ""]}, ["--label", "label"], "and it has none"),
        ({"action": None}, [], "no column 'action'"),
    ],
)
def test_a_wrong_review_is_refused(data, risk, changed, options, line):
    review = {name: v for name, v in (REVIEW | changed).items() if v is not None}
    write(review, "review.csv")
    call = ["filter", data, "--risk", risk, "--review", "review.csv", *options]
    assert line in mistake(*call, "--out", "kept.csv")
    assert not Path("kept.csv").exists()
