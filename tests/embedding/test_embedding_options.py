"""Prompts, fewer features, several devices, the cache: options of SentenceEmbedder."""

import pickle
import socket

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sklearn.base import clone
from transformers import AutoTokenizer

from smilearn import SentenceEmbedder
from smilearn.exceptions import (
    CacheError,
    CacheWarning,
    InvalidInputError,
    ModelUnavailableError,
    TruncationWarning,
)

TEXTS = ["the good film", "a bad movie", "good", "", "the plot is warm", "good"]
PROMPTS = {"film": "the film is ", "plot": "the plot was "}
MOST = 64  # tokens that the tiny encoder reads


@pytest.fixture(scope="module")
def prompted(tiny_encoder, tmp_path_factory):
    """Folder of the tiny encoder with prompts of its own, one the default."""
    folder = tmp_path_factory.mktemp("prompted")
    model = SentenceTransformer(tiny_encoder, device="cpu")
    model.prompts = PROMPTS
    model.default_prompt_name = "plot"
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


def rows_of(model, texts=TEXTS, **options):
    return SentenceEmbedder(model, **options).fit_transform(texts)


def with_prefix(prompt):
    return [prompt + text for text in TEXTS]


def close(X, Y):
    return np.allclose(X, Y, atol=1e-5)


def test_a_prompt_is_put_before_each_text(tiny_encoder):
    X = rows_of(tiny_encoder, prompt="a dull scene ")
    assert close(X, rows_of(tiny_encoder, with_prefix("a dull scene ")))
    assert not close(X, rows_of(tiny_encoder))


def test_prompts_of_the_model_go_by_name_and_one_is_the_default(prompted, tiny_encoder):
    plain = {name: with_prefix(prompt) for name, prompt in PROMPTS.items()}
    film = rows_of(prompted, prompt_name="film")
    assert close(film, rows_of(tiny_encoder, plain["film"]))
    assert close(rows_of(prompted), rows_of(tiny_encoder, plain["plot"]))
    assert close(rows_of(prompted, prompt=""), rows_of(tiny_encoder))
    assert not close(film, rows_of(prompted))


def test_an_unknown_prompt_names_those_there_are(prompted):
    with pytest.raises(InvalidInputError, match=r"'movie' is none .*'film', 'plot'"):
        SentenceEmbedder(prompted, prompt_name="movie").fit(TEXTS)
    with pytest.raises(InvalidInputError, match="prompt or prompt_name, not both"):
        SentenceEmbedder(prompted, prompt="x", prompt_name="film").fit(TEXTS)


def test_truncation_counts_the_prompt(tiny_encoder):
    texts = ["the " * (MOST - 4), "the " * (MOST - 5), "a"]
    assert rows_of(tiny_encoder, texts).shape == (3, 16)  # all fit, no warning
    with pytest.warns(TruncationWarning, match="1 of 3 texts"):
        rows_of(tiny_encoder, texts, prompt="the good film ")


@pytest.mark.parametrize("normalize", [False, True])
def test_truncate_dim_keeps_the_first_features(tiny_encoder, normalize):
    X = rows_of(tiny_encoder)[:, :5]
    if normalize:
        X /= np.linalg.norm(X, axis=1, keepdims=True)
    embedder = SentenceEmbedder(tiny_encoder, truncate_dim=5, normalize=normalize)
    np.testing.assert_allclose(embedder.fit_transform(TEXTS), X, atol=1e-6)
    assert embedder.n_features_out_ == 5
    assert embedder.transform([]).shape == (0, 5)
    assert embedder.get_feature_names_out()[-1] == "sentenceembedder4"
    assert len(embedder.get_feature_names_out()) == 5


def test_truncate_dim_beyond_the_model_says_how_many_there_are(tiny_encoder):
    with pytest.raises(InvalidInputError, match=r"truncate_dim=17 .* 16 features"):
        SentenceEmbedder(tiny_encoder, truncate_dim=17).fit(TEXTS)


@pytest.mark.slow
@pytest.mark.parametrize("cached", [False, True])
def test_devices_of_a_list_share_the_texts(tiny_encoder, tmp_path, cached):
    texts = [f"{text} {i}" for i in range(20) for text in TEXTS]
    folder = tmp_path / "cache" if cached else None
    devices = ["cpu", "cpu"]
    X = rows_of(tiny_encoder, texts, device=devices, cache_folder=folder)
    assert close(X, rows_of(tiny_encoder, texts))


def test_devices_of_a_list_are_workers_of_one_pool(tiny_encoder, tmp_path, monkeypatch):
    started, stopped = [], []
    encode = SentenceTransformer.encode

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
    texts = [f"good {i}" for i in range(150)]  # 3 chunks
    for folder in (None, tmp_path):
        rows_of(tiny_encoder, texts, **options, cache_folder=folder)
    assert started == [["cpu", "cpu"]] * 2
    assert stopped == ["pool"] * 2


@pytest.mark.parametrize("devices, match", [([], "empty"), (["cpu", "nono"], "'nono'")])
def test_each_device_of_a_list_is_checked(tiny_encoder, devices, match):
    with pytest.raises(InvalidInputError, match=match):
        SentenceEmbedder(tiny_encoder, device=devices).fit(TEXTS)


def test_the_cache_spares_the_model(tiny_encoder, tmp_path, encoded):
    embedder = SentenceEmbedder(tiny_encoder, cache_folder=tmp_path)
    X = embedder.fit_transform(TEXTS)
    assert sorted(encoded.pop()) == sorted(set(TEXTS))
    assert close(X, rows_of(tiny_encoder))
    encoded.clear()
    for again in (embedder, clone(embedder), pickle.loads(pickle.dumps(embedder))):
        Y = again.fit(TEXTS).transform(TEXTS[::-1])
        np.testing.assert_array_equal(Y, X[::-1])
        assert Y.dtype == np.float32
    assert encoded == []
    embedder.transform([*TEXTS, "dull"])
    assert encoded == [["dull"]]
    assert len(pickle.dumps(embedder)) < 1000


def test_truncated_texts_are_counted_though_their_rows_are_kept(tiny_encoder, tmp_path):
    embedder = SentenceEmbedder(tiny_encoder, cache_folder=tmp_path).fit([])
    for _ in range(2):
        with pytest.warns(TruncationWarning, match="2 of 3 texts"):
            embedder.transform(["the " * 100, "a", "the " * 100])
        assert embedder.n_truncated_ == 2


def test_a_run_stopped_half_way_goes_on(tiny_encoder, tmp_path, encoded, monkeypatch):
    texts = [f"good {i}" for i in range(100)]
    embedder = SentenceEmbedder(tiny_encoder, batch_size=1, cache_folder=tmp_path)
    embedder.fit(texts)
    spy = SentenceTransformer.encode

    def stop(self, some, **options):
        if len(encoded) == 70:  # in the third chunk of 32
            raise KeyboardInterrupt
        return spy(self, some, **options)

    with monkeypatch.context() as patch:
        patch.setattr(SentenceTransformer, "encode", stop)
        with pytest.raises(KeyboardInterrupt):
            embedder.transform(texts)
    done = {text for [text] in encoded[:64]}
    encoded.clear()
    X = embedder.transform(texts)
    assert {text for [text] in encoded} == set(texts) - done
    assert close(X, rows_of(tiny_encoder, texts))


def test_other_settings_have_other_rows(prompted, tmp_path):
    settings = [
        {},
        {"prompt": "bad "},
        {"prompt_name": "film"},
        {"normalize": True},
        {"truncate_dim": 8},
        {"truncate_dim": 8, "normalize": True},
    ]
    for options in settings:
        X = rows_of(prompted, cache_folder=tmp_path, **options)
        assert close(X, rows_of(prompted, **options))
    assert len(list(tmp_path.iterdir())) == len(settings)
    embedder = SentenceEmbedder(prompted, cache_folder=tmp_path).fit([])
    embedder._encoder.max_seq_length = 4
    with pytest.warns(TruncationWarning):
        embedder.transform(TEXTS)
    assert len(list(tmp_path.iterdir())) == len(settings) + 1


def test_a_model_of_static_vectors_has_no_limit_and_a_cache(tiny_encoder, tmp_path):
    backend = AutoTokenizer.from_pretrained(tiny_encoder).backend_tokenizer
    static = StaticEmbedding(backend, embedding_dim=6)
    SentenceTransformer(modules=[static], device="cpu").save(str(tmp_path / "static"))
    texts = ["the " * 500, "good"]
    X = rows_of(tmp_path / "static", texts, cache_folder=tmp_path / "cache")
    assert X.shape == (2, 6)
    assert close(X, rows_of(tmp_path / "static", texts))


def test_a_cache_that_cannot_be_is_an_error_before_any_work(
    tiny_encoder, tmp_path, encoded
):
    (tmp_path / "file").touch()
    embedder = SentenceEmbedder(tiny_encoder, cache_folder=tmp_path / "file").fit([])
    with pytest.raises(CacheError, match="Give cache_folder another one, or none"):
        embedder.transform(TEXTS)
    assert encoded == []


def test_damage_in_the_cache_is_mended(tiny_encoder, tmp_path):
    X = rows_of(tiny_encoder, cache_folder=tmp_path)
    [path] = tmp_path.rglob("*.rows")
    path.write_bytes(path.read_bytes()[:-9] + b"abcdefghi")
    with pytest.warns(CacheWarning, match=path.name):
        assert close(rows_of(tiny_encoder, cache_folder=tmp_path), X)


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
    def connect(self, address):
        raise AssertionError(f"connected to {address}")

    monkeypatch.setattr(socket.socket, "connect", connect)
    rows_of(tiny_encoder, local_files_only=True, cache_folder=tmp_path)
    with pytest.raises(ModelUnavailableError, match="No model 'nobody/nothing'"):
        SentenceEmbedder("nobody/nothing", local_files_only=True).fit(TEXTS)
