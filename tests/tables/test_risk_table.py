"""RiskTable: its columns, its rows in order of risk, and its ways out."""

import csv
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from smilearn import RiskTable
from smilearn.exceptions import InvalidInputError, MissingDependencyError
from smilearn.tables._io import read_columns

PSMI = [0.6, -1.5, 0.4, -1.5, 0.1]
LABEL = ["ham", "spam", "ham", "ham", "eggs"]
ALWAYS = ["id", "label", "psmi", "risk", "rank", "class_support"]
ALL = [
    *["id", "label", "text", "psmi", "std", "risk", "rank"],
    *["class_support", "most_likely_label"],
]


def full_table():
    return RiskTable(
        PSMI,
        LABEL,
        std=[0.1, 0.2, 0.3, 0.4, 0.5],
        most_likely_label=["ham", "ham", "ham", "spam", "eggs"],
        text=["one", "two, three", 'say "no"', "two\nlines", "naïve 映画"],
        id=["a", "b", "c", "d", "e"],
    )


def columns_as_lists(table):
    return {name: values.tolist() for name, values in table.columns.items()}


def test_columns_are_those_given_and_those_made():
    assert list(RiskTable(PSMI, LABEL).columns) == ALWAYS
    assert list(full_table().columns) == ALL


def test_columns_hold_what_they_say():
    columns = columns_as_lists(RiskTable(PSMI, LABEL))
    assert columns == {
        "id": [0, 1, 2, 3, 4],
        "label": LABEL,
        "psmi": PSMI,
        "risk": [-0.6, 1.5, -0.4, 1.5, -0.1],
        "rank": [5, 1, 4, 2, 3],  # ties keep their order
        "class_support": [3, 1, 3, 3, 1],
    }
    assert full_table()["id"].tolist() == ["a", "b", "c", "d", "e"]
    assert full_table()["most_likely_label"][3] == "spam"
    assert full_table()["std"][4] == 0.5
    assert len(full_table()) == 5


@pytest.mark.parametrize("as_column", [np.array, tuple, pl.Series, pa.array])
def test_columns_come_in_many_containers(as_column):
    table = RiskTable(as_column(PSMI), as_column(LABEL), text=as_column(LABEL))
    assert columns_as_lists(table)["label"] == LABEL
    assert [str(text) for text in table["text"]] == LABEL
    assert table["rank"].tolist() == [5, 1, 4, 2, 3]


def test_index_of_a_series_is_not_an_order():
    index = [4, 3, 2, 1, 0]
    table = RiskTable(pd.Series(PSMI, index=index), pd.Series(LABEL, index=index))
    assert columns_as_lists(table) == columns_as_lists(RiskTable(PSMI, LABEL))


def test_ranks_follow_the_risk_and_ties_keep_their_order(seed):
    psmi = np.random.default_rng(seed).integers(-3, 4, size=200) / 2
    table = RiskTable(psmi, np.arange(200) % 7)
    riskiest_first = sorted(range(200), key=lambda row: psmi[row])  # a stable sort
    assert [table["rank"][row] for row in riskiest_first] == list(range(1, 201))
    assert table.riskiest()["id"].tolist() == riskiest_first


@pytest.mark.parametrize(
    ("n", "ids"),
    [
        (0, []),
        (1, ["b"]),
        (3, ["b", "d", "e"]),
        (None, ["b", "d", "e", "c", "a"]),
        (99, ["b", "d", "e", "c", "a"]),
    ],
)
def test_riskiest_are_in_order_of_risk(n, ids):
    assert full_table().riskiest(n)["id"].tolist() == ids


def test_rows_keep_rank_and_support_of_the_whole():
    some = full_table().take([4, 0])
    assert some["id"].tolist() == ["e", "a"]
    assert some["rank"].tolist() == [3, 5]
    assert some["class_support"].tolist() == [1, 3]
    assert some.riskiest(1)["id"].tolist() == ["e"]
    assert list(some.columns) == ALL


@pytest.mark.parametrize(
    ("indices", "ids"),
    [
        ([True, False, False, True, False], ["a", "d"]),
        (np.array([False] * 5), []),
        ([], []),
        (np.array([], dtype=np.float64), []),
        ([-1, 1, 1], ["e", "b", "b"]),
        (range(2), ["a", "b"]),
    ],
)
def test_rows_are_taken_by_place_or_mask(indices, ids):
    table = full_table()
    assert table.take(indices)["id"].tolist() == ids
    assert len(table.take(indices)) == len(ids)
    assert len(table) == 5


@pytest.mark.parametrize("indices", [[5], [True, False]])
def test_rows_that_are_not_there_are_refused(indices):
    with pytest.raises(IndexError):
        full_table().take(indices)


def test_nan_is_refused():
    with pytest.raises(
        InvalidInputError, match="psmi must be one column of numbers; got NaN"
    ):
        RiskTable([0.1, np.nan], ["a", "b"])


def test_infinite_risk_is_the_riskiest():
    table = RiskTable([0.1, -np.inf, -7.0], ["a", "b", "b"])
    assert table["rank"].tolist() == [3, 1, 2]


def test_labels_of_another_length_are_refused():
    with pytest.raises(InvalidInputError, match="label has 3 rows where psmi has 2"):
        RiskTable([0.1, 0.2], ["a", "b", "a"])


@pytest.mark.parametrize("name", ["std", "most_likely_label", "text", "id"])
def test_columns_of_another_length_are_refused(name):
    with pytest.raises(InvalidInputError, match=f"differ in length: .*'{name}': 3"):
        RiskTable(
            [0.1, 0.2],
            ["a", "b"],
            **{name: list("123") if name == "text" else [1, 2, 3]},
        )


def test_unknown_column_is_a_key_error():
    with pytest.raises(KeyError, match="no_such"):
        full_table()["no_such"]


@pytest.mark.parametrize(("backend", "kind"), [("pandas", pd), ("polars", pl)])
def test_frames_hold_the_columns(backend, kind):
    table = full_table()
    frame = getattr(table, f"to_{backend}")()
    assert isinstance(frame, kind.DataFrame)
    held = {name: frame[name].to_list() for name in frame.columns}
    assert held == columns_as_lists(table)
    assert str(frame["psmi"].dtype).lower() == "float64"
    assert str(frame["rank"].dtype).lower() == "int64"


@pytest.mark.parametrize("backend", ["pandas", "polars"])
def test_missing_frame_package_gives_the_pip_line(monkeypatch, backend):
    monkeypatch.setitem(sys.modules, backend, None)
    match = rf"RiskTable\.to_{backend} needs the package '{backend}'.*pip install"
    with pytest.raises(MissingDependencyError, match=match):
        getattr(full_table(), f"to_{backend}")()


def test_parquet_round_trip(tmp_path):
    table = full_table()
    table.to_parquet(tmp_path / "risk.parquet")
    assert read_columns(tmp_path / "risk.parquet") == columns_as_lists(table)


def test_csv_round_trip(tmp_path):
    table = full_table()
    table.to_csv(tmp_path / "risk.csv")
    with (tmp_path / "risk.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == [*ALL, "schema"]
    text, psmi, rank = (header.index(name) for name in ("text", "psmi", "rank"))
    assert [row[text] for row in rows] == table["text"].tolist()
    assert [float(row[psmi]) for row in rows] == PSMI
    assert [row[rank] for row in rows] == ["5", "1", "4", "2", "3"]


def test_printed_table_is_aligned():
    assert repr(RiskTable([0.25, -11.5], ["ham", "spam"], text=["a  b\nc", ""])) == (
        "id  label  text   psmi     risk    rank  class_support\n"
        " 0  ham    a b c    0.250  -0.250     2              1\n"
        " 1  spam          -11.500  11.500     1              1"
    )


@pytest.mark.parametrize(("n", "more"), [(10, None), (11, 1), (25, 15)])
def test_printed_table_says_how_many_rows_follow(n, more):
    lines = repr(RiskTable(np.arange(n), ["a"] * n)).splitlines()
    if more is None:
        assert len(lines) == 11
    else:
        assert len(lines) == 12
        assert lines[-1] == f"... and {more} more rows"


def test_long_text_is_cut_in_print_and_nowhere_else():
    whole, long = "w" * 60, "x" * 61
    table = RiskTable([0.1, 0.2, 0.3], ["a", "a", "b"], text=["short", whole, long])
    for shown in (repr(table), table._repr_html_()):
        assert whole in shown
        assert long not in shown
        assert "x" * 59 + "…" in shown
        assert "x" * 60 not in shown
    assert table["text"][2] == long


class Cells(HTMLParser):
    """Collects the tags of a page, and the text of its cells."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def test_markup_in_texts_labels_and_ids_is_shown_not_run():
    evil = "<script>alert('1')</script> & co"
    table = RiskTable([0.5, -0.5], [evil, "b"], text=["<b>", evil], id=[evil, "<i>"])
    page = Cells(table._repr_html_())
    assert set(page.tags) == {"table", "thead", "tbody", "tr", "th", "td", "p"}
    assert page.texts.count(evil) == 3
    assert page.tags.count("td") == 2 * len(table.columns)


def test_notebook_table_says_how_many_samples():
    page = RiskTable(np.arange(12), ["a"] * 12)._repr_html_()
    assert page.count("<tr>") == 1 + 10
    assert "12 samples" in page


def test_table_of_no_rows(tmp_path):
    table = RiskTable([], [])
    assert len(table) == len(table.riskiest()) == len(table.take([])) == 0
    assert repr(table).split() == ALWAYS
    assert "0 samples" in table._repr_html_()
    assert table.to_pandas().shape == table.to_polars().shape == (0, len(ALWAYS))
    table.to_csv(tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text() == ",".join([*ALWAYS, "schema\n"])


def test_table_does_not_follow_the_array_it_was_made_from():
    psmi = np.array([0.5, -0.5])
    table = RiskTable(psmi, ["a", "b"])
    psmi[0] = 99
    assert table["psmi"].tolist() == [0.5, -0.5]


@pytest.mark.parametrize("labels", [["a", None], ["a", float("nan")], ["a", 1]])
def test_labels_must_be_whole(labels):
    with pytest.raises(InvalidInputError, match=r"labels are missing|labels mix"):
        RiskTable([0.1, 0.2], labels)


def test_suffix_must_fit_the_method(tmp_path):
    with pytest.raises(InvalidInputError, match=r"to_csv writes \.csv files"):
        full_table().to_csv(tmp_path / "risk.parquet")
