"""Models run by openvino: the rows of torch; and torch where it cannot."""

import pickle
import sys
import warnings
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_models as tiny
import torch
from hidden_rows import TEXTS
from sklearn.base import clone

from smilearn import HiddenStateEmbedder, SentenceEmbedder
from smilearn.exceptions import BackendWarning, MissingDependencyError

needs_openvino = pytest.mark.skipif(
    find_spec("openvino") is None, reason='the extra "openvino" is not installed'
)


def hidden(model, backend="openvino", **options):
    options = {"batch_size": 2, "pooling": "mean", **options}
    return HiddenStateEmbedder(model, backend=backend, **options)


def sentence(model, backend="openvino", **options):
    return SentenceEmbedder(model, backend=backend, **options)


@pytest.fixture
def compiled(monkeypatch):
    """Each model that openvino compiles."""
    import openvino

    models, compile_model = [], openvino.compile_model

    def spy(model, *args):
        models.append(model)
        return compile_model(model, *args)

    monkeypatch.setattr(openvino, "compile_model", spy)
    return models


@pytest.fixture
def unable(monkeypatch):
    """An openvino that converts no model."""

    def convert_model(traced):
        raise NotImplementedError("no such operation")

    fake = SimpleNamespace(convert_model=convert_model)
    monkeypatch.setitem(sys.modules, "openvino", fake)


@needs_openvino
@pytest.mark.parametrize("kind", ["bert", "roberta", "llama", "t5"])
@pytest.mark.parametrize("layer", [-1, "spread"])
def test_hidden_states_are_those_of_torch(kind, layer, compiled):
    model = tiny.folder(kind)
    plain = hidden(model, "torch", layer=layer).fit(TEXTS)
    fast = hidden(model, layer=layer).fit(TEXTS)
    for texts in (TEXTS, TEXTS[:1], [text + " dull" for text in TEXTS[::-1]]):
        np.testing.assert_allclose(
            fast.transform(texts), plain.transform(texts), rtol=1e-5, atol=1e-5
        )
    assert len(compiled) == 1  # whatever the shapes


@needs_openvino
def test_sentence_embeddings_are_those_of_torch(tiny_encoder, compiled):
    for options in ({}, {"batch_size": 1, "normalize": True, "prompt": "a film "}):
        X = sentence(tiny_encoder, **options).fit_transform(TEXTS)
        Y = sentence(tiny_encoder, "torch", **options).fit_transform(TEXTS)
        np.testing.assert_allclose(X, Y, rtol=1e-5, atol=1e-5)
    assert len(compiled) == 2


@needs_openvino
def test_bfloat16_is_computed_in_if_asked_for(tmp_path):
    model, options = tiny.folder("bert"), {"dtype": "bfloat16", "layer": "all"}
    X = hidden(model, cache_folder=tmp_path, **options).fit_transform(TEXTS)
    Y = hidden(model, "torch", cache_folder=tmp_path, **options).fit_transform(TEXTS)
    assert 1e-4 < abs(X - Y).max() < 0.1  # and the cache tells them apart
    np.testing.assert_allclose(
        Y, hidden(model, "torch", **options).fit_transform(TEXTS)
    )


@pytest.mark.slow
@needs_openvino
@pytest.mark.parametrize("make", [hidden, sentence])
def test_rows_of_a_cache_serve_both(make, tiny_encoder, tmp_path, compiled):
    for cache, backends in (("a", ["torch", "openvino"]), ("b", ["openvino", "torch"])):
        rows = [
            make(tiny_encoder, each, cache_folder=tmp_path / cache).fit_transform(TEXTS)
            for each in backends
        ]
        np.testing.assert_array_equal(*rows)
    assert len(compiled) == 1  # only where openvino came first


@pytest.mark.slow
@needs_openvino
@pytest.mark.parametrize("make", [hidden, sentence])
def test_pickles_and_clones_compile_by_themselves(make, tiny_encoder, compiled):
    embedder = make(tiny_encoder)
    X = embedder.fit_transform(TEXTS)
    pickled = pickle.dumps(embedder)
    assert len(pickled) < 2500
    np.testing.assert_array_equal(pickle.loads(pickled).transform(TEXTS), X)
    np.testing.assert_array_equal(clone(embedder).fit_transform(TEXTS), X)
    assert len(compiled) == 3


@pytest.mark.slow
@needs_openvino
def test_a_loaded_model_that_is_trained_on_is_compiled_again(compiled):
    network, words = tiny.model("bert"), tiny.tokenizer("bert")
    embedder = hidden(network, tokenizer=words).fit(TEXTS)
    before = embedder.transform(TEXTS)
    np.testing.assert_array_equal(embedder.transform(TEXTS), before)
    assert len(compiled) == 1
    with torch.no_grad():
        network.encoder.layer[0].output.dense.weight.mul_(2)
    after = embedder.transform(TEXTS)
    assert len(compiled) == 2
    assert not np.allclose(after, before)
    plain = hidden(network, "torch", tokenizer=words).fit_transform(TEXTS)
    np.testing.assert_allclose(after, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [hidden, sentence])
def test_without_openvino_the_extra_is_named(make, tiny_encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    match = r'backend="openvino" needs .*\'openvino\'.*smilearn\[openvino\]'
    with pytest.raises(MissingDependencyError, match=match):
        make(tiny_encoder).fit(TEXTS)


@pytest.mark.parametrize("make", [hidden, sentence])
def test_torch_runs_what_openvino_cannot_after_one_warning(make, tiny_encoder, unable):
    embedder = make(tiny_encoder, batch_size=1).fit(TEXTS)
    with pytest.warns(BackendWarning, match="no such operation.*torch is used") as all_:
        X = embedder.transform(TEXTS)
    assert len(all_) == 1
    np.testing.assert_array_equal(embedder.transform(TEXTS), X)  # and no warning
    plain = make(tiny_encoder, "torch", batch_size=1)
    np.testing.assert_array_equal(plain.fit_transform(TEXTS), X)


@needs_openvino
def test_states_that_differ_from_those_of_torch_are_refused(monkeypatch):
    import openvino

    convert = openvino.convert_model

    def deaf(traced):  # to the mask
        model = convert(traced)
        mask = model.inputs[1]
        ones = openvino.opset13.shape_of(model.inputs[0])
        ones = openvino.opset13.broadcast(np.int64(1), ones)
        for target in mask.get_target_inputs():
            target.replace_source_output(ones.output(0))
        return model

    monkeypatch.setattr(openvino, "convert_model", deaf)
    embedder = hidden(tiny.folder("bert")).fit(TEXTS)
    with pytest.warns(BackendWarning, match="states differ by"):
        X = embedder.transform(TEXTS)
    plain = hidden(tiny.folder("bert"), "torch")
    np.testing.assert_array_equal(plain.fit_transform(TEXTS), X)


def test_settings_that_openvino_cannot_serve_are_told_at_fit(tiny_encoder, unable):
    with pytest.warns(BackendWarning, match="float16, not float32 or bfloat16"):
        embedder = hidden(tiny_encoder, dtype="float16").fit(TEXTS)
    with pytest.warns(BackendWarning, match="one transformer, on one device"):
        sentence(tiny_encoder, device=["cpu", "cpu"]).fit(TEXTS)
    with warnings.catch_warnings(action="error"):
        embedder.transform(TEXTS)
