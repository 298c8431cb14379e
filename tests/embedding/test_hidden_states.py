"""Hidden states against plain forward passes of one text at a time, never padded."""

import copy
import pickle
import sqlite3
from contextlib import closing

import numpy as np
import pytest
import tiny_models as tiny
import torch
from hidden_rows import POOL, TEXTS, expected
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from transformers import AutoModel

from smilearn import HiddenStateEmbedder
from smilearn.exceptions import (
    InvalidInputError,
    TruncationWarning,
    UnknownTokensWarning,
)
from smilearn.utils import _indexing

pytestmark = pytest.mark.usefixtures("one_thread", "no_network")


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pooling", POOL)
@pytest.mark.parametrize("kind", tiny.KINDS)
def test_every_layer_is_that_of_each_text_alone(kind, pooling, side):
    folder = tiny.folder(kind, padding_side=side)
    embedder = HiddenStateEmbedder(folder, layer="all", pooling=pooling)
    X = embedder.fit_transform(TEXTS)
    assert X.shape == (6, 4, 16)
    assert X.dtype == np.float32
    np.testing.assert_allclose(X, expected(kind, pooling), atol=1e-5)
    assert abs(np.diff(X, axis=1)).max(axis=(0, 2)).min() > 0.1  # layers differ
    alone = np.concatenate([embedder.transform([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, X, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "index"),
    [(0, 0), (2, 2), (-1, 3), (-4, 0), ([3, 0], [3, 0]), ((1,), [1])],
)
def test_layers_are_numbered_from_the_embeddings(layer, index, read):
    embedder = HiddenStateEmbedder(tiny.folder("gpt2"), layer=layer, batch_size=99)
    X = embedder.fit_transform(TEXTS)
    np.testing.assert_allclose(X, expected("gpt2", "last")[:, index], atol=1e-5)
    assert embedder.layers_ == np.atleast_1d(index).tolist()
    assert embedder.get_feature_names_out()[0] == "hiddenstateembedder0"
    assert len(read) == 1  # whatever the number of layers


@pytest.mark.parametrize("layer", [4, -5, [0, 4], ["last"], []])
def test_a_layer_that_is_not_there_is_named(layer):
    with pytest.raises(InvalidInputError, match=r"layer.* (0 .embeddings. to 3|empty)"):
        HiddenStateEmbedder(tiny.folder("gpt2"), layer=layer).fit(TEXTS)


@pytest.mark.parametrize("batch_size", ["auto", 1, 2, 32])
def test_order_is_kept_and_equal_texts_are_encoded_once(batch_size, read):
    embedder = HiddenStateEmbedder(tiny.folder("bert"), batch_size=batch_size)
    X = embedder.fit_transform(TEXTS)
    np.testing.assert_allclose(X, expected("bert", "mean")[:, -1], atol=1e-5)
    assert sum(read) == 5
    np.testing.assert_array_equal(X[0], X[4])
    assert max(read) == {"auto": 5, 1: 1, 2: 2, 32: 5}[batch_size]


def test_a_text_without_tokens_has_a_row():
    words = tiny.tokenizer("gpt2")
    assert words("")["input_ids"] == []
    embedder = HiddenStateEmbedder(tiny.folder("gpt2"))
    with pytest.warns(UnknownTokensWarning, match=r"2 of 3 texts \(67%\)"):
        X = embedder.fit_transform(["", "good film", "<s>"])
    np.testing.assert_allclose(X[0], X[2], atol=1e-6)
    assert abs(X[0] - X[1]).max() > 0.1


def test_a_tokenizer_without_padding_gives_the_same_rows():
    network = tiny.model("gpt2")
    for names in ({"pad_token": None}, {"pad_token": None, "eos_token": None}):
        words = tiny.tokenizer("gpt2", **names)
        X = HiddenStateEmbedder(network, tokenizer=words).fit_transform(TEXTS)
        np.testing.assert_allclose(X, expected("gpt2", "last")[:, -1], atol=1e-5)
        assert words.pad_token is None


def test_the_users_tokenizer_and_model_are_left_alone():
    words = tiny.tokenizer("gpt2", padding_side="left", pad_token=None)
    network = tiny.model("gpt2").train()
    before, backend = copy.deepcopy(vars(words)), words.backend_tokenizer.to_str()
    embedder = HiddenStateEmbedder(network, tokenizer=words, max_length=4)
    with pytest.warns(TruncationWarning):
        embedder.fit_transform(TEXTS)
    assert words.padding_side == "left"
    assert words.backend_tokenizer.to_str() == backend
    assert {**vars(words), "_tokenizer": 0} == {**before, "_tokenizer": 0}
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize("dtype", ["float32", "auto", "bfloat16"])
def test_weights_are_float32_unless_asked_otherwise(dtype):
    folder = tiny.folder("llama", dtype="bfloat16")
    embedder = HiddenStateEmbedder(folder, dtype=dtype).fit(TEXTS)
    X = embedder.transform(TEXTS)
    assert X.dtype == np.float32
    kind = next(embedder._reader.network.parameters()).dtype
    assert kind == (torch.float32 if dtype == "float32" else torch.bfloat16)
    plain = AutoModel.from_pretrained(folder, dtype=torch.float32)
    states = tiny.states_one_by_one(plain, tiny.tokenizer("llama"), TEXTS)
    off = abs(X - np.stack([each[-1, -1].numpy() for each in states])).max()
    assert (off < 1e-5) if dtype == "float32" else (1e-3 < off < 0.2)


@pytest.mark.parametrize("loaded", [False, True])
def test_a_pickle_goes_on_with_the_settings_of_the_fit(loaded):
    options = {"tokenizer": tiny.tokenizer("llama"), "layer": 1, "template": "a {text}"}
    model = tiny.model("llama") if loaded else tiny.folder("llama")
    embedder = HiddenStateEmbedder(model, **options).fit([])
    X = embedder.transform(TEXTS)
    embedder.set_params(layer=[0, 2], template=None, pooling="mean", device="cpu")
    pickled = pickle.loads(pickle.dumps(embedder))
    for each in (embedder, copy.deepcopy(embedder), pickled):
        np.testing.assert_array_equal(each.transform(TEXTS), X)
        assert each.transform([]).shape == (0, 16)
        assert each.layer == [0, 2]
    assert embedder.fit_transform(TEXTS).shape == (6, 2, 16)


def test_states_that_overflow_are_seen_at_once():
    network = tiny.model("llama")
    with torch.no_grad():
        network.layers[1].mlp.down_proj.weight[:] = 3e38
    words = tiny.tokenizer("llama")
    with pytest.raises(InvalidInputError, match=r'not finite .* dtype="float32"'):
        HiddenStateEmbedder(network, tokenizer=words).fit(TEXTS)


def test_a_pooling_of_ones_own():
    def largest(hidden, mask):
        return hidden.masked_fill(mask[..., None] == 0, -torch.inf).amax(1)

    embedder = HiddenStateEmbedder(tiny.folder("bert"), pooling=largest)
    states = tiny.states_one_by_one(tiny.model("bert"), tiny.tokenizer("bert"), TEXTS)
    rows = [each[-1].amax(0).numpy() for each in states]
    np.testing.assert_allclose(embedder.fit_transform(TEXTS), rows, atol=1e-5)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """Keys that have rows in a cache "kept"."""
    monkeypatch.chdir(tmp_path)

    def keys():
        with closing(sqlite3.connect("kept/rows.sqlite")) as db:
            return db.execute("SELECT DISTINCT substr(key, 1, 16) FROM rows").fetchall()

    return keys


def test_rows_of_other_settings_have_another_key(cache):
    def whiten(hidden, mask):
        return hidden[:, 0]

    whiten.cache_name = "first"
    settings = [
        {},
        {"layer": 1},
        {"layer": [0, 1]},
        {"pooling": "mean"},
        {"pooling": whiten},
        {"max_length": 30},
        {"dtype": "bfloat16"},
        {"template": "review : {text}"},
        {"adapter": tiny.adapter_folder("gpt2")},
        {"tokenizer": tiny.tokenizer("llama")},
    ]
    for each in settings:
        options = {"cache_folder": "kept", **each}
        HiddenStateEmbedder(tiny.folder("gpt2"), **options).fit_transform(["good"])
    assert len(cache()) == len(settings)
    for options in ({}, {"batch_size": 1}):
        options["cache_folder"] = "kept"
        HiddenStateEmbedder(tiny.folder("gpt2"), **options).fit_transform(["bad"])
    assert len(cache()) == len(settings)


def test_a_loaded_model_that_was_trained_on_is_another_one(cache):
    network = tiny.model("gpt2")
    embedder = HiddenStateEmbedder(
        network, tokenizer=tiny.tokenizer("gpt2"), cache_folder="kept"
    ).fit([])
    before = embedder.transform(TEXTS)
    with torch.no_grad():
        network.h[2].mlp.c_proj.weight.mul_(2)
    assert abs(embedder.transform(TEXTS) - before).max() > 0.1


def scale(wrapped):
    for module in wrapped.modules():
        if hasattr(module, "scale_layer"):
            module.scale_layer(0.25)


def one_layer(wrapped):
    return wrapped.get_base_model().layers[1].self_attn.q_proj


@pytest.mark.parametrize(
    "change",
    [
        scale,
        lambda wrapped: one_layer(wrapped).enable_adapters(False),
        lambda wrapped: one_layer(wrapped).set_adapter([]),
        lambda wrapped: wrapped.base_model.disable_adapter_layers(),
    ],
)
def test_an_adapter_that_is_used_in_another_way_has_other_rows(cache, change):
    wrapped = tiny.with_lora(tiny.model("llama"), "llama")
    options = {"tokenizer": tiny.tokenizer("llama")}
    embedder = HiddenStateEmbedder(wrapped, cache_folder="kept", **options).fit([])
    plain = HiddenStateEmbedder(wrapped, **options).fit([])
    before = embedder.transform(TEXTS)
    np.testing.assert_allclose(plain.transform(TEXTS), before, atol=1e-6)
    change(wrapped)
    after = embedder.transform(TEXTS)
    assert abs(after - before).max() > 0.1
    np.testing.assert_allclose(plain.transform(TEXTS), after, atol=1e-6)


def test_the_token_that_a_head_passes_over_is_in_the_key(cache, read):
    network = tiny.model("gpt2", "ForSequenceClassification")
    options = {"tokenizer": tiny.tokenizer("gpt2"), "cache_folder": "kept"}
    auto = HiddenStateEmbedder(network, **options).fit_transform(["a film <pad>"])
    named = HiddenStateEmbedder(network, pooling="last", **options)
    assert abs(named.fit_transform(["a film <pad>"]) - auto).max() > 0.1
    assert len(cache()) == 2


def test_a_pooling_without_a_name_is_not_cached(cache):
    embedder = HiddenStateEmbedder(
        tiny.folder("bert"), pooling=lambda hidden, mask: hidden[:, 0], cache_folder="k"
    )
    with pytest.raises(InvalidInputError, match=r"pooling\.cache_name = "):
        embedder.fit(TEXTS)


@pytest.mark.parametrize("layer", ["all", "spread"])
def test_many_layers_of_many_texts_are_a_map(layer, monkeypatch):
    embedder = HiddenStateEmbedder(tiny.folder("bert"), layer=layer)
    X = embedder.fit_transform(TEXTS)
    assert type(X) is np.ndarray
    monkeypatch.setattr(_indexing, "LARGE", 1000)
    large = embedder.fit_transform(TEXTS)
    assert isinstance(large, np.memmap)
    np.testing.assert_allclose(large, X, atol=1e-5)
    one = HiddenStateEmbedder(tiny.folder("bert")).fit_transform(TEXTS)
    assert type(one) is np.ndarray


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ({"layer": "spread"}, [1, 2, 3]),
        ({"layer": [0, -1], "concatenate": True}, [0, 3]),
        ({"layer": 2, "concatenate": True}, [2]),
        ({"layer": "all", "concatenate": True}, [0, 1, 2, 3]),
    ],
)
def test_layers_side_by_side_have_unit_spread(options, layers, read):
    embedder = HiddenStateEmbedder(tiny.folder("bert"), batch_size=99, **options)
    X = embedder.fit_transform(TEXTS)
    assert len(read) == 1
    assert embedder.layers_ == layers
    assert X.dtype == np.float32
    assert X.shape == (6, 16 * len(layers)) == (6, embedder.n_features_out_)
    blocks = np.split(X.astype(float), len(layers), axis=1)
    spread = [np.sqrt(block.var(axis=0).mean()) for block in blocks]
    np.testing.assert_allclose(spread, 1, rtol=1e-5)
    states = expected("bert", "mean")[:, layers] / embedder.scale_[:, None]
    np.testing.assert_allclose(X, states.reshape(6, -1), atol=1e-4)
    names = embedder.get_feature_names_out()
    assert names[-1] == f"hiddenstateembedder{X.shape[1] - 1}"


@pytest.mark.parametrize(
    ("n_layers", "layers"),
    [(1, [0, 1]), (2, [1, 2]), (4, [1, 3, 4]), (6, [2, 4, 6]), (12, [4, 8, 12])],
)
def test_the_spread_goes_up_in_thirds(n_layers, layers):
    network = tiny.model("bert", num_hidden_layers=n_layers)
    words = tiny.tokenizer("bert")
    embedder = HiddenStateEmbedder(network, tokenizer=words, layer="spread")
    assert embedder.fit(TEXTS).layers_ == layers


def test_new_texts_are_scaled_as_those_of_the_fit():
    embedder = HiddenStateEmbedder(tiny.folder("bert"), layer="spread").fit(TEXTS)
    X = embedder.transform(TEXTS)
    again = clone(embedder).fit_transform(TEXTS)
    np.testing.assert_array_equal(again, X)
    scale = embedder.scale_.copy()
    alone = np.concatenate([embedder.transform([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, X, atol=1e-4)
    embedder.set_params(layer=-1, concatenate=False)
    for each in (embedder, pickle.loads(pickle.dumps(embedder))):
        np.testing.assert_array_equal(each.transform(TEXTS), X)
        np.testing.assert_array_equal(each.scale_, scale)
        assert each.transform([]).shape == (0, 48)
    other = clone(embedder).set_params(layer="spread").fit(TEXTS[1:3])
    assert abs(other.scale_ / scale - 1).min() > 0.01
    assert embedder.fit(TEXTS).transform(TEXTS).shape == (6, 16)
    assert embedder.scale_ is None


def test_layers_that_do_not_differ_between_texts_are_left_as_they_are():
    embedder = HiddenStateEmbedder(tiny.folder("bert"), layer="spread")
    X = embedder.fit_transform(["good film", "good film", "good film"])
    np.testing.assert_array_equal(embedder.scale_, 1)
    np.testing.assert_allclose(
        X[0], expected("bert", "mean", ["good film"])[0, 1:].ravel(), atol=1e-5
    )


@pytest.mark.parametrize(
    ("options", "texts", "told"),
    [
        ({"layer": "middle"}, TEXTS, "'layer' parameter"),
        ({"layer": "spread", "concatenate": "yes"}, TEXTS, "'concatenate' parameter"),
        ({"layer": [0, 4], "concatenate": True}, TEXTS, "layer=4 is not to be had"),
        ({"layer": "spread"}, [], "a text at least"),
    ],
)
def test_what_cannot_be_put_side_by_side(options, texts, told):
    with pytest.raises(ValueError, match=told):
        HiddenStateEmbedder(tiny.folder("bert"), **options).fit(texts)
    with pytest.raises(NotFittedError):
        HiddenStateEmbedder(tiny.folder("bert"), layer="spread").transform(TEXTS)


def test_a_search_over_layers(read, tmp_path):
    texts = [f"the {a} film was {b}" for a in tiny.WORDS for b in ("good", "bad")]
    y = np.arange(len(texts)) % 2
    embedder = HiddenStateEmbedder(tiny.folder("bert"), cache_folder=tmp_path)
    pipeline = make_pipeline(embedder, LogisticRegression(max_iter=1000))
    grid = {"hiddenstateembedder__layer": ["spread", -1, 2]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(texts, y)
    assert search.cv_results_["mean_test_score"].shape == (3,)
    assert sum(read) == len(texts)  # the layers of the spread serve alone too


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_rows_of_a_layer_are_shared(order, cache, read):
    settings = [
        {"layer": "spread"},
        {"layer": [3, 1]},
        {"layer": 2, "concatenate": True},
    ]
    for place in order:
        options = settings[place]
        kept = HiddenStateEmbedder(tiny.folder("bert"), cache_folder="kept", **options)
        plain = HiddenStateEmbedder(tiny.folder("bert"), **options)
        for texts in (TEXTS[:3], TEXTS):
            kept.fit(TEXTS[:3])
            plain.fit(TEXTS[:3])
            np.testing.assert_allclose(
                kept.transform(texts), plain.transform(texts), atol=1e-5
            )
    assert len(cache()) == 3
