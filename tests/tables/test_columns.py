"""Columns that a risk table takes, without loss, and those that it refuses."""

import datetime as dt
import uuid

import numpy as np
import pandas as pd
import polars as pl
import pytest

from smilearn import RiskTable, SlicedMIScorer
from smilearn.exceptions import InvalidInputError

KEPT = {
    "padded": ["007", "7"],
    "NUL": ["a\0", "a"],
    "ints": [7, -(2**62)],
    "uint8": np.array([0, 255], np.uint8),
    "uint64": np.array([2**64 - 1, 2**64 - 2], np.uint64),
    "big": [2**63, 2**63 + 1],
    "numpy ints": [np.int64(1), np.int64(2)],
    "floats": [0.1, 1e-300],
    "bools": [True, False],
    "array of strings": np.array(["a", "long one"]),
    "dates": [dt.date(2020, 1, 2), dt.date(1, 1, 1)],
    "moments": [dt.datetime(2020, 1, 2, 3, 4, 5, 6), dt.datetime(2021, 1, 1)],
    "whole numbers of pandas": pd.Series([2**60, 2**60 + 1], dtype="Int64"),
    "bytes": [b"a\0", b"a"],
}


@pytest.mark.parametrize("values", KEPT.values(), ids=KEPT)
def test_ids_and_labels_are_those_given(values):
    table = RiskTable([0.1, 0.2], values, id=values)
    wanted = values.tolist() if hasattr(values, "tolist") else list(values)
    for name in ("id", "label"):
        assert table.frame[name].to_list() == wanted
        assert table[name].tolist() == wanted
    assert table["class_support"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (pd.date_range("2020", periods=2), ["2020-01-01 00:00:00"] * 1),
        (np.array(["2020-01-01T07", "2021-01-01T00"], "M8[h]"), ["2020-01-01 07:00"]),
        (pd.date_range("2020", periods=2, tz="UTC"), ["2020-01-01 00:00:00+00:00"]),
        (pd.Categorical(["a", "b"]), ["a  "]),
        (pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]), ["('a', 1)"]),
        (pd.period_range("2020-01", periods=2, freq="M"), ["2020-01  x"]),
        ([uuid.UUID(int=1), uuid.UUID(int=2)], [str(uuid.UUID(int=1))]),
    ],
)
def test_ids_of_pandas_and_numpy(values, shown):
    table = RiskTable([0.1, 0.2], ["x", "y"], id=values)
    assert all(each in repr(table) for each in shown)
    assert table.frame["id"].n_unique() == 2


REFUSED = {
    "mixed": ([1, "1"], "one type: .* got int and str"),
    "mixed array": (np.array([1, "a"], object), "got int and str"),
    "true and one": ([1, True], "got bool and int"),
    "dates and moments": ([dt.date(2020, 1, 1), dt.datetime(2020, 1, 1)], "got date"),
    "beyond 64 bits": ([2**64, -1], "numbers of 64 bits"),
    "missing": (["a", None], "id must be given for each row; 1 are missing, .* row 1"),
    "no time": (np.array(["2020", "NaT"], "M8[ns]"), "1 are missing"),
    "gaps": (pd.Series([1, None], dtype="Int64"), "1 are missing"),
    "lists": ([[1], [2]], "Turn them into strings first"),
    "two columns": (np.ones((2, 2)), r"id must be one column; got shape \(2, 2\)"),
    "a string": ("ab", "id must be a sequence; got 'ab'"),
    "a number": (7, "id must be a sequence; got 7"),
}


@pytest.mark.parametrize(("values", "match"), REFUSED.values(), ids=REFUSED)
def test_ids_of_no_one_type_are_refused(values, match):
    with pytest.raises(InvalidInputError, match=match):
        RiskTable([0.1, 0.2], ["a", "b"], id=values)


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (["a", None], "1 missing, in row 1"),
        (["a", float("nan")], "1 missing, in row 1"),
        (["a", 1], "labels must be of one kind"),
        ([2**64, -1], "numbers of 64 bits"),
        (pl.Series(["a", None]), "1 are missing"),
    ],
)
def test_labels_must_be_of_one_type(labels, match):
    with pytest.raises(InvalidInputError, match=match):
        RiskTable([0.1, 0.2], labels)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"score": ["a", "b"]}, "score must be one column of numbers"),
        ({"score": [0.1, np.nan]}, "score must be one column of numbers; got NaN"),
        ({"psmi": [np.nan, np.inf]}, "psmi must be one column of numbers; got NaN"),
        ({"probability": [0.1, 1.5]}, r"probability must lie in \[0, 1\]; got 1.5"),
        ({"probability": [-1e-9, 1]}, r"must lie in \[0, 1\]; got -1e-09"),
        ({"probability": [0.1, np.nan]}, "probability must be one .*; got NaN"),
        ({"probability": [0.5]}, "differ in length: .*'probability': 1"),
        ({"std": pl.Series([None, 0.5])}, "std must be one column of numbers; got NaN"),
        ({"std": np.ones((2, 2))}, r"std must be one column .* shape \(2, 2\)"),
        ({"text": ["a", None]}, "1 of 2 texts are missing"),
        ({"label": ["a"]}, "differ in length: .*'label': 1"),
        ({"std": [1, 2, 3]}, "differ in length: .*'std': 3"),
        ({"most_likely_label": ["a"]}, "differ in length: .*'most_likely_label': 1"),
        ({"text": list("abc")}, "differ in length: .*'text': 3"),
        ({"id": [1]}, "differ in length: .*'id': 1"),
    ],
)
def test_columns_that_do_not_fit_are_refused(wrong, said):
    with pytest.raises(InvalidInputError, match=said):
        RiskTable(**{"score": [0.1, 0.2], "label": ["a", "b"], **wrong})


def test_table_does_not_follow_the_arrays_it_was_made_from():
    numbers, ids = np.array([0.5, 0.25]), np.array([1, 2])
    names = ("score", "probability", "psmi", "std")
    table = RiskTable(label=["a", "b"], id=ids, **dict.fromkeys(names, numbers))
    numbers[0] = ids[0] = 99
    assert table["risk"].tolist() == [-0.5, -0.25]
    for name in names[1:]:
        assert table[name].tolist() == [0.5, 0.25]
    assert table["id"].tolist() == [1, 2]


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
