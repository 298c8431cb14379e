"""A risk table is that of the data, row by row, or it is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from table_files import write_columns

from smilearn import RiskTable
from smilearn.cli._filter import RiskRows
from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.tables import _row_streams
from smilearn.tables._row_streams import RowStream

DATA = {
    "key": ["k1", "k2", "k3", "k4", "k5"],
    "text": ["a", "b", "c", "d", "a"],
    "label": ["x", "y", "x", "y", "x"],
}
PSMI = [0.3, -1.0, 0.2, 0.1, -0.5]
ORDER = [2, 4, 0, 1, 3]


@pytest.fixture(autouse=True, params=[1, 2, 4096], ids=lambda n: f"batches-of-{n}")
def folder(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_row_streams, "_MOST_ROWS", request.param)


def write_risk(path="risk.csv", *, ids=None, data=DATA, psmi=PSMI):
    table = RiskTable(psmi, data["label"], text=data["text"], id=ids)
    writers = {"csv": table.to_csv, "jsonl": table.to_jsonl}
    writers.get(str(path).split(".")[1], table.to_parquet)(path)
    return table


def match(data, path="risk.csv", id_column=None):
    """Match a whole file; give the row of the table that belongs to each row."""
    write_columns(data, "data.csv")
    risk = RiskRows(path, "data.csv", id_column)
    rows = [risk.match(batch) for batch in RowStream("data.csv")]
    risk.finish()
    return risk.table, np.concatenate(rows)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_sorted_tables_are_put_in_the_order_of_the_data(suffix):
    write = getattr(RiskTable(PSMI, DATA["label"]).take(ORDER), f"to_{suffix}")
    write(f"risk.{suffix}")
    table, rows = match(DATA, f"risk.{suffix}")
    assert rows.tolist() == [0, 1, 2, 3, 4]
    assert table["psmi"].tolist() == PSMI
    assert table["label"].tolist() == DATA["label"]
    assert "text" not in table.columns


def test_rows_are_found_by_id_in_any_order():
    write_risk(ids=DATA["key"])
    shuffled = {name: [v[i] for i in ORDER] for name, v in DATA.items()}
    table, rows = match(shuffled, id_column="key")
    assert table["psmi"][rows].tolist() == [PSMI[i] for i in ORDER]
    with pytest.raises(InvalidInputError, match=r"no row numbers .*'k1'.* with --id"):
        match(DATA)


@pytest.mark.parametrize("by_id", [False, True])
@pytest.mark.parametrize("name", ["text", "label"])
@pytest.mark.parametrize("row", range(5))
def test_data_that_changed_are_refused_with_the_row(by_id, name, row):
    write_risk(ids=DATA["key"] if by_id else None)
    changed = [*DATA[name][:row], "other", *DATA[name][row + 1 :]]
    message = rf"no column of data.csv holds its {name} column; .* row {row} "
    with pytest.raises(InvalidInputError, match=message):
        match(DATA | {name: changed}, id_column="key" if by_id else None)


def test_the_nearest_column_is_the_one_that_agrees_most():
    write_risk()
    decoy = {"decoy": ["x", "-", "-", "-", "-"]}
    changed = {"label": ["x", "y", "x", "z", "x"]}
    for data in (decoy | DATA | changed, DATA | changed | decoy):
        with pytest.raises(InvalidInputError, match="nearest differs in row 3 "):
            match(data)


def test_reordered_data_are_refused():
    write_risk()
    backwards = {name: values[::-1] for name, values in DATA.items()}
    with pytest.raises(InvalidInputError, match="Score this very file first"):
        match(backwards)


@pytest.mark.parametrize("by_id", [False, True])
def test_fewer_or_more_rows_are_refused(by_id):
    write_risk(ids=DATA["key"] if by_id else None)
    column = "key" if by_id else None
    fewer = {name: values[:4] for name, values in DATA.items()}
    with pytest.raises(InvalidInputError, match="5 rows where the data has 4"):
        match(fewer, id_column=column)
    more = {name: [*values, "new"] for name, values in DATA.items()}
    told = "the id 'new' of row 5 " if by_id else "5 rows where the data has 6"
    with pytest.raises(InvalidInputError, match=told):
        match(more, id_column=column)


def test_ids_that_stand_twice_are_refused():
    write_risk(ids=[0, 1, 1, 3, 4])
    with pytest.raises(
        InvalidInputError, match=r"rows 0 to 4 of data.csv, each once; 2"
    ):
        match(DATA)
    write_risk(ids=["k1", "k2", "k3", "k2", "k5"])
    with pytest.raises(InvalidInputError, match="'k2' stands in row 1 and in row 3"):
        match(DATA, id_column="key")
    write_risk(ids=DATA["key"])
    twice = DATA | {"key": ["k1", "k2", "k1", "k4", "k5"]}
    with pytest.raises(InvalidInputError, match=r"'k1' stands in row 2 .* one before"):
        match(twice, id_column="key")
    with pytest.raises(InvalidInputError, match=r"no column 'no'; columns are: key"):
        match(DATA, id_column="no")


def test_what_is_no_risk_table_is_told():
    columns = {"id": [0, 1, 2, 3, 4], "label": DATA["label"], "psmi": PSMI}
    for name in columns:
        rest = {n: values for n, values in columns.items() if n != name}
        write_columns(rest, "risk.csv")
        with pytest.raises(
            FileFormatError, match=f"not a risk table: no column '{name}"
        ):
            match(DATA)
    write_columns(columns | {"psmi": [0, 1, 2, "nan", 4]}, "risk.csv")
    with pytest.raises(FileFormatError, match="psmi is not a number in row 3 "):
        match(DATA)
    write_columns(columns | {"psmi": list("abcde")}, "risk.csv")
    with pytest.raises(FileFormatError, match="psmi must be numbers"):
        match(DATA)


def test_columns_that_come_late_differ_where_they_are_not():
    write_risk()
    texts = [{}, *({"text": text} for text in DATA["text"][1:])]
    rows = zip(DATA["label"], texts, strict=True)
    lines = [json.dumps({"label": label} | text) for label, text in rows]
    Path("data.jsonl").write_text("\n".join(lines))
    risk = RiskRows("risk.csv", "data.jsonl")
    for batch in RowStream("data.jsonl"):
        risk.match(batch)
    with pytest.raises(InvalidInputError, match=r"its text column; .* row 0 "):
        risk.finish()


def test_whole_numbers_are_labels_with_and_without_a_point():
    write_risk(data=DATA | {"label": [1, 0, 1, 0, 1]})
    Path("data.jsonl").write_text(
        "".join(
            json.dumps({"text": text, "label": float(label)}) + "\n"
            for text, label in zip(DATA["text"], [1, 0, 1, 0, 1], strict=True)
        )
    )
    risk = RiskRows("risk.csv", "data.jsonl", None)
    for batch in RowStream("data.jsonl"):
        risk.match(batch)
    risk.finish()
    assert risk.n_rows == 5
