"""Risk tables come back from files as they were, or the file is told to be no table."""

import csv
import datetime as dt
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from risk_tables import check_same, made_table

from smilearn import RiskFilter, RiskTable
from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.tables._io import write_columns

KINDS = ["csv", "jsonl", "parquet"]


def round_trip(table, folder, kind):
    path = folder / f"risk.{kind}"
    getattr(table, f"to_{kind}")(path)
    return RiskTable.read(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed_of_table", [0, 1])
def test_whole_tables_and_views_come_back(tmp_path, kind, seed_of_table):
    table = made_table(seed=seed_of_table)
    check_same(round_trip(table, tmp_path, kind), table)
    for view in (table.riskiest(7), table.take([3, 3, 0]), table.riskiest()):
        back = round_trip(view, tmp_path, kind)
        check_same(back, view)
        assert not back.is_whole
    bare = RiskTable([0.5, -0.5], [3, 4])
    check_same(round_trip(bare, tmp_path, kind), bare)


IDS = {
    "padded": ["007", "7"],
    "ints": [7, -(2**62)],
    "uint8": np.array([0, 255], np.uint8),
    "huge ints": [2**64, 1],
    "floats": [0.1, 1e-300],
    "float32": np.array([0.1, 3], np.float32),
    "bools": [True, False],
    "array of strings": np.array(["a", "long one"]),
    "dates": [dt.date(2020, 1, 2), dt.date(1, 1, 1)],
    "moments": [dt.datetime(2020, 1, 2, 3, 4, 5, 6), dt.datetime(2021, 1, 1)],
    "pandas dates": pd.date_range("2020", periods=2),
    "nanoseconds": np.array(["2020-01-01T00:00:00.000000001", "NaT"], "M8[ns]"),
    "hours": np.array(["2020-01-01T07", "2021-01-01T00"], "M8[h]"),
    "mixed": ["1", 1],
    "some missing": [None, 2.5],
    "twice": ["a", "a"],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
def test_ids_of_any_type_come_back(tmp_path, kind, ids):
    table = RiskTable([0.5, -np.inf], ["a", "b"], id=ids)
    back = round_trip(table, tmp_path, kind)
    if table["id"].dtype.kind == "M":  # NaT is not NaT
        assert back["id"].dtype == table["id"].dtype
        assert np.array_equal(back["id"], table["id"], equal_nan=True)
        assert back["psmi"].tolist() == [0.5, -np.inf]
    else:
        check_same(back, table)


characters = st.characters(exclude_categories=["Cs"])
texts = st.text(characters, max_size=12)
names = st.text(characters, max_size=5).filter(lambda text: "\0" not in text)
labels = st.one_of(
    st.lists(names, min_size=4, max_size=4),
    st.lists(st.integers(-(2**62), 2**62), min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4),
)
ids = st.one_of(
    labels,
    st.lists(st.dates(), min_size=4, max_size=4),
    st.lists(st.one_of(texts, st.integers(), st.booleans()), min_size=4, max_size=4),
)
scores = st.lists(st.floats(allow_nan=False), min_size=4, max_size=4)


@settings(deadline=None, max_examples=60)
@given(scores, labels, ids, st.lists(texts, min_size=4, max_size=4), st.booleans())
@pytest.mark.parametrize("kind", KINDS)
def test_any_table_comes_back(tmp_path_factory, kind, psmi, label, id, text, cut):
    table = RiskTable(psmi, label, id=id, text=text, std=psmi, most_likely_label=label)
    table = table.take([2, 1]) if cut else table
    check_same(round_trip(table, tmp_path_factory.mktemp("any"), kind), table)


@pytest.mark.parametrize("kind", KINDS)
def test_markup_and_line_ends_in_texts_come_back(tmp_path, kind):
    text = ['<b>"x", y</b>', "a\nb\r\nc", "a\rb", "🎬 映画", "", " a ", "\x1b[1m"]
    table = made_table(7, text=text)
    assert round_trip(table, tmp_path, kind)["text"].tolist() == text


@pytest.mark.parametrize("kind", ["csv", "jsonl"])  # Parquet has types of its own
def test_a_type_that_cells_are_not_of(tmp_path, kind):
    match = rf"risk\.{kind}: the column id does not hold date"
    with pytest.raises(FileFormatError, match=match):
        RiskTable.read(rewritten(tmp_path, kind, "id int64", "id date"))


def test_the_mark_is_where_it_is_said_to_be(tmp_path):
    table = RiskTable([0.5, -0.5], ["ham", "eggs"])
    mark = "smilearn risk 1; whole; numbered 2; id int64; label U4"
    table.to_csv(tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        assert [row["schema"] for row in csv.DictReader(file)] == [mark] * 2
    table.take([0]).to_jsonl(tmp_path / "t.jsonl")
    row = json.loads((tmp_path / "t.jsonl").read_text())
    assert list(row)[-1] == "schema"
    assert row["schema"] == mark.replace("whole; numbered 2", "view; numbered 1")
    table.to_parquet(tmp_path / "t.parquet")
    schema = pq.read_schema(tmp_path / "t.parquet")
    assert schema.metadata[b"smilearn"] == mark.encode()
    assert schema.names == list(table.columns)


def test_other_libraries_read_the_parquet_file(tmp_path):
    table = made_table(300)
    table.to_parquet(tmp_path / "t.parquet")
    frame = pl.read_parquet(tmp_path / "t.parquet")
    assert frame["label"].dtype == pl.String
    assert frame.to_dict(as_series=False) == table.to_polars().to_dict(as_series=False)
    assert pd.read_parquet(tmp_path / "t.parquet")["id"].tolist()[7] == "007"


def rewritten(tmp_path, kind, old, new):
    """A file of a table whose mark says something else."""
    path = tmp_path / f"risk.{kind}"
    table = RiskTable([0.5, -0.5], ["ham", "eggs"])
    getattr(table, f"to_{kind}")(path)
    if kind == "parquet":
        table = pq.read_table(path)
        mark = table.schema.metadata[b"smilearn"].replace(old.encode(), new.encode())
        pq.write_table(table.replace_schema_metadata({b"smilearn": mark}), path)
    else:
        path.write_text(path.read_text().replace(old, new))
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("risk 1;", "risk 2;", "was written by a newer smilearn .*version 2.*Upgrade"),
        ("risk 1;", "risk x;", "its schema is not understood"),
        ("whole", "part", "its schema is not understood"),
    ],
)
def test_marks_that_are_not_understood(tmp_path, kind, old, new, match):
    with pytest.raises(FileFormatError, match=rf"risk\.{kind}: {match}"):
        RiskTable.read(rewritten(tmp_path, kind, old, new))


def test_rows_of_two_tables_are_refused(tmp_path):
    RiskTable([0.5], ["ham"]).to_csv(tmp_path / "a.csv")
    RiskTable([0.5], ["bacon"]).to_csv(tmp_path / "b.csv")
    both = (tmp_path / "a.csv").read_text() + "".join(
        (tmp_path / "b.csv").read_text().splitlines(keepends=True)[1:]
    )
    (tmp_path / "both.csv").write_text(both)
    with pytest.raises(FileFormatError, match="its rows are of several tables"):
        RiskTable.read(tmp_path / "both.csv")


@pytest.mark.parametrize("suffix", KINDS)
def test_files_without_a_mark(tmp_path, suffix):
    path = tmp_path / f"old.{suffix}"
    write_columns(made_table(5).columns, path)
    table = RiskTable.read(path)
    assert table.is_whole
    for name in ("id", "label", "psmi", "rank", "text", "std", "class_support"):
        assert table[name].tolist() == made_table(5)[name].tolist()
    write_columns({"psmi": [0.1, -3.0], "label": ["a", "b"], "more": [1, 2]}, path)
    table = RiskTable.read(path)
    assert table["rank"].tolist() == [2, 1]
    assert list(table.columns) == list(RiskTable([0.1, -3.0], ["a", "b"]).columns)
    columns = made_table(9).take([1, 4]).columns
    write_columns(columns, path)
    view = RiskTable.read(path)
    assert not view.is_whole
    assert view["rank"].tolist() == columns["rank"].tolist()


@pytest.mark.parametrize("suffix", KINDS)
def test_default_ids_of_an_old_file_are_numbers(tmp_path, suffix):
    write_columns(RiskTable([0.1, 0.2], ["a", "b"]).columns, tmp_path / f"t.{suffix}")
    table = RiskTable.read(tmp_path / f"t.{suffix}")
    assert table["id"].tolist() == [0, 1]


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("name", ["psmi", "label"])
def test_columns_that_must_be_there(tmp_path, suffix, name):
    columns = {"psmi": [0.1, 0.2], "label": ["a", "b"], "id": [0, 1]}
    del columns[name]
    write_columns(columns, tmp_path / f"t.{suffix}")
    with pytest.raises(InvalidInputError, match=f"no column '{name}'; columns are"):
        RiskTable.read(tmp_path / f"t.{suffix}")


@pytest.mark.parametrize("psmi", [["x", "0.1"], ["nan", "0.1"]])
def test_psmi_that_is_no_number(tmp_path, psmi):
    write_columns({"psmi": psmi, "label": ["a", "b"]}, tmp_path / "t.csv")
    with pytest.raises(FileFormatError, match=r"t\.csv"):
        RiskTable.read(tmp_path / "t.csv")


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_file_is_ranked_anew(tmp_path, kind):
    columns = {n: v.copy() for n, v in made_table(9).columns.items()}
    table = made_table(9)
    table.columns["psmi"] = columns["psmi"] = -columns["psmi"]
    back = round_trip(table, tmp_path, kind)
    fresh = made_table(9, psmi=columns["psmi"])
    check_same(back, fresh)
    table = made_table(9)
    table.columns["label"] = np.array(["ham"] * 9)
    assert round_trip(table, tmp_path, kind)["class_support"].tolist() == [9] * 9


def test_missing_cells_of_parquet_are_told(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"psmi": [0.1, None], "label": ["a", "b"]}), path)
    with pytest.raises(FileFormatError, match="psmi does not hold float64: 1 are miss"):
        RiskTable.read(path)


@pytest.mark.parametrize("kind", KINDS)
def test_what_files_cannot_give_back_is_not_written(tmp_path, kind):
    table = RiskTable([0.1, 0.2], ["a", "b"], id=[(1, 2), (3, 4)])
    with pytest.raises(InvalidInputError, match="The column id holds tuple; files"):
        getattr(table, f"to_{kind}")(tmp_path / f"t.{kind}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_cannot_be_read(tmp_path, kind):
    with pytest.raises(FileFormatError, match="holds no rows"):
        round_trip(RiskTable([], []), tmp_path, kind)


def ids_of(kind):
    return None if kind == "numbered" else [f"id {i}" for i in range(9)]


@pytest.mark.parametrize("ids", ["numbered", "own"])
def test_rows_sorted_since_are_not_taken_for_a_whole_table(tmp_path, ids):
    path = tmp_path / "t.csv"
    table = made_table(9, id=ids_of(ids))
    table.to_csv(path)
    frame = pd.read_csv(path, dtype=str).iloc[::-1]
    frame.to_csv(path, index=False)
    back = RiskTable.read(path)
    assert not back.is_whole
    check_same(back, table.take(np.arange(9)[::-1]))
    with pytest.raises(InvalidInputError, match="view"):
        RiskFilter(back, n_remove=1).fit(None, back["label"])


@pytest.mark.parametrize("ids", ["numbered", "own"])
def test_rows_cut_since_keep_their_ranks(tmp_path, ids):
    path = tmp_path / "t.csv"
    table = made_table(9, id=ids_of(ids))
    table.to_csv(path)
    pd.read_csv(path, dtype=str).head(4).to_csv(path, index=False)
    back = RiskTable.read(path)
    assert not back.is_whole
    check_same(back, table.take(np.arange(4)))
