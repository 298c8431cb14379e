"""Texts as people have them: every container, and messages that name rows."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smilearn.exceptions import InvalidInputError, MissingTextError, SmilearnError
from smilearn.utils._validation import check_labelled_texts, check_texts

TEXTS = ["a dull film", "", "naïve 映画 🎬", "two\nlines, and a comma", " "]

CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "generator": iter,
    "array": np.array,
    "object array": lambda texts: np.array(texts, dtype=object),
    "series": pd.Series,
    "series, odd index": lambda texts: pd.Series(texts, index=[9, 9, 0, -1, 3]),
    "series, string dtype": lambda texts: pd.Series(texts, dtype="string"),
    "series, categorical": lambda texts: pd.Series(texts, dtype="category"),
    "series, object dtype": lambda texts: pd.Series(texts, dtype=object),
    "polars": pl.Series,
    "polars categorical": lambda texts: pl.Series(texts, dtype=pl.Categorical),
    "arrow": pa.array,
    "arrow chunks": lambda texts: pa.chunked_array([texts[:2], texts[2:]]),
}

MISSING = {
    "None": lambda: ["a", None, "b", None],
    "nan": lambda: ["a", float("nan"), "b", np.float32("nan")],
    "pd.NA": lambda: ["a", pd.NA, "b", pd.NaT],
    "series": lambda: pd.Series(["a", None, "b", np.nan], index=[7, 5, 3, 1]),
    "series, NA": lambda: pd.Series(["a", pd.NA, "b", pd.NA], dtype="string"),
    "series, object": lambda: pd.Series(["a", None, "b", pd.NA], dtype=object),
    "polars": lambda: pl.Series(["a", None, "b", None]),
    "arrow": lambda: pa.array(["a", None, "b", None]),
    "arrow chunks": lambda: pa.chunked_array([["a", None], ["b", None]]),
    "object array": lambda: np.array(["a", None, "b", np.nan], dtype=object),
}


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
def test_texts_come_back_in_order_as_plain_strings(make):
    checked = check_texts(make(TEXTS))
    assert checked == TEXTS
    assert type(checked) is list
    assert {type(text) for text in checked} == {str}


@settings(deadline=None)
@given(st.lists(st.text(), max_size=20))
def test_any_strings_pass_unchanged(texts):
    assert check_texts(texts) == texts
    assert check_texts(np.array(texts, dtype=object)) == texts


def test_the_list_given_is_not_the_list_returned():
    texts = ["a", "b"]
    check_texts(texts).append("c")
    assert texts == ["a", "b"]


def test_no_texts_are_no_error():
    assert check_texts([]) == []


@pytest.mark.parametrize("make", MISSING.values(), ids=MISSING)
def test_missing_texts_are_named_by_place(make):
    with pytest.raises(
        MissingTextError, match=r"^2 of 4 texts are missing, in rows 1, 3 "
    ):
        check_texts(make())


@settings(deadline=None)
@given(st.lists(st.sampled_from(["text", None, float("nan")]), min_size=1, max_size=30))
def test_every_missing_text_is_counted(texts):
    gaps = [row for row, text in enumerate(texts) if text != "text"]
    if not gaps:
        assert check_texts(texts) == texts
        return
    with pytest.raises(MissingTextError) as caught:
        check_texts(texts)
    message = str(caught.value)
    assert message.startswith(f"{len(gaps)} of {len(texts)} texts are missing, in row")
    assert ", ".join(map(str, gaps[:5])) in message
    assert (f"and {len(gaps) - 5} more" in message) == (len(gaps) > 5)


def test_one_missing_text_is_in_the_singular():
    with pytest.raises(MissingTextError, match=r"in row 0 \(counted from 0\)"):
        check_texts([None, "a"])


def test_missing_texts_are_told_before_other_things():
    with pytest.raises(MissingTextError, match="row 1 "):
        check_texts([3, None, "a"])


@pytest.mark.parametrize("text", ["one string", b"bytes", np.str_("numpy's")])
def test_one_string_is_not_taken_apart(text):
    with pytest.raises(InvalidInputError, match=r"got one string\. Wrap it in a list"):
        check_texts(text)


@pytest.mark.parametrize(
    ("texts", "shape"),
    [
        (np.array([["a", "b"]]), r"\(1, 2\)"),
        (np.array("a"), r"\(\)"),
    ],
)
def test_matrices_and_scalars_are_refused(texts, shape):
    with pytest.raises(InvalidInputError, match=f"one column; got shape {shape}"):
        check_texts(texts)


@pytest.mark.parametrize(
    ("texts", "match"),
    [
        (["a", 3, "b", 4], "rows 1, 3 .counted from 0. hold int, such as 3"),
        (["a", b"b"], "row 1 .* hold bytes, such as b'b'"),
        (["a", ["b"]], "row 1 .* hold list"),
        (["a", 1.5], "row 1 .* hold float, such as 1.5"),
        (["a", True], "row 1 .* hold bool"),
        (pd.Series([10, 20]), "rows 0, 1 .* hold int"),
        (pl.Series([10, 20]), "rows 0, 1 .* hold int"),
        (np.arange(9), "rows 0, 1, 2, 3, 4 and 4 more .* hold int64"),
        (pa.chunked_array([[1.5, 2.5]]), "rows 0, 1 .* hold float"),
    ],
)
def test_other_things_are_named_by_place_and_type(texts, match):
    with pytest.raises(InvalidInputError, match=match) as caught:
        check_texts(texts)
    assert not isinstance(caught.value, MissingTextError)


def test_errors_are_also_the_standard_ones():
    with pytest.raises(ValueError, match="missing"):
        check_texts([None])
    assert issubclass(MissingTextError, SmilearnError)


@pytest.mark.parametrize("make", [list, np.array, pd.Series, pl.Series, pa.array])
def test_labels_are_coded_in_the_order_of_the_texts(make):
    labels = ["spam", "ham", "spam", "eggs", "spam"]
    texts, classes, codes = check_labelled_texts(pd.Series(TEXTS), make(labels))
    assert texts == TEXTS
    assert classes.tolist() == ["eggs", "ham", "spam"]
    assert codes.tolist() == [2, 1, 2, 0, 2]


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (["a"] * 5, r"2 classes or more; got \['a'\] only"),
        (["a", "b"], "inconsistent numbers of samples"),
        ([0.5, 1.5, 2.5, 0.1, 0.2], "Unknown label type: continuous"),
        ([["a", "b"]] * 5, "1d array"),
    ],
)
def test_labels_that_are_not_classes_are_refused(y, match):
    with pytest.raises(ValueError, match=match):
        check_labelled_texts(TEXTS, y)


def test_labelled_texts_must_be_texts():
    with pytest.raises(MissingTextError, match="row 1"):
        check_labelled_texts(["a", None], [0, 1])
