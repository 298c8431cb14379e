"""What risk tables say, and what files and frames give back (golden/tables.json).

Files are compared by what is read from them: scores of CSV and JSON Lines to 1e-5, as
they may be written with six digits, and only such types as a plain file can tell.
"""

import datetime
from itertools import product

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from golden_files import check_golden, columns_of

from smilearn import RiskTable

N_SAMPLES = 24
PLACES = range(N_SAMPLES)
IDS = {
    "numbered": None,
    "ints": [10 * i + 3 for i in PLACES],
    "strings": [f"n{i:03}" for i in PLACES],
    "zeros": [f"{i:03}" for i in PLACES],
    "words": [f'id "{i}", né' for i in PLACES],
    "dates": [datetime.date(2024, 1, 1 + i) for i in PLACES],
}
LABELS = {
    "int": [(i * i) % 3 - 1 for i in PLACES],
    "str": [["ham", "spam, eggs", 'a "b"'][(i * i) % 3] for i in PLACES],
    "bool": [i % 5 == 0 for i in PLACES],
}
TEXTS = ['plain, "quoted"', "two\nlines", "tab\there", "é 漢字 🙂", " spaces ", "'='"]
SUFFIXES = {"csv": "to_csv", "jsonl": "to_jsonl", "parquet": "to_parquet"}


def made_table(ids="strings", labels="str", seed=0, *, more=True):
    rng = np.random.default_rng(seed)
    columns = {"score": rng.normal(size=N_SAMPLES), "label": LABELS[labels]}
    columns["id"] = IDS[ids]
    if more:
        columns["std"] = rng.random(N_SAMPLES)
        columns["psmi"] = 0.5 * columns["score"]
        columns["probability"] = np.exp(-np.abs(columns["score"]))
        columns["most_likely_label"] = LABELS[labels][::-1]
        columns["text"] = [TEXTS[i % 6] + str(i) for i in PLACES]
    return RiskTable(**columns)


def written_and_read(table, suffix, folder):
    path = folder / f"risk.{suffix}"
    getattr(table, SUFFIXES[suffix])(path)
    return RiskTable.read(path)


def check_read(table, again, suffix):
    """Equal up to what the kind of file can tell."""
    assert list(again.columns) == list(table.columns)
    columns, others = columns_of(table), columns_of(again)
    tolerance = 1e-12 if suffix == "parquet" else 1e-5
    for name in columns:
        values, found = columns[name], others[name]
        if name in ("risk", "probability", "psmi", "std"):
            np.testing.assert_allclose(found, values, rtol=tolerance, err_msg=name)
            continue
        named = name in ("id", "label", "most_likely_label")
        if named and (suffix == "csv" or isinstance(values[0], datetime.date)):
            values, found = ([str(v).lower() for v in each] for each in (values, found))
        assert found == values, name
        assert [*map(type, found)] == [*map(type, values)], name


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("ids", "labels"), [*product(IDS, LABELS)])
def test_files_give_back_what_was_written(ids, labels, suffix, tmp_path):
    table = made_table(ids, labels)
    check_read(table, written_and_read(table, suffix, tmp_path), suffix)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_of_few_columns(suffix, tmp_path):
    table = made_table("numbered", more=False)
    check_read(table, written_and_read(table, suffix, tmp_path), suffix)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_of_a_table_keep_their_ranks_in_files(suffix, tmp_path):
    part = made_table().riskiest(5)
    check_read(part, written_and_read(part, suffix, tmp_path), suffix)


@pytest.mark.parametrize("convert", ["to_pandas", "to_polars", "to_arrow"])
@pytest.mark.parametrize(("ids", "labels"), [*product(IDS, LABELS)])
def test_frames_hold_the_columns(ids, labels, convert):
    table = made_table(ids, labels)
    frame = getattr(table, convert)()
    owner = {"to_pandas": pd.DataFrame, "to_polars": pl.DataFrame, "to_arrow": pa.Table}
    assert isinstance(frame, owner[convert])
    if convert == "to_arrow":
        columns = frame.to_pydict()
    else:
        columns = {name: frame[name].to_list() for name in frame.columns}
    if ids == "dates":
        columns["id"] = [str(day)[:10] for day in columns["id"]]
    golden = columns_of(table)
    golden["id"] = list(map(str, golden["id"])) if ids == "dates" else golden["id"]
    assert columns == golden
    assert list(columns) == list(golden)


@pytest.mark.parametrize("labels", LABELS)
def test_columns(labels):
    result = {
        "all": columns_of(made_table("ints", labels)),
        "few": columns_of(made_table("numbered", labels, more=False)),
    }
    check_golden("tables", f"columns, {labels}", result)


def test_rows():
    table = made_table()
    ties = RiskTable([0.5, -1.0, 0.5, -1.0, 0.0], list("aabba"))
    result = {
        "riskiest": columns_of(table.riskiest(4)),
        "all": columns_of(table.riskiest())["id"],
        "take": columns_of(table.take([5, 1])),
        "mask": columns_of(table.take(np.arange(N_SAMPLES) % 9 == 0))["rank"],
        "head": columns_of(table.head(3))["id"],
        "riskiest of some": columns_of(table.take(range(8)).riskiest(3)),
        "ties": columns_of(ties.riskiest()),
        "length": len(table),
    }
    assert table.is_whole
    assert not table.take([1]).is_whole
    check_golden("tables", "rows", result)


@pytest.mark.parametrize("labels", LABELS)
def test_groups(labels):
    table = made_table(labels=labels)
    given = [["web", "print", None][i % 3] for i in PLACES]
    result = {
        "class": columns_of(table.by_class()),
        "column": columns_of(table.by("most_likely_label")),
        "given": columns_of(table.by(given)),
        "function": columns_of(table.by(lambda t: t["risk"] > 0.5)),
        "some": columns_of(table.take(range(10)).by("label")),
    }
    check_golden("tables", f"groups, {labels}", result)


def test_comparison():
    table, other = made_table(), made_table(seed=1)
    changed = table.compare(other.take(np.arange(N_SAMPLES)[::-1]))
    result = {
        "columns": columns_of(changed),
        "rank_correlation": changed.rank_correlation,
        "overlap": [changed.overlap(share) for share in (0.1, 0.25, 1)],
        "most_changed": columns_of(changed.most_changed(4))["id"],
    }
    check_golden("tables", "comparison", result)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_join(make):
    table = made_table()
    rows = {"key": ["n004", "n001", "n004"], "size": [1, 2, 3]}
    by_id = table.join(make(rows), on="key", prefix="smi_")
    by_place = made_table(more=False).join(make({"size": list(PLACES)}))
    assert type(by_id) is type(by_place) is type(make(rows))
    result = {
        name: pa.table(frame).to_pydict()
        for name, frame in {"by_id": by_id, "by_place": by_place}.items()
    }
    check_golden("tables", "join", result)  # the same of every kind of frame


def test_join_keeps_the_index_of_pandas():
    frame = pd.DataFrame({"key": ["n004", "n001"]}, index=["x", "y"])
    assert made_table().join(frame, on="key").index.tolist() == ["x", "y"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_plain_files_of_others_are_read(suffix, tmp_path):
    path = tmp_path / f"other.{suffix}"
    frame = pl.DataFrame({"risk": [-0.5, 2.0], "label": ["a", "b"], "more": [1, 2]})
    write = {"csv": frame.write_csv, "jsonl": frame.write_ndjson}
    write.get(suffix, frame.write_parquet)(path)
    golden = columns_of(RiskTable([0.5, -2.0], ["a", "b"]))
    assert columns_of(RiskTable.read(path)) == golden
