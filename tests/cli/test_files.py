"""Files as people have them: read, or refused with a line that says what to do."""

import datetime
import gzip
import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from command_line import LABELS, TEXTS, mistake, read, run, succeed, write
from pyarrow import parquet

from smilearn import RiskTable

SCORE = ["--label", "label", "--embeddings", "X.npy", "--n-slices", 4]
RULE = ["--risk", "r.csv", "--share", "5%"]


@pytest.fixture(autouse=True)
def risk(data):
    """A risk table of the data."""
    RiskTable(np.arange(20.0), LABELS).to_csv("r.csv")


def rows_with(delimiter, header=("text", "label")):
    rows = zip(TEXTS, LABELS, strict=True)
    return "".join(f"{delimiter.join(row)}\n" for row in (header, *rows))


def test_views_of_arrow():
    columns = {"text": TEXTS, "label": LABELS, "id": [f"k{i}" for i in range(20)]}
    views = {n: pa.array(values, pa.string_view()) for n, values in columns.items()}
    views |= {"raw": pa.array([b"a", b"b"] * 10, pa.binary_view())}
    parquet.write_table(pa.table(views), "v.parquet")
    options = [*SCORE, "--id", "id", "--text", "text"]
    succeed("score", "v.parquet", *options, "--out", "s.parquet")
    found = RiskTable.read("s.parquet")
    assert {n: found[n].tolist() for n in columns} == columns
    rule = ["--risk", "s.parquet", "--id", "id", "--n-remove", 0]
    succeed("filter", "v.parquet", *rule, "--out", "k.parquet")
    assert pl.read_parquet("k.parquet").equals(pl.read_parquet("v.parquet"))
    views["risk"] = np.arange(20.0)
    parquet.write_table(pa.table(views), "t.parquet")
    assert "\nk19  pos " in succeed("table", "t.parquet", "--head", 1).stdout
    line = mistake("score", "v.parquet", *SCORE, "--id", "raw", "--out", "x.csv")
    assert "column 'raw' holds Binary" in line


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([datetime.date(2024, 1, 1)] * 20, "Date"),
        (pl.Series(["1.10"] * 20).cast(pl.Decimal(9, 2)), "Decimal"),
        (pl.Series([0] * 20).cast(pl.Datetime("us", "UTC")), "Datetime"),
        ([float("inf"), 1.0] * 10, "Float64"),
        (pl.Series([10**30] * 20, dtype=pl.Int128), "Int128"),
    ],
)
def test_labels_of_other_types_are_named(values, kind):
    pl.DataFrame({"label": values}).write_parquet("d.parquet")
    line = mistake("score", "d.parquet", *SCORE, "--out", "x.csv")
    assert f"strings or whole numbers; column 'label' holds {kind}" in line


@pytest.mark.parametrize("out", ["s.csv", "s.jsonl", "s.parquet"])
@pytest.mark.parametrize(
    "ids",
    [
        pl.Series([f"{i}.10" for i in range(20)]).cast(pl.Decimal(9, 2)),
        pl.Series(range(20)).cast(pl.Datetime("us", "Europe/Berlin")),
        pl.Series([10**30 + i for i in range(20)], dtype=pl.Int128),
    ],
    ids=["decimals", "times of a zone", "large"],
)
def test_ids_of_any_type_find_their_rows(ids, out):
    pl.DataFrame({"label": LABELS, "id": ids}).write_parquet("d.parquet")
    succeed("score", "d.parquet", *SCORE, "--id", "id", "--out", out)
    rule = ["--risk", out, "--id", "id", "--n-remove", 1, "--json"]
    done = succeed("filter", "d.parquet", *rule, "--out", "k.parquet")
    riskiest = RiskTable.read(out)["rank"].argmin()
    assert json.loads(done.stdout)["removed"] == [riskiest]


def test_formats_are_not_changed_and_columns_are_named():
    days = [datetime.date(2024, 1, 1)] * 20
    pl.DataFrame({"label": LABELS, "day": days}).write_parquet("d.parquet")
    line = mistake("filter", "d.parquet", *RULE, "--out", "k.jsonl")
    assert "rows stay in the format of d.parquet; end the name in .parquet" in line


def test_a_name_that_is_nearly_there_is_suggested():
    Path("d.csv").write_text(rows_with(",", ("text", " Label")))
    line = mistake("score", "d.csv", *SCORE, "--out", "x.csv")
    assert line.endswith(
        "no column 'label'; columns are: text, Label. Did you mean ' Label'?"
    )


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters(delimiter):
    Path("d.csv").write_text(rows_with(delimiter) + f"a, b, c{delimiter}neg\n")
    np.save("X.npy", np.random.default_rng(0).normal(size=(21, 3)))
    shown = r"\t" if delimiter == "\t" else delimiter
    for command in (["score", "d.csv", *SCORE], ["audit", "d.csv", *SCORE[:4]]):
        assert f"--delimiter '{shown}'" in mistake(*command, "--out", "x.csv")
    options = ["--delimiter", shown]
    succeed("score", "d.csv", *SCORE, *options, "--text", "text", "--out", "s.csv")
    assert RiskTable.read("s.csv")["text"].tolist() == [*TEXTS, "a, b, c"]
    rule = ["--risk", "s.csv", "--n-remove", 0, "--label", "label"]
    succeed("filter", "d.csv", *rule, *options, "--out", "k.csv")
    assert Path("k.csv").read_bytes() == Path("d.csv").read_bytes()
    stdin = Path("d.csv").read_bytes()
    succeed("score", "-", "--format", "csv", *SCORE, *options, stdin=stdin)


def test_options_of_csv_are_of_csv():
    write({"label": LABELS}, "d.jsonl")
    for options in (["--delimiter", ";"], ["--safe-csv", "--out", "x.jsonl"]):
        line = mistake("score", "d.jsonl", *SCORE, *options)
        assert f"{options[0]} is of CSV, which " in line
    assert "not one character" in mistake(
        "score", "data.csv", *SCORE, "--delimiter", "é"
    )


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_names_the_line(encoding):
    content = (rows_with(",") + "é,pos\n").encode(encoding)
    Path("d.csv").write_bytes(content)
    Path("d.jsonl").write_bytes(
        b'{"label": "a"}\n' + '{"label": "é"}\n'.encode(encoding)
    )
    for name, line in (("d.csv", 22), ("d.jsonl", 2)):
        line = 1 if (name, encoding) == ("d.csv", "utf-16") else line
        for command in (["score", name, *SCORE], ["filter", name, *RULE]):
            error = mistake(*command, "--out", f"x{Path(name).suffix}")
            assert error.startswith(f"smilearn: {name}, line {line}: not UTF-8 text.")
            assert "iconv" in error


@pytest.mark.parametrize("name", ["data.csv.gz", "data.jsonl.gz"])
def test_packed_files_are_refused_with_what_to_do(name):
    with gzip.open(name, "wb") as file:
        file.write(Path("data.csv").read_bytes())
    for command in (["score", name, *SCORE], ["filter", name, *RULE, "--out", "k.csv"]):
        assert f"Unpack it first: gunzip -k {name}" in mistake(*command)


@pytest.mark.parametrize(("share", "n"), [("0.15", 3), ("15%", 3), ("0%", 0), ("0", 0)])
def test_a_share_is_a_number_or_per_cent(share, n):
    rule = ["--risk", "r.csv", "--share", share, "--out", "k.csv"]
    assert f"removed {n}.\n" in succeed("filter", "data.csv", *rule).stdout


@pytest.mark.parametrize("share", ["5", "100%", "-1%", "5%%", "nan", "few"])
def test_other_shares_are_refused(share):
    line = mistake(
        "filter", "data.csv", "--risk", "r.csv", "--out", "k.csv", "--share", share
    )
    assert line.endswith("; give 0.05 or 5%.")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_columns_are_kept(suffix):
    exact = [i / 3 for i in range(20)]
    columns = {"label": LABELS, "source": list("ab") * 10, "n": exact}
    write(columns, f"d{suffix}")
    options = ["--keep", "n", "--keep", "source", "--out", f"s{suffix}"]
    succeed("score", f"d{suffix}", *SCORE, *options)
    found = read(f"s{suffix}")
    assert list(found)[-2:] == ["n", "source"]
    assert [float(value) for value in found["n"]] == exact
    assert found["source"] == columns["source"]
    assert len(RiskTable.read(f"s{suffix}")) == 20


def test_columns_that_cannot_be_kept():
    write({"label": LABELS, "risk": range(20), "many": [[1]] * 20}, "d.jsonl")
    for name, message in [
        ("risk", "risk tables have a column of that name; rename it"),
        ("many", "column 'many' holds List"),
        ("none", "no column 'none'"),
    ]:
        line = mistake("score", "d.jsonl", *SCORE, "--keep", name, "--out", "x.csv")
        assert message in line


FORMULAS = ["=cmd|' /C calc'!A0", "+x", "-x", "@x", "\tx", "\rx", "=1+1"]
NUMBERS = ["-1.5", "+2", "-1e5", "7", "a=b", ""]


def test_spreadsheets_run_nothing_on_request():
    cells = (FORMULAS + NUMBERS + list("abcdefg"))[:20]
    write({"text": cells, "=n": cells, "label": LABELS}, "d.csv")
    safe = [f"'{cell}" for cell in FORMULAS] + cells[len(FORMULAS) :]
    rule = ["--risk", "r.csv", "--n-remove", 0, "--out", "k.csv"]
    succeed("filter", "d.csv", *rule, "--safe-csv")
    kept = read("k.csv")
    assert list(kept) == ["text", "'=n", "label"]
    assert kept["text"] == kept["'=n"] == safe
    succeed("filter", "d.csv", *rule)
    assert list(read("k.csv")) == ["text", "=n", "label"]
    options = [*SCORE, "--id", "text", "--keep", "=n", "--safe-csv"]
    write({"text": cells[:12], "=n": cells[:12], "label": LABELS[:12]}, "d.csv")
    np.save("X.npy", np.random.default_rng(0).normal(size=(12, 3)))
    succeed("score", "d.csv", *options, "--out", "s.csv")
    assert read("s.csv")["id"] == read("s.csv")["'=n"] == safe[:12]
    assert {float(risk) for risk in read("s.csv")["risk"]}  # no apostrophe there
    assert succeed("score", "d.csv", *options).stdout.count("'=cmd") == 2


@pytest.mark.parametrize("depth", [300, 3_000, 100_000])
def test_deep_json(depth):
    """Cells that nobody asks for do no harm, however deep."""
    deep = "[" * depth + "]" * depth
    lines = (f'{{"label": "{label}", "c": {deep}}}\n' for label in LABELS)
    Path("d.jsonl").write_text("".join(lines))
    done = run("score", "d.jsonl", *SCORE, "--out", "s.csv")
    assert done.exit_code == (0 if depth == 300 else 2)
    assert depth == 300 or "d.jsonl, line 1: not JSON" in done.stderr
    label = ["score", "d.jsonl", "--label", "c", "--embeddings", "X.npy"]
    mistake(*label, "--out", "x.csv")
    mistake("filter", "d.jsonl", *RULE, "--id", "c", "--out", "x.jsonl")
    mistake("filter", "data.csv", "--risk", "d.jsonl", "--out", "x.csv")


def header(shape, kind="<f8", order="False"):
    """A file of NumPy that is a header alone."""
    text = f"{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}}}"
    text = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "content",
    [
        header((20, 10**11)),
        header((20, -5)),
        header((10**30, 3)),
        header((20, 3)) + b"short",
        header((20, 3), "<U200000000"),
        header((20, 3), "|O"),
        header((20, 3), order="1/0"),
        b"\x93NUMPY\x02\x00\xff\xff\xff\x7f",
        b"hello",
    ],
)
def test_embeddings_are_checked_before_they_are_read(content):
    Path("E.npy").write_bytes(content)
    options = ["--label", "label", "--embeddings", "E.npy", "--out", "x.csv"]
    line = mistake("score", "data.csv", *options)
    assert line.startswith("smilearn: E.npy: not a NumPy array file (.npy); write ")


def test_metadata_that_are_no_text():
    table = pa.table({"label": LABELS}).replace_schema_metadata({b"smilearn": b"\xff"})
    parquet.write_table(table, "d.parquet")
    for command in (["score", "d.parquet", *SCORE], ["filter", "d.parquet", *RULE]):
        assert "d.parquet" in mistake(*command, "--out", "k.parquet")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_labels_with_nul_stay_apart(suffix):
    labels = ["a\0b", "a\0c"] * 10
    write({"label": labels}, f"d{suffix}")
    succeed("score", f"d{suffix}", *SCORE, "--out", f"s{suffix}")
    assert RiskTable.read(f"s{suffix}")["label"].tolist() == labels
    write({"label": ["a\0", "a"] * 10}, f"d{suffix}")
    line = mistake("score", f"d{suffix}", *SCORE, "--out", f"x{suffix}")
    assert "labels must not end in NUL" in line
