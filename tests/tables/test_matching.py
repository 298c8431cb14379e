"""Risk beside the rows of frames of three kinds."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from risk_tables import made_table

from smilearn import RiskTable
from smilearn.exceptions import InvalidInputError

ADDED = ["risk", "probability", "psmi", "std", "rank", "most_likely_label"]
MAKE = [pd.DataFrame, pl.DataFrame, pa.table]


@pytest.mark.parametrize("make", MAKE)
def test_risk_is_joined_by_id_and_by_place(make):
    table = made_table(4)
    frame = make({"key": ["003", "000", "003", "001"], "x": [1, 2, 3, 4]})
    for joined, rows in (
        (table.join(frame, on="key", prefix="p_"), [3, 0, 3, 1]),
        (table.riskiest().join(frame, on="key", prefix="p_"), [3, 0, 3, 1]),
        (table.join(frame, prefix="p_"), [0, 1, 2, 3]),
    ):
        assert type(joined) is type(frame)
        for name in ADDED:
            values = joined[f"p_{name}"].to_numpy().tolist()
            assert values == table[name][rows].tolist()
        assert joined["x"].to_numpy().tolist() == [1, 2, 3, 4]
    bare = RiskTable(-table["risk"], table["label"]).join(frame)
    assert pl.DataFrame(bare).columns == ["key", "x", "risk", "rank"]


DATES = [dt.date(2024, 1, 1), dt.date(2024, 1, 2)]
SAME = {
    "int32": ([5, 2**31 - 1], pl.Series([2**31 - 1, 5], dtype=pl.Int32)),
    "uint64": ([5, 6], np.array([6, 5], np.uint64)),
    "floats for gaps": ([5, 2**40], [2.0**40, 5.0]),
    "dates of pandas": (DATES, pd.to_datetime(DATES[::-1])),
    "moments": (pd.to_datetime(DATES), DATES[::-1]),
    "text of a plain file": (["2024-01-01", "2024-01-02"], DATES[::-1]),
    "moments as text": (["2024-01-01T00:00:00", "2024-01-02 00:00"], DATES[::-1]),
    "dates and a frame of text": (DATES, ["2024-01-02", "2024-01-01"]),
}


@pytest.mark.parametrize(("ids", "key"), SAME.values(), ids=SAME)
def test_ids_are_matched_whatever_holds_them(ids, key):
    table = RiskTable([0.1, 0.2], ["a", "b"], id=ids)
    frame = pl.DataFrame({"key": key})
    assert table.join(frame, on="key")["risk"].to_list() == [-0.2, -0.1]


OTHER = {
    "text and numbers": (["7"], [7], r"first is 7 \(int\).*'7' \(str\)"),
    "fractions": ([7], [7.5], r"first is 7.5 \(float\)"),
    "rounded": ([2**53], pl.Series([2**53 + 1]), "first is 9007199254740993"),
    "moments of a day": (DATES[:1], [dt.datetime(2024, 1, 1, 5)], "first is datetime"),
    "missing": (["a"], [None], "first is None"),
    "true and 1": ([1], [True], "first is True"),
}


@pytest.mark.parametrize(("ids", "key", "match"), OTHER.values(), ids=OTHER)
def test_ids_that_mean_something_else_are_not_matched(ids, key, match):
    table = RiskTable([0.1], ["a"], id=ids)
    with pytest.raises(InvalidInputError, match=f"1 of 1 rows of the frame .*{match}"):
        table.join(pl.DataFrame({"key": key}), on="key")


@pytest.mark.parametrize(
    ("frame", "options", "match"),
    [
        ({"x": [1]}, {"on": "key"}, "no column 'key'; columns are: x"),
        ({"x": [1]}, {}, "The frame has 1 rows where the table has 4"),
        ({"rank": [1] * 4}, {}, "The frame has columns rank already; give a prefix"),
    ],
)
@pytest.mark.parametrize("make", MAKE)
def test_frames_that_cannot_be_joined(make, frame, options, match):
    with pytest.raises(InvalidInputError, match=match):
        made_table(4).join(make(frame), **options)


def test_views_and_other_things_are_not_joined_by_place():
    with pytest.raises(InvalidInputError, match="is a view made by take or riskiest"):
        made_table(4).riskiest().join(pd.DataFrame({"x": [1] * 4}))
    with pytest.raises(InvalidInputError, match=r"frame must be .* got list"):
        made_table(4).join([1, 2, 3, 4])
    twice = made_table(2, id=["a", "a"])
    with pytest.raises(InvalidInputError, match="ids of the risk table must be unique"):
        twice.join(pd.DataFrame({"key": ["a"]}), on="key")
