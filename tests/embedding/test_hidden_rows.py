"""Rows through a cache, and a search over layers that runs the model once."""

import numpy as np
import pytest
import tiny_models as tiny
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from test_hidden_states import TEXTS, expected

from smilearn import HiddenStateEmbedder, LayerSelector, SlicedMIScorer
from smilearn.exceptions import InvalidInputError, TruncationWarning
from smilearn.utils import _indexing

pytestmark = pytest.mark.usefixtures("one_thread", "no_network")


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """Folders of the keys in a cache "kept"."""
    monkeypatch.chdir(tmp_path)

    def keys():
        return list((tmp_path / "kept").iterdir())

    return keys


def test_what_is_cached_is_not_read_again(cache, read):
    options = {"layer": [0, -1], "cache_folder": "kept"}
    X = HiddenStateEmbedder(tiny.folder("gpt2"), **options).fit_transform(TEXTS[:3])
    assert sum(read) == 3
    embedder = HiddenStateEmbedder(tiny.folder("gpt2"), **options).fit([])
    again = embedder.transform(TEXTS[::-1])
    assert sum(read) == 5
    np.testing.assert_array_equal(again[::-1][:3], X)
    np.testing.assert_allclose(
        again[::-1], expected("gpt2", "last")[:, [0, 3]], atol=1e-5
    )
    embedder.set_params(cache_folder=None)
    assert len(cache()) == 1


def test_truncation_is_counted_for_cached_rows_too(cache):
    embedder = HiddenStateEmbedder(
        tiny.folder("gpt2"), max_length=4, cache_folder="kept"
    ).fit([])
    for _ in range(2):
        with pytest.warns(TruncationWarning, match="2 of 6 texts .* 4 tokens"):
            embedder.transform(TEXTS)
        assert embedder.n_truncated_ == 2


def test_rows_of_other_settings_have_another_key(cache):
    def whiten(hidden, mask):
        return hidden[:, 0]

    whiten.cache_name = "first"
    settings = [
        {},
        {"layer": 1},
        {"layer": [3]},
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
    HiddenStateEmbedder(tiny.folder("gpt2"), cache_folder="kept").fit_transform(["bad"])
    HiddenStateEmbedder(
        tiny.folder("gpt2"), cache_folder="kept", batch_size=1
    ).fit_transform(["bad"])
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


def switch_off_one(wrapped):
    wrapped.get_base_model().layers[1].self_attn.q_proj.enable_adapters(False)


def leave_one_away(wrapped):
    wrapped.get_base_model().layers[1].self_attn.q_proj.set_adapter([])


@pytest.mark.parametrize(
    "change",
    [
        scale,
        switch_off_one,
        leave_one_away,
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
    network, words = tiny.model("gpt2", "ForSequenceClassification"), "gpt2"
    options = {"tokenizer": tiny.tokenizer(words), "cache_folder": "kept"}
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


@pytest.mark.parametrize("frozen", [False, True])
def test_a_search_over_layers_runs_the_model_once_for_a_text(cache, read, frozen):
    y = np.array([1, 0] * 6)
    texts = [*TEXTS, "bad", "great", "slow plot", "a warm film", "dull", "good actor"]
    embedder = HiddenStateEmbedder(
        tiny.folder("bert"), layer="all", cache_folder="kept"
    )
    if frozen:
        embedder = FrozenEstimator(embedder.fit([]))
    pipeline = make_pipeline(
        embedder, LayerSelector(), SlicedMIScorer(16, slicing="isotropic")
    )
    search = GridSearchCV(pipeline, {"layerselector__layer": [0, 1, 2, 3]}, cv=2)
    search.fit(texts, y)
    assert sum(read) == len(set(texts))
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    assert search.best_params_["layerselector__layer"] in range(4)


@pytest.mark.parametrize("memory", [False, True])
def test_without_a_cache_a_search_runs_the_model_again(tmp_path, read, memory):
    """So the docstring of LayerSelector says."""
    texts, y = [*TEXTS[:4], "bad", "great", "dull", "slow"], np.array([1, 0] * 4)
    pipeline = make_pipeline(
        HiddenStateEmbedder(tiny.folder("bert"), layer="all"),
        LayerSelector(),
        SlicedMIScorer(16, slicing="isotropic"),
        memory=str(tmp_path) if memory else None,
    )
    grid = {"layerselector__layer": [0, 1, 2]}
    GridSearchCV(pipeline, grid, cv=2, refit=False).fit(texts, y)
    fitted, scored = len(texts), len(texts)  # of two folds together
    assert sum(read) == (1 if memory else 3) * fitted + 3 * scored


def test_many_layers_of_many_texts_are_a_map(monkeypatch):
    X = HiddenStateEmbedder(tiny.folder("bert"), layer="all").fit_transform(TEXTS)
    assert type(X) is np.ndarray
    monkeypatch.setattr(_indexing, "LARGE", 1000)
    embedder = HiddenStateEmbedder(tiny.folder("bert"), layer="all").fit(TEXTS)
    large = embedder.transform(TEXTS)
    assert isinstance(large, np.memmap)
    np.testing.assert_allclose(large, X, atol=1e-6)
    one = HiddenStateEmbedder(tiny.folder("bert")).fit_transform(TEXTS)
    assert type(one) is np.ndarray
