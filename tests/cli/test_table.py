"""The table command: orders, groups, comparisons, and how they are shown."""

import io
import json

import numpy as np
import pytest
from command_line import mistake, read, succeed
from rich.console import Console

from smilearn import RiskTable
from smilearn.cli import _terminal

IDS, LABELS = [10, 9, 7, 8], list("yxxy")
TEXTS = ["a\nb", "[red]<b>\x1b[31m", "c" * 99, "映画"]
SCORE = [0.5, -1.0, 0.25, -0.125]
PROBABILITY = [0.75, 0.25, 0.5, 0.125]
SHOWN = """\
id  label  text                                                          risk    probability  rank  class_support
 9  x      [red]<b>\\x1b[31m                                               1.000        0.250     1              2
 8  y      映画                                                             0.125        0.125     2              2
 7  x      ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc…  -0.250        0.500     3              2
10  y      a b                                                           -0.500        0.750     4              2
"""  # noqa: E501


@pytest.fixture(autouse=True)
def risk(folder):
    table = RiskTable(SCORE, LABELS, probability=PROBABILITY, text=TEXTS, id=IDS)
    table.to_csv("risk.csv")
    RiskTable([-2, 0.25, -1, 3], LABELS, id=IDS).to_parquet("other.parquet")
    return table


def test_a_pipe_gets_aligned_lines_riskiest_first():
    assert succeed("table", "risk.csv").stdout == SHOWN
    head = succeed("table", "risk.csv", "--head", 2).stdout
    assert [line.split()[0] for line in head.splitlines()] == ["id", "9", "8"]


@pytest.mark.parametrize(
    ("sort", "ids"),
    [
        ("risk", [9, 8, 7, 10]),
        ("probability", [8, 9, 7, 10]),
        ("rank", [9, 8, 7, 10]),
        ("id", [7, 8, 9, 10]),
        ("label", [9, 7, 10, 8]),
    ],
)
def test_rows_are_sorted(sort, ids):
    done = succeed("table", "risk.csv", "--sort", sort, "--json")
    facts = json.loads(done.stdout)
    assert [row["id"] for row in facts["rows"]] == ids
    assert facts["n_rows"] == 4
    assert facts["rows"][ids.index(10)]["text"] == "a\nb"


def test_groups_have_a_row_each():
    for option in (["--by-class"], ["--by", "label"]):
        facts = json.loads(succeed("table", "risk.csv", *option, "--json").stdout)
        rows = facts["rows"]
        assert [row["group"] for row in rows] == ["x", "y"]
        assert [row["mean_risk"] for row in rows] == [0.375, -0.1875]
        assert [row["n_samples"] for row in rows] == [2, 2]


def test_a_comparison_says_how_far_tables_agree():
    options = ["--compare", "other.parquet"]
    first, _, *lines = succeed("table", "risk.csv", *options).stdout.splitlines()
    assert first == (
        "rank correlation -0.800; of the riskiest tenth of risk.csv, 0% are among the "
        "riskiest tenth of other.parquet."
    )  # ranks 4 1 3 2 and 1 3 2 4: 1 - 6 * (9 + 4 + 1 + 4) / (4 * 15) = -0.8
    assert [line.split()[0] for line in lines] == ["8", "10", "9", "7"]
    facts = json.loads(succeed("table", "risk.csv", *options, "--json").stdout)
    assert facts["overlap"] == 0
    assert [row["change"] for row in facts["rows"]] == [-3.125, 2.5, -1.25, 1.25]
    done = succeed("table", "risk.csv", *options, "--sort", "id", "--out", "c.csv")
    assert done.stdout.startswith("c.csv: 4 of 4 rows; rank correlation -0.")
    assert read("c.csv")["id"] == ["7", "8", "9", "10"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_rows_are_written_and_read_again(risk, suffix):
    options = ["--sort", "id", "--head", 3, "--out", f"new/t{suffix}"]
    done = succeed("table", "risk.csv", *options)
    assert done.stdout == f"new/t{suffix}: 3 of 4 rows.\n"
    found = RiskTable.read(f"new/t{suffix}")
    assert not found.is_whole
    for name in risk.columns:
        np.testing.assert_array_equal(found[name], risk.take([2, 3, 1])[name])
    done = succeed("table", "risk.csv", *options, "--json")
    facts = {"out": f"new/t{suffix}", "n_written": 3, "n_rows": 4}
    assert json.loads(done.stdout) == facts


def test_a_terminal_gets_a_drawn_table_without_effects(risk, monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(file, "isatty", lambda: True)
    monkeypatch.setattr(_terminal.sys, "stdout", file)
    monkeypatch.setattr(
        _terminal, "Console", lambda: Console(file=file, width=150, color_system=None)
    )
    _terminal.print_table(risk.riskiest().frame, 4, most=2)
    drawn = file.getvalue()
    assert "│  9 │ x     │ [red]<b>\\x1b[31m │ 1.000 │" in drawn
    assert "\x1b" not in drawn
    assert drawn.count("\n│") == 2
    assert "2 of 4 rows; --head N shows more, --out FILE writes them." in drawn


def test_rows_and_columns_are_chosen():
    shown = succeed("table", "risk.csv", "--where", "label=y", "--columns", "id, risk")
    assert [line.split() for line in shown.stdout.splitlines()] == [
        ["id", "risk"],
        ["8", "0.125"],
        ["10", "-0.500"],
    ]
    both = succeed("table", "risk.csv", "--where", "label=y", "--where", "id=8")
    assert len(both.stdout.splitlines()) == 2
    done = succeed("table", "risk.csv", "--per-class", 1, "--json")
    assert [row["id"] for row in json.loads(done.stdout)["rows"]] == [9, 8]
    options = ["--where", "label=y", "--per-class", 1, "--json"]
    done = succeed("table", "risk.csv", *options)
    assert [row["id"] for row in json.loads(done.stdout)["rows"]] == [8]
    for options, message in (
        (["--where", "label"], "takes COLUMN=VALUE"),
        (["--where", "label=z"], "no row has 'z' in column 'label'"),
        (["--where", "other=z"], "no column 'other'"),
        (["--columns", "id,other"], "no column 'other'"),
        (["--where", "label=y", "--compare", "other.parquet"], "exclude each other"),
    ):
        assert message in mistake("table", "risk.csv", *options)


def test_long_texts_are_cut_to_a_line_on_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setattr(_terminal, "Console", lambda: Console(width=80))
    rows = [[1, "3.000", "word " * 60], [2, "2.000", "short"]]
    _terminal.draw(["rank", "risk", "text"], rows, {"rank", "risk"})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert max(map(len, lines)) <= 80
    assert "3.000" in lines[3]
