"""Labels keep their type; what is no label is refused, with the row and the remedy."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from smilearn import SlicedMIScorer
from smilearn.exceptions import InvalidInputError, SimilarLabelsWarning
from smilearn.utils._labels import check_classes, check_labels

BIG = 2**60 + 1

KEPT = {
    "Int64": (pd.Series([1, BIG], dtype="Int64"), [1, BIG]),
    "int64[pyarrow]": (pd.Series([1, BIG], dtype="int64[pyarrow]"), [1, BIG]),
    "boolean": (pd.Series([True, False], dtype="boolean"), [True, False]),
    "bool[pyarrow]": (pd.Series([True, False], dtype="bool[pyarrow]"), [True, False]),
    "string": (pd.Series(["a", "b"], dtype="string"), ["a", "b"]),
    "category": (pd.Series(["a", "b"], dtype="category"), ["a", "b"]),
    "index": (pd.Index(["a", "b"]), ["a", "b"]),
    "polars": (pl.Series([1, BIG]), [1, BIG]),
    "polars strings": (pl.Series(["a", "b"]), ["a", "b"]),
    "polars categories": (pl.Series(["a", "b"], dtype=pl.Categorical), ["a", "b"]),
    "arrow": (pa.array([1, BIG]), [1, BIG]),
    "view": (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
    "chunks": (pa.chunked_array([["a"], ["b"]]), ["a", "b"]),
    "StringDType": (np.array(["a", "b"], np.dtypes.StringDType()), ["a", "b"]),
    "int8": (pd.Series([1, 2], dtype="int8"), [1, 2]),
    "uint64": (pd.Series([2**63, 1], dtype="uint64"), [2**63, 1]),
    "objects": (np.array([1, BIG], object), [1, BIG]),
    "numbers of NumPy": ([np.int64(1), np.int8(2)], [1, 2]),
    "big-endian": (np.array([1, 2], ">i8"), [1, 2]),
    "tensor": (torch.tensor([1, 2]), [1, 2]),
    "iterator": (iter("ab"), ["a", "b"]),
    "range": (range(3), [0, 1, 2]),
    "floats": ([1.0, 2], [1.0, 2.0]),
    "ends in NUL": (["a\0", "a"], ["a\0", "a"]),
}

REFUSED = {
    "None": (["a", None], "1 missing, in row 1 "),
    "NaN": ([1.0, float("nan"), 2.0, float("nan")], "2 missing, in rows 1, 3 "),
    "NaN of NumPy": (np.array([1.0, np.nan]), "1 missing, in row 1 "),
    "pd.NA": (pd.Series(["a", pd.NA], dtype="string"), "1 missing, in row 1 "),
    "Int64 with a gap": (pd.Series([1, None], dtype="Int64"), "1 missing, in row 1 "),
    "polars": (pl.Series([None, 1]), "1 missing, in row 0 "),
    "arrow": (pa.array(["a", None]), "1 missing, in row 1 "),
    "NaT": (np.array(["2020", "NaT"], "M8[D]"), "1 missing, in row 1 "),
    "nan beside 'nan'": ([float("nan"), "nan", "c"], "1 missing, in row 0 "),
    "numbers and strings": ([1, "1", 2], r"numbers \(1 in row 0\) and strings \('1'"),
    "bool and numbers": ([True, 2], "true or false .* and numbers"),
    "a mask": (np.ma.array([1, 2], mask=[0, 1]), "masked array .*filled"),
    "half a character": (["a", "\ud83d"], "Unicode; row 1 "),
    "half in an array": (np.array(["a", "\ud83d"]), "Unicode; row 1 "),
    "1e30": ([10**30, 1], "64 bits.*Turn them into strings"),
    "2**63": ([2**63, 1], "64 bits"),
    "rounded": ([2**53 + 1, 0.5], "hold them exactly; got 9007199254740993"),
    "one string": ("ab", "must be a sequence"),
    "a dict": ({"y": [1, 2]}, r"give ds\['y'\]"),
    "two columns": (pd.DataFrame({"y": [1], "z": [2]}), r"give ds\['y'\]"),
    "a table": (pa.table({"y": [1], "z": [2]}), r"give ds\['y'\]"),
    "rows": ([[1, 2], [3, 4]], "1d array"),
    "dates": (np.array(["2020-01-01", "2020-01-02"], "M8[ns]"), "into strings"),
    "nothing": (None, "requires y to be passed"),
}


@pytest.mark.parametrize("kind", KEPT)
def test_types_are_kept(kind):
    y, expected = KEPT[kind]
    labels = check_labels(y)
    assert labels.tolist() == expected
    assert list(map(type, labels.tolist())) == list(map(type, expected))


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_label_is_refused(kind):
    y, said = REFUSED[kind]
    with pytest.raises((InvalidInputError, ValueError), match=said):
        check_labels(y)


def test_labels_that_may_be_typos_are_named():
    y = np.array(["positive", "positive ", "Positive", "negative"] * 3)
    with pytest.warns(SimilarLabelsWarning, match="'Positive' and 'positive' and"):
        check_classes(y)
    check_classes(np.array(["positive", "negative"] * 3))


def test_texts_in_the_place_of_labels_are_refused():
    X = np.random.default_rng(0).normal(size=(30, 4))
    texts = [f"a text of {n} words" for n in range(30)]
    with pytest.raises(InvalidInputError, match="30 different labels, such as 'a text"):
        SlicedMIScorer(16, random_state=0).fit(X, texts)


@pytest.mark.parametrize("kind", ["Int64", "boolean", "int64[pyarrow]", "string"])
def test_a_table_of_nullable_labels_filters_its_own_data(kind, tmp_path):
    values = ["a", "b"] * 20 if kind == "string" else [True, False] * 20
    y = pd.Series(values, dtype="boolean" if kind == "boolean" else None)
    y = y.astype(kind)
    X = np.random.default_rng(0).normal(size=(40, 4))
    table = SlicedMIScorer(16, random_state=0).fit(X, y).to_table(X)
    plain = [v.item() if isinstance(v, np.generic) else v for v in y.to_list()]
    assert table["label"].tolist() == plain
