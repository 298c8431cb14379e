"""Columns of a `datasets.Dataset` as texts, labels and embeddings."""

import numpy as np
import pytest
import torch

from smilearn import FineTunedClassifier, SentenceEmbedder, SlicedMIScorer
from smilearn.exceptions import MissingTextError
from smilearn.utils._validation import check_labels, check_texts, read_column

datasets = pytest.importorskip("datasets")
TEXTS = [
    "the film was good",
    "a bright scene",
    "the plot was awful",
    "a dull actor",
] * 8
NAMES = ["praise", "blame"]  # not in the order of the alphabet
CODES = [0, 0, 1, 1] * 8


@pytest.fixture(scope="module")
def X():  # noqa: N802
    values = np.random.default_rng(0).normal(size=(32, 6)) + np.array(CODES)[:, None]
    return values.astype(np.float32)


@pytest.fixture(scope="module")
def data(X):
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=NAMES),
            "x": datasets.Sequence(datasets.Value("float32"), length=6),
        }
    )
    columns = {"text": TEXTS, "label": CODES, "x": X.tolist()}
    return datasets.Dataset.from_dict(columns, features=features)


def test_a_column_is_read_at_once(data, X):
    assert read_column(data["text"]) == TEXTS
    assert isinstance(read_column(data["x"]), list)
    array = read_column(data.with_format("numpy")["x"])
    tensor = read_column(data.with_format("torch")["x"])
    assert isinstance(array, np.ndarray)
    assert isinstance(tensor, torch.Tensor)
    assert (array == X).all()
    assert (tensor.numpy() == X).all()


@pytest.mark.parametrize("values", [[1, 2], np.arange(2), "text", None])
def test_anything_else_is_given_back(values):
    assert read_column(values) is values


@pytest.mark.parametrize("kind", [None, "numpy", "torch", "pandas", "polars", "arrow"])
def test_texts_and_labels_of_any_format(data, kind):
    data = data.with_format(kind)
    assert check_texts(data["text"]) == TEXTS
    labels = check_labels(data["label"])
    assert isinstance(labels, np.ndarray)
    assert labels.tolist() == CODES


def test_a_missing_text_is_named_by_its_row():
    data = datasets.Dataset.from_dict({"text": ["good", None, "bad"]})
    with pytest.raises(MissingTextError, match="row 1"):
        check_texts(data["text"])


def test_rows_that_were_chosen_stay_in_their_order(data):
    rows = [5, 1, 30]
    assert check_texts(data.select(rows)["text"]) == [TEXTS[row] for row in rows]


@pytest.mark.parametrize("kind", [None, "numpy", "torch"])
def test_embeddings_of_a_data_set(data, X, kind):
    data = data.with_format(kind)
    scorer = SlicedMIScorer(16, random_state=0).fit(data["x"], data["label"])
    expected = SlicedMIScorer(16, random_state=0).fit(X, CODES)
    assert np.allclose(scorer.scores_, expected.scores_, atol=1e-6)
    told = scorer.score_samples(data["x"], data["label"])
    assert np.allclose(told, expected.score_samples(X, CODES), atol=1e-6)
    assert scorer.score(data["x"], data["label"]) == expected.score(X, CODES)


def test_embedders_take_a_column(data, tiny_encoder, one_thread):
    embedder = SentenceEmbedder(tiny_encoder, device="cpu")
    rows = embedder.fit_transform(data["text"])
    assert (rows == embedder.fit_transform(TEXTS)).all()


def test_a_classifier_learns_the_codes_of_the_labels(data, tiny_encoder, one_thread):
    settings = {"max_epochs": 1, "early_point": None, "random_state": 0}
    classifier = FineTunedClassifier(tiny_encoder, device="cpu", **settings)
    told = classifier.fit(data["text"], data["label"]).predict_proba(data["text"])
    assert classifier.classes_.tolist() == [0, 1]
    expected = classifier.fit(TEXTS, CODES).predict_proba(TEXTS)
    assert np.allclose(told, expected)
