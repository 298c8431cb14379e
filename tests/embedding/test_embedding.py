"""Texts to embeddings with a pretrained model, against BERT run by hand."""

import io
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
import torch
from sentence_transformers import SentenceTransformer
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer

from smilearn import SentenceEmbedder, SlicedMIScorer
from smilearn.datasets import packaged_minilm
from smilearn.embedding import _sentence
from smilearn.exceptions import (
    InvalidInputError,
    MissingTextError,
    ModelUnavailableError,
    TruncationWarning,
)

SKLEARN = tuple(int(part) for part in sklearn.__version__.split(".")[:2])
TEXTS = [  # neither the shortest nor the longest first
    "the good film",
    "a bad movie, and the plot was dull and cold and awful.",
    "good",
    "",
    "the plot of the movie is bright and warm and the actor was great!",
    "a movie unheard of",
    "the good film",
]
MOST = 64  # tokens that the tiny encoder reads, two of them special

CONTAINERS = {
    "tuple": tuple,
    "array": np.array,
    "object array": lambda texts: np.array(texts, dtype=object),
    "series": lambda texts: pd.Series(texts, index=[9, 9, 0, -1, 3, 2, 1]),
    "polars": pl.Series,
    "arrow": pa.array,
    "arrow chunks": lambda texts: pa.chunked_array([texts[:2], texts[2:]]),
}


@pytest.fixture(scope="module")
def embedder(tiny_encoder):
    return SentenceEmbedder(tiny_encoder).fit(TEXTS)


@pytest.fixture
def encoded(monkeypatch):
    """Calls of the model's own encode: the texts and the options."""
    calls, encode = [], SentenceTransformer.encode

    def spy(self, texts, **options):
        calls.append((list(texts), options))
        return encode(self, texts, **options)

    monkeypatch.setattr(SentenceTransformer, "encode", spy)
    return calls


@torch.inference_mode()
def mean_of_last_states(folder, texts, most=MOST):
    """Each text alone, so that nothing is ever padded; (n_texts, n_features)."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        tokens = tokenizer(text, truncation=True, max_length=most, return_tensors="pt")
        rows.append(model(**tokens).last_hidden_state[0].mean(0).numpy())
    return np.array(rows)


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_rows_are_mean_last_states_in_the_order_of_the_texts(tiny_encoder, batch_size):
    embedder = SentenceEmbedder(tiny_encoder, batch_size=batch_size)
    X = embedder.fit_transform(TEXTS)
    assert X.shape == (len(TEXTS), 16)
    assert X.dtype == np.float32
    assert embedder.n_features_out_ == 16
    np.testing.assert_allclose(X, mean_of_last_states(tiny_encoder, TEXTS), atol=1e-5)


def test_one_by_one_equals_together(embedder):
    alone = np.concatenate([embedder.transform([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, embedder.transform(TEXTS), atol=1e-5)


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
def test_any_column_of_texts_gives_the_same_rows(embedder, make):
    np.testing.assert_array_equal(
        embedder.transform(make(TEXTS)), embedder.transform(TEXTS)
    )


def test_equal_texts_are_encoded_once_and_get_equal_rows(embedder, encoded):
    texts = ["good", "bad", "good", "a film", "bad", "good"]
    X = embedder.transform(texts)
    assert [sorted(given) for given, _ in encoded] == [["a film", "bad", "good"]]
    np.testing.assert_array_equal(X, X[[0, 1, 0, 3, 1, 0]])
    assert len(np.unique(X, axis=0)) == 3


def test_batches_reach_the_model_and_the_screen_stays_empty(
    tiny_encoder, encoded, capfd
):
    SentenceEmbedder(tiny_encoder, batch_size=4).fit(TEXTS).transform(TEXTS)
    assert [len(texts) for texts, _ in encoded] == [4, 2]  # of 6 that differ
    assert {options["batch_size"] for _, options in encoded} == {4}
    assert {options["show_progress_bar"] for _, options in encoded} == {False}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [0, 1])
def test_a_progress_bar_counts_texts_on_request(tiny_encoder, verbose, monkeypatch):
    bars = []

    class Bar(tqdm):
        def __init__(self, **options):
            super().__init__(**options, file=io.StringIO())
            bars.append((self, not self.disable))

    monkeypatch.setattr(_sentence, "tqdm", Bar)
    embedder = SentenceEmbedder(tiny_encoder, batch_size=4, verbose=verbose)
    embedder.fit(TEXTS).transform(TEXTS)
    [(bar, shown)] = bars
    assert shown is bool(verbose)
    assert (bar.n, bar.total) == ((6, 6) if verbose else (0, 6))


def test_no_texts_give_no_rows(tiny_encoder, encoded):
    embedder = SentenceEmbedder(tiny_encoder).fit([])
    with pytest.warns(TruncationWarning):
        embedder.transform(["the " * MOST])
    for nothing in ([], np.array([], dtype=str), pd.Series([], dtype=object)):
        X = embedder.transform(nothing)
        assert X.shape == (0, 16)
        assert X.dtype == np.float32
    assert embedder.n_truncated_ == 0
    assert len(encoded) == 1


def test_missing_text_names_its_rows(embedder, tiny_encoder):
    texts = pd.Series(["good", None, "bad", np.nan], index=[4, 5, 6, 7])
    for call in (embedder.transform, SentenceEmbedder(tiny_encoder).fit):
        with pytest.raises(MissingTextError, match=r"2 of 4 texts .* rows 1, 3"):
            call(texts)


def test_one_string_is_not_a_column(embedder):
    with pytest.raises(InvalidInputError, match="Wrap it in a list"):
        embedder.transform("good")


def test_truncated_texts_are_counted_each_time_they_occur(embedder, tiny_encoder):
    fits, longer = "the " * (MOST - 2), "the " * (MOST - 1)
    longest = "good " * 100 + "bad"
    texts = [longer, fits, longest, longer, "good"]
    with pytest.warns(TruncationWarning, match="3 of 5 texts .* 64 tokens") as caught:
        X = embedder.transform(texts)
    assert len(caught) == 1
    assert embedder.n_truncated_ == 3
    expected = mean_of_last_states(tiny_encoder, texts)
    np.testing.assert_allclose(X, expected, atol=1e-5)
    embedder.transform([fits, "good"])  # warns of nothing: it would be an error here
    assert embedder.n_truncated_ == 0


def test_normalize_scales_and_does_not_turn(embedder, tiny_encoder):
    X = embedder.transform(TEXTS)
    lengths = np.linalg.norm(X, axis=1, keepdims=True)
    assert (abs(lengths - 1) > 0.1).all()
    unit = SentenceEmbedder(tiny_encoder, normalize=True).fit_transform(TEXTS)
    np.testing.assert_allclose(unit, X / lengths, atol=1e-5)


def test_pickle_holds_no_weights_and_works_again(embedder):
    X = embedder.transform(TEXTS)
    pickled = pickle.dumps(embedder)
    assert len(pickled) < 1000
    again = pickle.loads(pickled)
    assert again.n_features_out_ == 16
    assert again.transform([]).shape == (0, 16)
    np.testing.assert_array_equal(again.transform(TEXTS), X)


def test_clone_keeps_parameters_and_forgets_the_fit(embedder):
    embedder = clone(embedder).set_params(normalize=True, batch_size=7).fit([])
    copy = clone(embedder)
    assert copy.get_params() == embedder.get_params()
    assert copy.get_params()["batch_size"] == 7
    with pytest.raises(NotFittedError):
        copy.transform(TEXTS)


def test_new_fit_loads_the_model_it_is_given(embedder, tiny_encoder, tmp_path):
    model = AutoModel.from_pretrained(tiny_encoder)
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(1.5)
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path)
    again = clone(embedder).fit(TEXTS).set_params(model=tmp_path).fit(TEXTS)
    expected = mean_of_last_states(tmp_path, TEXTS)
    np.testing.assert_allclose(again.transform(TEXTS), expected, atol=1e-5)
    assert abs(expected - embedder.transform(TEXTS)).max() > 0.1


def test_model_may_be_a_path(tiny_encoder, embedder):
    X = SentenceEmbedder(Path(tiny_encoder)).fit_transform(TEXTS)
    np.testing.assert_array_equal(X, embedder.transform(TEXTS))


def test_output_features_have_names(embedder):
    names = [f"sentenceembedder{i}" for i in range(16)]
    assert embedder.get_feature_names_out().tolist() == names
    framed = clone(embedder).set_output(transform="pandas")
    frame = framed.fit_transform(pd.Series(["good", "bad"], index=[7, 3]))
    assert frame.columns.tolist() == names
    if SKLEARN >= (1, 8):  # older ones drop the index of a series
        assert frame.index.tolist() == [7, 3]


@pytest.mark.parametrize("name", ["nowhere", "nobody/nothing-at-all"])
def test_unknown_name_says_what_to_do(name):
    match = (
        f"No model '{name}'.* nor in the local cache.* cannot be reached.* Check the "
        r'name .* give a folder, or install "smilearn\[demo\]"'
    )
    with pytest.raises(ModelUnavailableError, match=match):
        SentenceEmbedder(name).fit(TEXTS)


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./nowhere", "a/b/c"])
def test_unknown_folder_is_named(name):
    with pytest.raises(ModelUnavailableError, match=f"No folder '{name}' to load"):
        SentenceEmbedder(name).fit(TEXTS)


def test_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ModelUnavailableError, match="holds no model that can be"):
        SentenceEmbedder(tmp_path).fit(TEXTS)


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"model": None}, {"normalize": "yes"}]
)
def test_wrong_parameter_is_named(tiny_encoder, wrong):
    [name] = wrong
    with pytest.raises(ValueError, match=f"The {name!r} parameter of SentenceEmbed"):
        SentenceEmbedder(**{"model": tiny_encoder, **wrong}).fit(TEXTS)


def test_pipeline_scores_texts(tiny_encoder, seed):
    y = np.array([1, 0, 1, 0, 1, 0, 0])
    scorer = SlicedMIScorer(32, random_state=seed)
    pipeline = make_pipeline(SentenceEmbedder(tiny_encoder), scorer).fit(TEXTS, y)
    expected = clone(scorer).fit(mean_of_last_states(tiny_encoder, TEXTS), y)
    np.testing.assert_allclose(pipeline[-1].scores_, expected.scores_, atol=1e-3)
    assert pipeline.score_samples(TEXTS[:2]).shape == (2,)
    assert np.ptp(expected.scores_) > 0.01


@pytest.mark.slow
def test_packaged_model_agrees_with_bert_by_hand():
    folder = packaged_minilm()
    embedder = SentenceEmbedder(folder)
    X = embedder.fit_transform(TEXTS)
    assert X.shape == (7, 384)
    expected = mean_of_last_states(folder, TEXTS)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(X, expected, atol=1e-5)
    film, picture, rain = embedder.transform(
        ["a movie", "a motion picture", "it rains"]
    )
    assert film @ picture > film @ rain + 0.2
