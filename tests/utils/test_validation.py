"""Texts, labels and embeddings as people have them, and errors that name rows."""

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from numpy.testing import assert_allclose
from oracles import embeddings, fitted

from smilearn import SlicedMIScorer
from smilearn.exceptions import InvalidInputError, MissingTextError
from smilearn.utils._labels import check_labelled_texts, check_labels
from smilearn.utils._validation import (
    check_texts,
)

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


@pytest.mark.parametrize("make", MISSING.values(), ids=MISSING)
def test_missing_texts_are_named_by_place(make):
    with pytest.raises(
        MissingTextError, match=r"^2 of 4 texts are missing, in rows 1, 3 "
    ):
        check_texts(make())


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


@pytest.mark.parametrize("pooled", [True, False])
def test_tensors_score_as_arrays(seed, pooled):
    X, y = embeddings(seed)
    expected = fitted(X, y, pooled=pooled)
    one = fitted(torch.tensor(X, requires_grad=True), torch.tensor(y), pooled=pooled)
    assert_allclose(one.scores_, expected.scores_, atol=1e-10)
    for name, value in vars(one).items():
        assert not isinstance(value, torch.Tensor), name
    assert_allclose(
        one.predict_proba(torch.tensor(X)), expected.predict_proba(X), atol=1e-10
    )
    assert one.score(torch.tensor(X), y) == expected.score(X, y)
    assert len(one.to_table(torch.tensor(X))) == len(y)


def test_no_tensor_is_copied_to_an_array(seed, monkeypatch):
    X, y = embeddings(seed)

    def refuse(*_, **__):
        raise AssertionError("copied to the host")

    tensor = torch.tensor(X)
    monkeypatch.setattr(torch.Tensor, "__array__", refuse)
    fitted(tensor, y).score_samples(tensor, y)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (torch.zeros(4), "2D array"),
        (torch.zeros((4, 0)), "1 feature"),
        (torch.zeros((1, 3)), "sample"),
        (torch.full((4, 3), torch.nan), "NaN or infinity"),
        (torch.full((4, 3), torch.inf), "NaN or infinity"),
        (torch.full((4, 3), 7e4).half(), "NaN or infinity"),
        (torch.zeros((4, 3), dtype=torch.complex64), "Complex"),
        (torch.eye(4).to_sparse(), "dense"),
    ],
)
def test_wrong_tensors_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        SlicedMIScorer(4).fit(wrong, [0, 1, 0, 1][: len(wrong)])


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_frames_give_their_names(seed, make):
    X, y = embeddings(seed)
    frame = make({f"x{i}": column for i, column in enumerate(X.T)})
    assert fitted(frame, y).feature_names_in_.tolist() == list(frame.columns)


NAMES = ["praise", "blame"]  # not in the order of the alphabet


@pytest.mark.parametrize("kind", [None, "numpy", "torch", "pandas", "polars", "arrow"])
def test_columns_of_a_data_set(kind):
    """Read at once, in any of its formats."""
    codes = [0, 1, 0, 0, 1]
    X = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=NAMES),
            "x": datasets.Sequence(datasets.Value("float32"), length=6),
        }
    )
    columns = {"text": TEXTS, "label": codes, "x": X.tolist()}
    data = datasets.Dataset.from_dict(columns, features=features).with_format(kind)
    assert check_texts(data["text"]) == TEXTS
    assert check_texts(data.select([3, 1])["text"]) == [TEXTS[3], TEXTS[1]]
    assert check_labels(data["label"]).tolist() == codes
    if kind in (None, "numpy", "torch"):
        expected = SlicedMIScorer(16, random_state=0).fit(X, codes)
        scorer = SlicedMIScorer(16, random_state=0).fit(data["x"], data["label"])
        assert_allclose(scorer.scores_, expected.scores_, atol=1e-6)
        score = scorer.score(data["x"], data["label"])
        assert score == pytest.approx(expected.score(X, codes), abs=1e-6)
