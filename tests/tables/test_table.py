"""Tables in print, in notebooks, in other libraries, and carried by pickle."""

import copy
import pickle
import sys
from html.parser import HTMLParser

import datasets
import numpy as np
import pytest
from risk_tables import made_table

from smilearn import RiskTable
from smilearn.exceptions import InvalidInputError, MissingDependencyError


def test_printed_table_is_aligned():
    assert repr(RiskTable([0.25, -11.5], ["ham", "spam"], text=["a  b\nc", ""])) == (
        "id  label  text   risk    rank  class_support\n"
        " 0  ham    a b c  -0.250     2              1\n"
        " 1  spam          11.500     1              1"
    )


@pytest.mark.parametrize(("n", "more"), [(10, None), (11, 1), (25, 15)])
def test_printed_table_says_how_many_rows_follow(n, more):
    lines = repr(RiskTable(np.arange(n), ["a"] * n)).splitlines()
    assert len(lines) == 11 + (more is not None)
    assert more is None or lines[-1] == f"... and {more} more rows"


def test_long_text_is_cut_in_print_and_nowhere_else():
    whole, long = "w" * 60, "x" * 61
    table = RiskTable([0.1, 0.2, 0.3], ["a", "a", "b"], text=["short", whole, long])
    for shown in (repr(table), table._repr_html_()):
        assert whole in shown
        assert "x" * 59 + "…" in shown
        assert "x" * 60 not in shown
    assert table["text"][2] == long


def test_control_characters_are_not_printed():
    family = "\U0001f468\u200d\U0001f469"
    text = ["\x1b[31mred\x07", "a\u202eb", family]
    table = RiskTable([0.1, 0.2, 0.3], ["a", "b", "\x1b]0;x\x07"], text=text)
    for shown in (repr(table), table._repr_html_()):
        assert "[31mred" in shown
        assert not set("\x1b\x07\u202e") & set(shown)
        assert family in shown


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
    assert "2 samples; risk in nats, high = at risk; riskiest first" in page.texts


def test_head_gives_rows_as_they_stand():
    table = made_table()
    assert table.head()["id"].tolist() == ["000", "001", "002", "003", "004"]
    assert len(table.head(99)) == 40
    assert not table.head().is_whole
    with pytest.raises(InvalidInputError, match="n must be 0 or more; got -1"):
        table.head(-1)


@pytest.mark.parametrize(
    ("indices", "ids"),
    [
        ([True, False, False, True, False], ["000", "003"]),
        (np.array([False] * 5), []),
        ([], []),
        (np.array([], dtype=np.float64), []),
        ([-1, 1, 1], ["004", "001", "001"]),
        (range(2), ["000", "001"]),
    ],
)
def test_rows_are_taken_by_place_or_mask(indices, ids):
    table = made_table(5)
    assert table.take(indices)["id"].tolist() == ids
    assert len(table) == 5


@pytest.mark.parametrize(
    ("indices", "error", "match"),
    [
        ([5], IndexError, "out of bounds"),
        ([True, False], IndexError, "boolean"),
        ([[0, 1]], InvalidInputError, r"one row of numbers; got shape \(1, 2"),
    ],
)
def test_rows_that_are_not_there_are_refused(indices, error, match):
    with pytest.raises(error, match=match):
        made_table(5).take(indices)


def test_unknown_column_is_a_key_error():
    with pytest.raises(KeyError, match="no column 'no_such'; columns are"):
        made_table()["no_such"]


@pytest.mark.parametrize(
    ("module", "method", "extra"),
    [
        ("datasets", "to_datasets", "datasets"),
        ("pyarrow", "to_arrow", "frames"),
        ("pandas", "to_pandas", "frames"),
    ],
)
def test_missing_packages_give_the_pip_line(monkeypatch, module, method, extra):
    monkeypatch.setitem(sys.modules, module, None)
    match = rf"RiskTable\.{method} needs the package '{module}'.*smilearn\[{extra}\]"
    with pytest.raises(MissingDependencyError, match=match):
        getattr(made_table(), method)()


def test_pandas_frames_and_files_need_no_arrow(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    table = made_table()
    assert table.to_pandas()["text"].tolist() == table["text"].tolist()
    table.to_parquet(tmp_path / "t.parquet")
    assert RiskTable.read(tmp_path / "t.parquet").frame.equals(table.frame)


def test_data_sets_hold_the_columns():
    found = made_table().to_datasets()
    assert isinstance(found, datasets.Dataset)
    assert found.to_dict() == made_table().frame.to_dict(as_series=False)


@pytest.mark.parametrize(
    "carry", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))]
)
def test_tables_are_carried(carry):
    table = made_table().riskiest(7)
    again = carry(table)
    assert again.frame.equals(table.frame)
    assert again.is_whole is False
