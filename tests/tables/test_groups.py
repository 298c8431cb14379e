"""Risk by groups of samples, against a slow loop."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from risk_tables import made_table

from smilearn import RiskTable
from smilearn.exceptions import InvalidInputError


def groups_slow(table, groups):
    """Each group by a loop over the rows, the riskiest mean first."""
    n_top = -(-len(table) // 10)
    top = sorted(range(len(table)), key=lambda i: table["rank"][i])[:n_top]
    rows = []
    for group in dict.fromkeys(groups):
        own = [i for i in range(len(table)) if groups[i] == group]
        risks = [float(table["risk"][i]) for i in own]
        likely = sum(table["probability"][i] for i in own) / len(own)
        among = sum(i in own for i in top) / n_top
        mean = sum(risks) / len(own)
        rows.append([group, len(own), mean, max(risks), likely, among])
    return sorted(rows, key=lambda row: -row[2])


@pytest.mark.parametrize("n_samples", [7, 40])
def test_groups_are_those_of_a_slow_loop(seed, n_samples):
    table = made_table(n_samples, seed)
    for key in (
        "label",
        lambda each: [len(t) for t in each["text"]],
        table["rank"] % 3,
    ):
        found = table.by(key)
        groups = table[key] if isinstance(key, str) else key
        groups = (groups(table) if callable(groups) else groups.tolist()) + []
        expected = groups_slow(table, groups)
        assert list(found.columns) == [
            *["group", "n_samples", "mean_risk", "max_risk"],
            *["mean_probability", "share_of_riskiest"],
        ]
        assert found["group"].tolist() == [row[0] for row in expected]
        for place, name in enumerate(list(found.columns)[1:], 1):
            assert found[name] == pytest.approx([row[place] for row in expected])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.one_of(st.none(), st.just(float("nan")), st.sampled_from(["a", "b", "c"])),
        min_size=1,
        max_size=30,
    )
)
def test_no_row_is_lost_in_groups(key):
    groups = made_table(len(key)).by(key)
    missing = sum(each not in ("a", "b", "c") for each in key)
    assert groups["n_samples"].sum() == len(key)
    assert groups["share_of_riskiest"].sum() == pytest.approx(1)
    counts = dict(zip(groups["group"].tolist(), groups["n_samples"], strict=True))
    assert counts.get("missing", 0) == missing
    assert counts.get("a", 0) == key.count("a")


@pytest.mark.parametrize(
    "key",
    [
        [1.0, np.nan, 2.0, np.nan],
        pd.Series([1, None, 2, pd.NA], dtype="Int64"),
        pl.Series([1, None, 2, None]),
        pa.array([1, None, 2, None]),
        pd.Series(pd.to_datetime(["2020", None, "2021", None])),
        pd.Categorical(["a", None, "b", None]),
    ],
)
def test_missing_groups_are_one_group(key):
    groups = made_table(4).by(key)
    counts = dict(zip(groups["group"].tolist(), groups["n_samples"], strict=True))
    assert counts["missing"] == 2
    assert len(counts) == 3
    assert {type(name) for name in counts} == {str}


@pytest.mark.parametrize(
    ("key", "match"),
    [
        ("no_such", "no column 'no_such'; columns are: id, label"),
        (["a"], "one group a row; got 1 groups for 3 rows"),
        (lambda table: ["a"] * 5, "one group a row; got 5 groups for 3 rows"),
        ([1, "1", 2], "one type: .* got int and str"),
        (["missing", None, "a"], "Two groups would have one name"),
        ([[1], [2], [3]], r"one type: .* got List\(Int64\)"),
        (np.ones((3, 2)), r"key must be one column; got shape \(3, 2\)"),
        (7, "key must be a sequence; got 7"),
    ],
)
def test_groups_that_are_none(key, match):
    with pytest.raises(InvalidInputError, match=match):
        made_table(3).by(key)


def test_groups_of_no_rows_and_to_files(tmp_path):
    none = RiskTable([], []).by_class()
    assert len(none) == 0
    assert "mean_probability" not in none.columns  # the table has none
    groups = made_table().by_class()
    groups.to_csv(tmp_path / "groups.csv")
    read = pd.read_csv(tmp_path / "groups.csv")
    assert read["mean_risk"].tolist() == pytest.approx(groups["mean_risk"], 1e-5)
    assert "3 groups" in groups._repr_html_()
    assert len(groups.head(2)) == 2
