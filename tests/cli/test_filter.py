"""The filter command: which rows go, which bytes stay, and how much it holds."""

import json
import tracemalloc
from pathlib import Path

import command_line
import numpy as np
import pytest
from command_line import run, succeed
from table_files import read_columns, write_columns

from smilearn import RiskTable
from smilearn.cli._filter import FilterJob
from smilearn.cli._terminal import Voice
from smilearn.tables import _row_streams

folder, rows = command_line.folder, command_line.rows
NO_RULE = {"share": None, "threshold": None, "n_remove": None}
NO_RULE |= {"by_class": False, "min_per_class": 1}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("n_rows", [1, 2, 4096])
def test_kept_and_removed_rows_are_all_rows(rows, monkeypatch, suffix, n_rows):
    monkeypatch.setattr(_row_streams, "_MOST_ROWS", n_rows)
    options = ["--risk", "risk.csv", "--n-remove", 2, "--out", "kept.csv"]
    succeed("filter", "rows.csv", *options, "--removed", f"gone{suffix}")
    assert read_columns("kept.csv")["key"] == ["01", "02"]
    gone = read_columns(f"gone{suffix}")
    assert gone["key"] == ["3", "4.0"]
    assert gone["odd, name"] == ["gone", "NA"]


def test_lines_stay_as_they_are_to_the_byte(rows):
    lines = [b"\xef\xbb\xbfkey,label\r\n", b'"1",x\r\n', b'"a\r\nb","y"\r\n']
    lines += [b" 3,y\r\n", b"4,'x'\r\n", b"5,x"]
    Path("d.csv").write_bytes(b"".join(lines))
    RiskTable([5, 4, -3, 2, 1], [*list("xyy"), "'x'", "x"]).to_parquet("r.parquet")
    options = ["--risk", "r.parquet", "--n-remove", 1, "--out", "k.csv"]
    succeed("filter", "d.csv", *options, "--removed", "g.csv")
    del lines[3]
    assert Path("k.csv").read_bytes() == b"".join(lines)
    assert Path("g.csv").read_bytes() == lines[0] + b" 3,y\r\n"


def test_rows_in_another_order_than_the_table_go_by_id(rows):
    order = [3, 0, 2, 1]
    keys = np.array(["k0", "k1", "k2", "k3"])
    labels = np.array(list("xyyx"))
    RiskTable([0.5, 0.25, -0.5, -0.25], labels, id=keys).to_jsonl("r.jsonl")
    write_columns({"k": keys[order], "y": labels[order]}, "d.parquet")
    options = ["--risk", "r.jsonl", "--id", "k", "--n-remove", 1, "--json"]
    done = succeed("filter", "d.parquet", *options, "--out", "k.csv")
    assert json.loads(done.stdout)["removed"] == [2]
    assert read_columns("k.csv") == {"k": ["k3", "k0", "k1"], "y": ["x", "x", "y"]}


def test_a_table_of_other_data_leaves_everything_as_it_was(rows):
    changed = read_columns("rows.csv")
    changed["label"][3] = "y"
    write_columns(changed, "rows.csv")
    Path("kept.csv").write_text("before")
    before = {path: path.read_bytes() for path in Path().iterdir()}
    options = ["--risk", "risk.csv", "--out", "kept.csv", "--removed", "new/gone.csv"]
    done = run("filter", "rows.csv", *options)
    assert done.exit_code == 2
    assert "nearest differs in row 3 " in done.stderr
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def peak(n_rows, out):
    """Largest memory, in bytes, while rows of 2,000 characters are filtered."""
    write_columns(
        {
            "text": [f"{i:02000d}" for i in range(n_rows)],
            "label": ["x", "y"] * (n_rows // 2),
        },
        "d.csv",
    )
    RiskTable(np.arange(n_rows), ["x", "y"] * (n_rows // 2)).to_csv("r.csv")
    job = FilterJob(
        Path("d.csv"), Path("r.csv"), Path(out), rule={**NO_RULE, "share": 0.1}
    )
    tracemalloc.start()
    try:
        facts = job.run(Voice(quiet=True).warnings)
        return facts["n_kept"], tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("out", ["k.csv", "k.jsonl"])
def test_memory_does_not_grow_with_the_texts(out):
    peak(4, out)  # what is loaded and cached once
    n_kept, small = peak(4_000, out)
    assert n_kept == 3_600
    n_kept, large = peak(16_000, out)
    assert n_kept == 14_400
    assert large < small + 5_000_000 < 16_000 * 2_000  # of the 24 MB that came on top
