"""Tables of columns: to other libraries, in print, and ids from an index."""

import sys

import datasets
import numpy as np
import pandas as pd
import pytest
from risk_tables import made_table

from smilearn import RiskTable, SlicedMIScorer
from smilearn.exceptions import InvalidInputError, MissingDependencyError


@pytest.mark.parametrize(
    ("module", "method", "extra"),
    [
        ("matplotlib", "plot", "plot"),
        ("datasets", "to_datasets", "datasets"),
        ("pyarrow", "to_arrow", "frames"),
    ],
)
def test_missing_packages_give_the_pip_line(monkeypatch, module, method, extra):
    monkeypatch.setitem(sys.modules, module, None)
    match = rf"RiskTable\.{method} needs the package '{module}'.*smilearn\[{extra}\]"
    with pytest.raises(MissingDependencyError, match=match):
        getattr(made_table(), method)()


def test_arrow_and_data_sets_hold_the_columns():
    table = made_table()
    columns = {name: values.tolist() for name, values in table.columns.items()}
    assert table.to_arrow().to_pydict() == columns
    found = table.to_datasets()
    assert isinstance(found, datasets.Dataset)
    assert found.to_dict() == columns


@pytest.mark.parametrize("method", ["to_polars", "to_arrow"])
def test_mixed_ids_are_no_column_of_a_frame(method):
    table = RiskTable([0.1, 0.2], ["a", "b"], id=[1, "a"])
    with pytest.raises(InvalidInputError, match=r"cannot be (a frame|an Arrow column)"):
        getattr(table, method)()
    assert table.to_pandas()["id"].tolist() == [1, "a"]


def test_head_gives_rows_as_they_stand():
    table = made_table()
    assert table.head()["id"].tolist() == ["000", "001", "002", "003", "004"]
    assert len(table.head(99)) == 40
    assert not table.head().is_whole
    with pytest.raises(InvalidInputError, match="n must be 0 or more; got -1"):
        table.head(-1)


def test_control_characters_are_not_printed():
    family = "\U0001f468\u200d\U0001f469"
    text = ["\x1b[31mred\x07", "a\u202eb", family]
    table = RiskTable([0.1, 0.2, 0.3], ["a", "b", "\x1b]0;x\x07"], text=text)
    for shown in (repr(table), table._repr_html_()):
        assert "[31mred" in shown
        assert not set("\x1b\x07\u202e") & set(shown)
        assert family in shown


def test_index_of_pandas_becomes_the_ids():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 3)), [0, 1] * 6
    scorer = SlicedMIScorer(8, random_state=0).fit(X, y)
    index = [f"row {i}" for i in range(12)]
    frame, texts = pd.DataFrame(X, index=index), pd.Series(["a"] * 12, index=index)
    frame.columns = frame.columns.astype(str)
    assert scorer.to_table(texts=texts)["id"].tolist() == index
    assert scorer.to_table(X)["id"].tolist() == list(range(12))
    assert scorer.to_table(texts=texts, ids=range(12))["id"].tolist() == [*range(12)]
    fitted = SlicedMIScorer(8, random_state=0).fit(frame, y)
    assert fitted.to_table(frame)["id"].tolist() == index
