"""RiskTable: its columns, its rows in order of risk, and its files."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from risk_tables import made_table

from smilearn import RiskFilter, RiskTable
from smilearn.exceptions import FileFormatError, InvalidInputError

KINDS = ["csv", "jsonl", "parquet"]
ALWAYS = ["id", "label", "risk", "rank", "class_support"]
ALL = [
    *["id", "label", "text", "risk", "probability", "psmi", "std", "rank"],
    *["class_support", "most_likely_label"],
]


def test_columns_are_those_given_and_those_made():
    labels = ["ham", "spam", "ham", "ham", "eggs"]
    table = RiskTable([0.6, -1.5, 0.0, -1.5, 0.1], labels)
    assert table.frame.to_dict(as_series=False) == {
        "id": [0, 1, 2, 3, 4],
        "label": labels,
        "risk": [-0.6, 1.5, 0.0, 1.5, -0.1],
        "rank": [5, 1, 3, 2, 4],  # ties keep their order
        "class_support": [3, 1, 3, 3, 1],
    }
    assert str(table["risk"][2]) == "0.0"  # not -0.0
    assert made_table().columns == ALL


def test_ranks_follow_the_risk_and_ties_keep_their_order(seed):
    score = np.random.default_rng(seed).integers(-3, 4, size=200) / 2
    others = {"psmi": -score, "probability": np.linspace(0, 1, 200)}
    table = RiskTable(score, np.arange(200) % 7, **others)
    riskiest_first = sorted(range(200), key=lambda row: score[row])  # a stable sort
    assert [table["rank"][row] for row in riskiest_first] == list(range(1, 201))
    assert table.riskiest()["id"].tolist() == riskiest_first


@pytest.mark.parametrize(("n", "ids"), [(0, []), (2, [1, 2]), (9, [1, 2, 0])])
def test_riskiest_are_in_order_of_risk(n, ids):
    assert (
        RiskTable([0.1, -np.inf, -7.0], list("abb")).riskiest(n)["id"].tolist() == ids
    )


def test_rows_keep_rank_and_support_of_the_whole():
    table = made_table(9)
    part = table.take([4, 0])
    for name in ("rank", "class_support"):
        assert part[name].tolist() == table[name][[4, 0]].tolist()
    first = 4 if table["rank"][4] < table["rank"][0] else 0
    assert part.riskiest(1)["id"].tolist() == [f"00{first}"]


def test_table_of_no_rows(tmp_path):
    table = RiskTable([], [])
    assert len(table) == len(table.riskiest()) == len(table.take([])) == 0
    assert repr(table).split() == ALWAYS
    assert "0 samples" in table._repr_html_()
    assert table.to_pandas().shape == table.to_polars().shape == (0, len(ALWAYS))
    assert len(table.by_class()) == 0
    table.to_csv(tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text() == ",".join(ALWAYS) + "\n"
    with pytest.raises(FileFormatError, match="holds no rows"):
        RiskTable.read(tmp_path / "none.csv")


def test_suffix_must_fit_the_method(tmp_path):
    with pytest.raises(InvalidInputError, match=r"to_csv writes \.csv files"):
        made_table().to_csv(tmp_path / "risk.parquet")


def round_trip(table, folder, kind):
    path = folder / f"risk.{kind}"
    getattr(table, f"to_{kind}")(path)
    return RiskTable.read(path)


def test_files_hold_the_columns_and_nothing_else(tmp_path):
    table = RiskTable([1 / 3, -0.5], ["ham", "eggs"])
    table.to_csv(tmp_path / "t.csv")
    table.to_jsonl(tmp_path / "t.jsonl")
    table.to_parquet(tmp_path / "t.parquet")
    assert (tmp_path / "t.csv").read_text() == (
        "id,label,risk,rank,class_support\n0,ham,-0.333333,2,1\n1,eggs,0.5,1,1\n"
    )
    row = {"id": 0, "label": "ham", "risk": -0.333333, "rank": 2}
    first = (tmp_path / "t.jsonl").read_text().splitlines()[0]
    assert json.loads(first) == row | {"class_support": 1}
    assert pl.read_parquet(tmp_path / "t.parquet").equals(table.frame)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
labels = st.one_of(
    st.lists(texts, min_size=4, max_size=4),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=4, max_size=4),
)
scores = st.lists(st.floats(allow_nan=False), min_size=4, max_size=4)
shares = st.lists(st.floats(0, 1), min_size=4, max_size=4)


@settings(deadline=None, max_examples=60)
@given(
    *[scores, shares, labels, labels],
    st.lists(texts, min_size=4, max_size=4),
    st.booleans(),
)
@pytest.mark.parametrize("kind", KINDS)
def test_any_table_comes_back(
    tmp_path_factory, kind, score, share, label, id, text, cut
):
    numbers = {"probability": share, "psmi": score[::-1], "std": score}
    table = RiskTable(
        score, label, id=id, text=text, most_likely_label=label, **numbers
    )
    table = table.take([2, 1]) if cut else table
    again = round_trip(table, tmp_path_factory.mktemp("any"), kind)
    assert again.columns == table.columns
    for name in table.columns:
        values, found = table.frame[name].to_list(), again.frame[name].to_list()
        if name in ("risk", "probability", "psmi", "std"):
            np.testing.assert_allclose(found, values, rtol=1e-5, atol=1e-300)
        elif kind == "csv":  # where "7" may be 7
            assert list(map(str, found)) == list(map(str, values))
        else:
            assert found == values
    assert again.is_whole or cut or kind == "csv"


def read_csv(folder, text):
    (folder / "t.csv").write_text(text)
    return RiskTable.read(folder / "t.csv")


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["7", "-10"], [7, -10]),
        (["0", "9223372036854775807"], [0, 2**63 - 1]),
        (["007", "7"], None),
        (["+7", "7"], None),
        (["-0", "7"], None),
        (["7.0", "7"], None),
        (["7", " 8"], None),
        (["7", "9223372036854775808"], None),
        (["7", ""], None),
        (["true", "false"], None),
    ],
)
def test_ids_and_labels_of_csv_are_numbers_if_all_are_whole_ones(
    tmp_path, cells, values
):
    rows = [f"{cell},0.5,{cell}" for cell in cells]
    table = read_csv(tmp_path, "\n".join(["id,risk,label", *rows]))
    assert table["id"].tolist() == table["label"].tolist() == (values or cells)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ids", [[2**64 - 1, 2**64 - 2], [1234567.5, 1234568.5]])
def test_ids_are_not_rounded(tmp_path, kind, ids):
    again = round_trip(RiskTable([0.5, 0.25], ["a", "b"], id=ids), tmp_path, kind)
    assert list(map(type(ids[0]), again["id"].tolist())) == ids


@pytest.mark.parametrize("kind", KINDS)
def test_parts_and_sorted_tables_keep_their_ranks_and_are_not_whole(tmp_path, kind):
    table = made_table(9, id=None)
    assert round_trip(table, tmp_path, kind).is_whole
    for part in (table.riskiest(), table.riskiest(4), table.take([3, 3, 0])):
        again = round_trip(part, tmp_path, kind)
        assert again["rank"].tolist() == part["rank"].tolist()
        assert again["class_support"].tolist() == part["class_support"].tolist()
        assert not again.is_whole
        with pytest.raises(InvalidInputError, match="view"):
            RiskFilter(again, n_remove=1).fit(None, again["label"])


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_others_need_risk_and_label(tmp_path, kind):
    path = tmp_path / f"t.{kind}"
    frame = pl.DataFrame({"risk": [0.1, -3.0], "label": ["a", "b"], "id": [1, 2]})
    for other, message in (
        (frame.drop("label"), r"no column 'label'; columns are: risk, id\.$"),
        (frame.drop("risk"), r"no column 'risk'; columns are: label, id\.$"),
        (frame.rename({"risk": "psmi"}), "ranked by risk .* write the table anew"),
    ):
        write = {"csv": other.write_csv, "jsonl": other.write_ndjson}
        write.get(kind, other.write_parquet)(path)
        with pytest.raises(FileFormatError, match=message):
            RiskTable.read(path)


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("x,a,1", "risk must be one column of numbers; got 'x'"),
        ("nan,a,1", "risk must be one column of numbers; got NaN"),
        (",a,1", "risk must be one column of numbers; got"),
        ("0.5,a,first", "not a risk table: .*first"),
        ("0.5,a,", "not a risk table"),
    ],
)
def test_files_that_are_no_risk_table(tmp_path, row, match):
    with pytest.raises(FileFormatError, match=rf"t\.csv: .*{match}"):
        read_csv(tmp_path, f"risk,label,rank\n{row}\n")


@pytest.mark.parametrize(
    "labels",
    [[True, False] * 3, [0.0, 1.0] * 3, [0, 1] * 3, ["0", "1"] * 3, ["a", "b"] * 3],
)
def test_a_table_on_file_filters_the_data_it_is_of(tmp_path, labels):
    y = np.array(labels)
    again = round_trip(RiskTable(np.arange(6.0), y), tmp_path, "csv")
    frame = pd.DataFrame({"key": [5, 0]})
    assert again.join(frame, on="key")["risk"].tolist() == [-5.0, 0.0]
    X_kept, _ = RiskFilter(again, n_remove=2).fit_resample(np.arange(6)[:, None], y)
    assert X_kept.ravel().tolist() == [2, 3, 4, 5]
    with pytest.raises(InvalidInputError, match="labels of the risk table are not y"):
        RiskFilter(again, n_remove=2).fit(None, y[::-1])
