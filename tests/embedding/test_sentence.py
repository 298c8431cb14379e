"""Texts to embeddings with a pretrained model, against BERT run by hand."""

import io
import pickle
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sklearn.base import clone
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer

from smilearn import SentenceEmbedder
from smilearn.embedding import _batches
from smilearn.exceptions import (
    InvalidInputError,
    ModelUnavailableError,
    TruncationWarning,
)

# one of the texts is empty
pytestmark = pytest.mark.filterwarnings(
    "ignore::smilearn.exceptions.UnknownTokensWarning"
)
TEXTS = [  # neither the shortest nor the longest first
    "the good film",
    "a bad movie, and the plot was dull and cold and awful.",
    "good",
    "",
    "the plot of the movie is bright and warm and the actor was great!",
    "a movie unheard of",
    "the good film",
]
PROMPTS = {"film": "the film is ", "plot": "the plot was "}
MOST = 64  # tokens that the tiny encoder reads, two of them special


@pytest.fixture(scope="module")
def embedder(tiny_encoder):
    return SentenceEmbedder(tiny_encoder).fit(TEXTS)


@pytest.fixture(scope="module")
def prompted(tiny_encoder, tmp_path_factory):
    """Folder of the tiny encoder with prompts of its own, one the default."""
    folder = tmp_path_factory.mktemp("prompted")
    model = SentenceTransformer(tiny_encoder, device="cpu")
    model.prompts, model.default_prompt_name = PROMPTS, "plot"
    model.save(str(folder))
    return str(folder)


@pytest.fixture
def encoded(monkeypatch):
    """Texts given to the model's own encode, call by call."""
    calls, encode = [], SentenceTransformer.encode

    def spy(self, texts, **options):
        calls.append(list(texts))
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


def rows_of(model, texts=TEXTS, **options):
    return SentenceEmbedder(model, **options).fit_transform(texts)


def close(X, Y):
    return np.allclose(X, Y, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_rows_are_mean_last_states_in_the_order_of_the_texts(tiny_encoder, batch_size):
    embedder = SentenceEmbedder(Path(tiny_encoder), batch_size=batch_size)
    X = embedder.fit_transform(TEXTS)
    assert (X.shape, X.dtype, embedder.n_features_out_) == ((7, 16), np.float32, 16)
    assert close(X, mean_of_last_states(tiny_encoder, TEXTS))


def test_equal_texts_are_encoded_once_in_batches(tiny_encoder, encoded, capfd):
    texts = ["good", "bad", "good", "a film", "bad", "good"]
    X = rows_of(tiny_encoder, texts, batch_size=2)
    assert encoded == [["a film", "good"], ["bad"]]
    np.testing.assert_array_equal(X, X[[0, 1, 0, 3, 1, 0]])
    assert len(np.unique(X, axis=0)) == 3
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [0, 1])
def test_a_progress_bar_counts_texts_on_request(tiny_encoder, verbose, monkeypatch):
    bars = []

    class Bar(tqdm):
        def __init__(self, *, disable, **options):
            assert disable is (None if verbose else True)  # shown on a terminal only
            super().__init__(**options, disable=False, file=io.StringIO())
            bars.append(self)

    monkeypatch.setattr(_batches, "tqdm", Bar)
    rows_of(tiny_encoder, batch_size=4, verbose=verbose)
    [bar] = bars
    assert (bar.n, bar.total) == (6, 6)


@pytest.mark.parametrize("cached", [False, True])
def test_truncated_texts_are_counted_each_time_they_occur(
    tiny_encoder, cached, tmp_path
):
    fits, longer = "the " * (MOST - 2), "the " * (MOST - 1)
    longest = "good " * 100 + "bad"
    texts = [longer, fits, longest, longer, "good"]
    folder = tmp_path if cached else None
    embedder = SentenceEmbedder(tiny_encoder, cache_folder=folder).fit([])
    for _ in range(2):
        with pytest.warns(TruncationWarning, match="3 of 5 texts .* 64 tok") as caught:
            X = embedder.transform(texts)
        assert len(caught) == 1
        assert embedder.n_truncated_ == 3
    assert close(X, mean_of_last_states(tiny_encoder, texts))
    embedder.transform([fits, "good"])  # warns of nothing: it would be an error here
    assert embedder.n_truncated_ == 0


def test_pickle_holds_no_weights_and_works_again(embedder):
    X = embedder.transform(TEXTS)
    pickled = pickle.dumps(embedder)
    assert len(pickled) < 1500
    again = pickle.loads(pickled)
    assert again.transform([]).shape == (0, 16)
    np.testing.assert_array_equal(again.transform(TEXTS), X)


def test_prompts_are_put_before_each_text(prompted, tiny_encoder):
    plain = {
        name: rows_of(tiny_encoder, [prompt + text for text in TEXTS])
        for name, prompt in PROMPTS.items()
    }
    assert close(rows_of(tiny_encoder, prompt=PROMPTS["film"]), plain["film"])
    assert close(rows_of(prompted, prompt_name="film"), plain["film"])
    assert close(rows_of(prompted), plain["plot"])  # its default
    assert close(rows_of(prompted, prompt=""), rows_of(tiny_encoder))
    assert not close(plain["film"], plain["plot"])
    with pytest.raises(InvalidInputError, match=r"'movie' is none .*'film', 'plot'"):
        SentenceEmbedder(prompted, prompt_name="movie").fit(TEXTS)
    with pytest.raises(InvalidInputError, match="prompt or prompt_name, not both"):
        SentenceEmbedder(prompted, prompt="x", prompt_name="film").fit(TEXTS)


def test_truncation_counts_the_prompt(tiny_encoder):
    texts = ["the " * (MOST - 4), "the " * (MOST - 5), "a"]
    assert rows_of(tiny_encoder, texts).shape == (3, 16)  # all fit, no warning
    with pytest.warns(TruncationWarning, match="1 of 3 texts"):
        rows_of(tiny_encoder, texts, prompt="the good film ")


def test_devices_of_a_list_are_workers_of_one_pool(tiny_encoder, tmp_path, monkeypatch):
    started, stopped, encode = [], [], SentenceTransformer.encode

    def start(self, devices):
        started.append(devices)
        return "pool"

    def fake(self, texts, *, pool, **options):
        assert pool == "pool"
        return encode(self, texts, **options)

    stop = staticmethod(stopped.append)
    monkeypatch.setattr(SentenceTransformer, "start_multi_process_pool", start)
    monkeypatch.setattr(SentenceTransformer, "stop_multi_process_pool", stop)
    monkeypatch.setattr(SentenceTransformer, "encode", fake)
    options = {"device": ["cpu", "cpu"], "batch_size": 1}
    texts = [f"good {i}" for i in range(150)]  # 3 batches
    for folder in (None, tmp_path):
        rows_of(tiny_encoder, texts, **options, cache_folder=folder)
    assert started == [["cpu", "cpu"]] * 2
    assert stopped == ["pool"] * 2


def test_the_cache_spares_the_model(tiny_encoder, tmp_path, encoded):
    embedder = SentenceEmbedder(tiny_encoder, cache_folder=tmp_path)
    X = embedder.fit_transform(TEXTS)
    assert sorted(encoded.pop()) == sorted(set(TEXTS))
    assert close(X, rows_of(tiny_encoder))
    encoded.clear()
    for again in (embedder, clone(embedder), pickle.loads(pickle.dumps(embedder))):
        Y = again.fit(TEXTS).transform(TEXTS[::-1])
        np.testing.assert_array_equal(Y, X[::-1])
    assert encoded == []
    embedder.transform([*TEXTS, "dull"])
    assert encoded == [["dull"]]


def test_other_settings_have_other_rows(prompted, tmp_path, encoded):
    prompts = [{"prompt": "bad "}, {"prompt_name": "film"}]
    for options in ({}, *prompts, {"normalize": True}, {"truncate_dim": 8}):
        encoded.clear()
        X = rows_of(prompted, cache_folder=tmp_path, **options)
        assert encoded
        assert close(X, rows_of(prompted, **options))


def test_a_model_of_static_vectors_has_no_limit_and_a_cache(tiny_encoder, tmp_path):
    backend = AutoTokenizer.from_pretrained(tiny_encoder).backend_tokenizer
    static = StaticEmbedding(backend, embedding_dim=6)
    SentenceTransformer(modules=[static], device="cpu").save(str(tmp_path / "static"))
    texts = ["the " * 500, "good"]
    X = rows_of(tmp_path / "static", texts, cache_folder=tmp_path / "cache")
    assert X.shape == (2, 6)
    assert close(X, rows_of(tmp_path / "static", texts))


def test_options_of_loading_reach_the_library(tiny_encoder, monkeypatch):
    seen, init = {}, SentenceTransformer.__init__

    def spy(self, name, **options):
        seen.update(options)
        init(self, name, **options)

    monkeypatch.setattr(SentenceTransformer, "__init__", spy)
    given = {"local_files_only": True, "revision": "abc", "trust_remote_code": True}
    SentenceEmbedder(tiny_encoder, **given).fit(TEXTS)
    assert given.items() <= seen.items()


def test_nothing_is_asked_of_the_network(tiny_encoder, monkeypatch, tmp_path):
    monkeypatch.setattr(socket.socket, "connect", pytest.fail)
    rows_of(tiny_encoder, local_files_only=True, cache_folder=tmp_path)
    with pytest.raises(ModelUnavailableError, match="No model 'nobody/nothing'"):
        SentenceEmbedder("nobody/nothing", local_files_only=True).fit(TEXTS)
