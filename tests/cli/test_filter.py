"""The filter command: which rows go, what stays of the others, how much it holds."""

import datetime
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import environment, mistake, read, succeed, write

from smilearn import RiskTable

ROWS = {
    "key": ["01", "02", "3", "4.0"],
    "text": ['say "no", or', "two\nlines", "lone\rreturn", " naïve 映画 "],
    "label": ["x", "y", "y", "x"],
    "odd, name": ["1e5", None, "", "NA"],
}
SCORE = [0.5, 0.25, -0.5, -0.25]
PEAK = """
from pathlib import Path
from smilearn.cli._rows import match, write_rows
data = Path("{data}")
keep = match(data, Path("r.csv"))["id"] % 10 > 0
write_rows(data, {{data.with_stem("k"): keep}})
print(*[line.split()[1] for line in open("/proc/self/status") if "VmHWM" in line])
"""
FILTER = ["--risk", "risk.csv", "--n-remove", 1]


@pytest.fixture(autouse=True)
def risk(folder):
    """Data, and a risk table of them in which row 2 is the riskiest."""
    write(ROWS, "rows.csv")
    RiskTable(SCORE, ROWS["label"]).to_csv("risk.csv")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 3, 1, 0]], ids=["rows", "risk"])
def test_cells_stay_and_go_as_they_are(suffix, order):
    """The ids say which row is which, whatever the order of the risk table."""
    RiskTable(SCORE, ROWS["label"]).take(order).to_parquet("risk.parquet")
    write(ROWS, f"d{suffix}")
    out = ["--out", f"k{suffix}", "--removed", f"new/g{suffix}"]
    options = ["--risk", "risk.parquet", "--label", "label", "--n-remove", 1]
    done = succeed("filter", f"d{suffix}", *options, *out)
    assert done.stdout == f"k{suffix}: kept 3 of 4 rows, removed 1.\n"
    kept = {name: [*cells[:2], cells[3]] for name, cells in ROWS.items()}
    assert read(f"k{suffix}") == kept
    assert read(f"new/g{suffix}") == {name: [cells[2]] for name, cells in ROWS.items()}


def test_lines_of_json_stay_to_the_byte():
    lines = [
        b'\xef\xbb\xbf{"a":1.0e5,  "a": 2}\n',
        b'{"b": "\\u00e9"}\r\n',
        b'{"a":1}\n',
        b"{}",
    ]
    Path("d.jsonl").write_bytes(b"\n".join([lines[0], b"".join(lines[1:])]))
    succeed("filter", "d.jsonl", *FILTER, "--out", "k.jsonl", "--removed", "g.jsonl")
    assert Path("k.jsonl").read_bytes() == b"".join(lines[:2] + lines[3:])
    assert Path("g.jsonl").read_bytes() == lines[2]


def test_types_and_metadata_of_parquet_stay():
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table(
        {
            "n": pyarrow.array([1, None, 3, 4], pyarrow.int8()),
            "c": pyarrow.array(["x", "y", "x", "z"]).dictionary_encode(),
            "t": pyarrow.array([1, 2, 3, 4], pyarrow.timestamp("us", tz="UTC")),
            "v": pyarrow.array(["x", "y", None, ""], pyarrow.string_view()),
            "l": [[1], [], None, [2, 3]],
        }
    ).replace_schema_metadata({"made": "by hand"})
    parquet.write_table(table, "d.parquet")
    succeed("filter", "d.parquet", *FILTER, "--out", "k.parquet")
    kept = pl.read_parquet("k.parquet")
    assert kept.equals(pl.read_parquet("d.parquet")[[0, 1, 3]])
    assert kept.schema == pl.read_parquet_schema("d.parquet")
    assert pl.read_parquet_metadata("k.parquet")["made"] == "by hand"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_all_rows_may_go(suffix):
    write(ROWS, f"d{suffix}")
    options = ["--n-remove", 4, "--min-per-class", 0, "--out", f"k{suffix}"]
    done = succeed("filter", f"d{suffix}", *FILTER, *options, "--json")
    assert json.loads(done.stdout)["removed"] == [0, 1, 2, 3]
    if suffix == ".jsonl":
        assert Path("k.jsonl").read_bytes() == b""
    else:
        assert read(f"k{suffix}") == {name: [] for name in ROWS}


@pytest.mark.parametrize(
    "ids", [["k0", "k1", "k2", "k3"], [7, 5, 6, 4], [0.5, 1.0, 2.0, 3.0]]
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_rows_in_any_order_are_found_by_id(ids, suffix):
    order = [3, 0, 2, 1]
    RiskTable(SCORE, ROWS["label"], id=ids).to_jsonl("r.jsonl")
    write({"k": [ids[i] for i in order]}, f"d{suffix}")
    options = ["--risk", "r.jsonl", "--id", "k", "--n-remove", 1, "--json"]
    done = succeed("filter", f"d{suffix}", *options, "--out", f"k{suffix}")
    assert json.loads(done.stdout)["removed"] == [2]


@pytest.mark.parametrize(
    "labels", [[1, 0, 0, 1], [1.0, 0.0, 0.0, 1.0], [True, False] * 2]
)
def test_labels_are_compared_as_values(labels):
    classes = [int(v) if isinstance(v, float) else v for v in labels]
    RiskTable(SCORE, classes).to_csv("r.csv")
    write({"y": labels}, "d.parquet")
    options = ["--risk", "r.csv", "--label", "y", "--share", 0, "--out", "k.parquet"]
    succeed("filter", "d.parquet", *options)
    write({"y": [labels[1], *labels[1:]]}, "d.parquet")
    assert "in 1 of 4 rows; row 0" in mistake("filter", "d.parquet", *options)


def test_a_mistake_leaves_everything_as_it_was():
    write(ROWS | {"label": ["x", "y", "y", "y"]}, "rows.csv")
    Path("kept.csv").write_text("before")
    before = {path: path.read_bytes() for path in Path().iterdir()}
    options = ["--label", "label", "--out", "kept.csv", "--removed", "new/gone.csv"]
    line = mistake("filter", "rows.csv", *FILTER, *options)
    assert "row 3 (counted from 0) has 'y' in column 'label', 'x' in the table" in line
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_an_error_half_way_leaves_what_was_there():
    Path("d.csv").write_text("a\n1\n2\n3\n4,5\n")
    Path("kept.csv").write_text("before")
    line = mistake("filter", "d.csv", *FILTER, "--out", "kept.csv")
    assert line == "smilearn: d.csv, line 5: 2 fields where the header has 1."
    assert Path("kept.csv").read_text() == "before"
    assert {*map(str, Path().iterdir())} == {
        "d.csv",
        "kept.csv",
        "risk.csv",
        "rows.csv",
    }


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_without_an_amount_unlikely_labels_go(suffix):
    risk = {"id": range(4), "risk": SCORE, "label": ROWS["label"]}
    files = ["rows.csv", "--risk", f"r{suffix}", "--out", "k.csv"]
    write(risk, f"r{suffix}")
    line = mistake("filter", *files)
    assert "no column 'probability'" in line and "--n-remove" in line
    risk["probability"] = [0.01, 0.2, 0.04, 0.9]
    risk["risk"] = -np.log(risk["probability"])
    likely = ["another", ROWS["label"][1], ROWS["label"][2], ROWS["label"][3]]
    write(risk | {"most_likely_label": likely}, f"r{suffix}")
    done = succeed("filter", *files)
    assert "kept 3 of 4 rows, removed 1 (labels of a probability below 5 %" in (
        done.stdout
    )
    assert read("k.csv")["text"] == ROWS["text"][1:]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"risk": [0, 1, None, 3]},
            "'risk' is empty in 1 of 4 rows (counted from 0: 2)",
        ),
        ({"risk": [0, 1, float("nan"), 3]}, "'risk' is empty in 1 of 4 rows"),
        ({"id": ["0", "1", None, "3"]}, "'id' is empty in 1 of 4 rows"),
        ({"id": ["00", "1", "2", "3"]}, "must be the rows 0 to 3 of rows.csv"),
        ({"id": [1, 2, 3, 4]}, "it has 4 ids, such as '1'"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_tables_that_cannot_be_used(columns, message, suffix):
    write(
        {"id": range(4), "risk": SCORE, "label": ROWS["label"]} | columns, f"r{suffix}"
    )
    files = ["rows.csv", "--risk", f"r{suffix}", "--out", "k.csv"]
    line = mistake("filter", *files, "--n-remove", 1)
    assert line.startswith(f"smilearn: r{suffix}: ")
    assert message in line


def test_blank_lines_are_no_rows():
    Path("d.csv").write_text("a,b\n\n1,2\n\n\n3,4\n5,\n7,8\n\n")
    done = succeed("filter", "d.csv", *FILTER, "--out", "k.csv", "--json")
    assert json.loads(done.stdout)["removed"] == [2]
    assert Path("k.csv").read_text() == "a,b\n1,2\n3,4\n7,8\n"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("d.csv", b"a,a\n1,2\n", "two columns share the name 'a'"),
        ("d.csv", b"a\ncaf\xe9\n", "line 2: not UTF-8 text"),
        ("d.jsonl", b'{"a": 1}\n\n{"a"\n', "line 3: not a JSON object"),
        ("d.jsonl", b'{"a": 1}\n[]\n', "line 2: not a JSON object"),
        ("d.jsonl", b'{"a": 1}\n{"a": "caf\xe9"}\n', "line 2: not UTF-8"),
        ("d.parquet", b"PAR1", "cannot be read"),
    ],
)
def test_files_that_cannot_be_read(file, content, message):
    Path(file).write_bytes(content)
    line = mistake("filter", file, *FILTER, "--out", f"k{Path(file).suffix}")
    assert line.startswith(f"smilearn: {file}")
    assert message in line


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_names_of_files_are_not_patterns(suffix):
    write(ROWS, f"d[1]*{suffix}")
    succeed("filter", f"d[1]*{suffix}", *FILTER, "--out", f"k{suffix}")
    assert list(read(f"k{suffix}")) == list(ROWS)


def peak(data, n_rows):
    """Largest memory, in MB, of a process that filters rows of 2,000 characters."""
    frame = pl.DataFrame({"text": [f"{i:02000d}" for i in range(n_rows)]})
    if data.endswith("parquet"):
        frame.write_parquet(data, row_group_size=1000)
    else:
        frame.write_ndjson(data)
    write({"id": range(n_rows), "risk": [0.5] * n_rows, "label": [0] * n_rows}, "r.csv")
    command = [sys.executable, "-c", PEAK.format(data=data)]
    variables = environment(POLARS_MAX_THREADS="1")
    return int(subprocess.check_output(command, env=variables)) / 1000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("data", ["d.jsonl", "d.parquet"])
def test_memory_does_not_grow_with_the_texts(data):
    assert peak(data, 40_000) < peak(data, 10_000) + 45  # of the 60 MB that came on top


@pytest.mark.parametrize("risk", ["r.csv", "r.jsonl", "r.parquet"])
@pytest.mark.parametrize(
    "ids",
    [
        ["01", "1", "1.0", "a"],
        [0.0, 1.0, 2.0, 3.0],
        [1234567.5, 1234568.5, 1234569.5, 1e300],
        [datetime.datetime(2024, 1, day) for day in range(1, 5)],
        [datetime.date(2024, 1, day) for day in range(1, 5)],
    ],
    ids=["strings", "whole floats", "floats", "times", "dates"],
)
def test_a_scored_file_is_filtered_by_its_own_ids(ids, risk):
    pl.DataFrame({"id": ids, "label": list("abab")}).write_parquet("d.parquet")
    np.save("X.npy", np.random.default_rng(0).normal(size=(4, 2)))
    options = ["--label", "label", "--id", "id", "--embeddings", "X.npy"]
    succeed("score", "d.parquet", *options, "--n-slices", 4, "--out", risk)
    rule = ["--risk", risk, "--id", "id", "--label", "label", "--n-remove", 1]
    succeed("filter", "d.parquet", *rule, "--out", "k.parquet")
    kept = pl.read_parquet("k.parquet")["id"].to_list()
    riskiest = RiskTable.read(risk)["rank"].argmin()
    assert kept == [each for place, each in enumerate(ids) if place != riskiest]


def test_a_quote_within_a_cell_is_a_character():
    rows = ["id,text,label", '0,5" pipe,x', "1,b,y", '2,"c, d",x', "3,,y"]
    Path("d.csv").write_text("\n".join(rows))
    RiskTable([0.5, -1, 0.25, 1], list("xyxy")).to_csv("r.csv")
    succeed("filter", "d.csv", "--risk", "r.csv", "--n-remove", 1, "--out", "k.csv")
    assert read("k.csv")["text"] == ['5" pipe', "c, d", None]


@pytest.mark.parametrize("values", [[1, "1", "a"], [True, 1, 2], [[1], 2, 3]])
def test_values_of_several_types_are_not_merged(values):
    rows = [{"id": each, "label": "xyx"[i]} for i, each in enumerate(values)]
    Path("d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    np.save("X.npy", np.eye(3))
    inputs = ["score", "d.jsonl", "--label", "id", "--embeddings", "X.npy"]
    assert "column 'id' holds several types" in mistake(*inputs, "--out", "s.csv")
    RiskTable([0.5, -1, 0.25], list("xyx")).to_csv("r.csv")
    rule = ["--risk", "r.csv", "--id", "id", "--n-remove", 1, "--out", "k.jsonl"]
    assert "column 'id' holds several types" in mistake("filter", "d.jsonl", *rule)
