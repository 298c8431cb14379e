"""Risk beside the rows of frames of three kinds."""

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from risk_tables import made_table

from smilearn import RiskTable
from smilearn.exceptions import InvalidInputError


def frames(columns, index):
    return [
        pd.DataFrame(columns, index=index),
        pl.DataFrame(columns),
        pa.table(columns),
    ]


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_risk_is_joined_by_id_and_by_place(kind):
    table, index = made_table(4), [9, 9, 5, 1]
    frame = frames({"key": ["003", "000", "003", "001"], "x": [1, 2, 3, 4]}, index)[
        kind
    ]
    rows = [3, 0, 3, 1]
    for joined, places in (
        (table.join(frame, on="key"), rows),
        (table.riskiest().join(frame, on="key"), rows),
        (table.join(frame), range(4)),
        (table.join(frame, prefix="p_"), range(4)),
    ):
        assert type(joined) is type(frame)
        prefix = "p_" * ("p_psmi" in list(pl.DataFrame(joined).columns))
        for name in ("psmi", "std", "risk", "rank", "most_likely_label"):
            found = joined[prefix + name].to_numpy().tolist()
            assert found == [table[name].tolist()[i] for i in places]
        assert joined["x"].to_numpy().tolist() == [1, 2, 3, 4]
    if kind == 0:
        assert table.join(frame, on="key").index.tolist() == index
    bare = RiskTable(table["psmi"], table["label"]).join(frame)
    assert len(list(pl.DataFrame(bare).columns)) == 2 + 3


@pytest.mark.parametrize(
    ("frame", "options", "match"),
    [
        ({"key": ["009"], "x": [0]}, {"on": "key"}, r"1 of 1 rows of the frame.*'009'"),
        ({"key": [0], "x": [0]}, {"on": "key"}, r"first is 0 \(int\).*'000' \(str\)"),
        ({"x": [1]}, {"on": "key"}, "no column 'key'; columns are: x"),
        ({"x": [1]}, {}, "The frame has 1 rows where the table has 4"),
        ({"rank": [1] * 4}, {}, "The frame has columns rank already; give a prefix"),
    ],
)
@pytest.mark.parametrize("kind", [0, 1, 2])
def test_frames_that_cannot_be_joined(kind, frame, options, match):
    frame = frames(frame, None)[kind]
    with pytest.raises(InvalidInputError, match=match):
        made_table(4).join(frame, **options)


def test_views_and_other_things_are_not_joined_by_place():
    with pytest.raises(InvalidInputError, match="is a view made by take or riskiest"):
        made_table(4).riskiest().join(pd.DataFrame({"x": [1] * 4}))
    with pytest.raises(InvalidInputError, match=r"frame must be .* got list"):
        made_table(4).join([1, 2, 3, 4])
    twice = made_table(2, id=["a", "a"])
    with pytest.raises(InvalidInputError, match="ids of the risk table must be unique"):
        twice.join(pd.DataFrame({"key": ["a"]}), on="key")
