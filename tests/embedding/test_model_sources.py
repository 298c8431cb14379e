"""Models as people have them, and what they are told when they have not."""

import json
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_models as tiny
from huggingface_hub.errors import GatedRepoError
from safetensors.torch import load_file, save_file
from test_hidden_states import TEXTS, expected
from transformers import AutoConfig, AutoModel

from smilearn import HiddenStateEmbedder, SentenceEmbedder
from smilearn.datasets import packaged_minilm
from smilearn.exceptions import InvalidInputError, ModelUnavailableError

pytestmark = pytest.mark.usefixtures("one_thread", "no_network")


def copied(folder, path):
    return Path(shutil.copytree(folder, path, dirs_exist_ok=True))


def sentence_folder(path, pooling, inside="", length=None):
    """A sentence-transformers folder around a tiny BERT."""
    copied(tiny.folder("bert"), path / inside)
    modules = [
        {"type": "sentence_transformers.models.Transformer", "path": inside},
        {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
    ]
    (path / "modules.json").write_text(json.dumps(modules))
    (path / "1_Pooling").mkdir()
    (path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    settings = {"max_seq_length": length}
    (path / inside / "sentence_bert_config.json").write_text(json.dumps(settings))
    return path


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_lasttoken": True, "word_embedding_dimension": 16}, "last"),
        ({"pooling_mode": "lasttoken"}, "last"),
        ({"pooling_mode": ["cls"]}, "cls"),
    ],
)
@pytest.mark.parametrize("inside", ["", "0_Transformer"])
def test_a_sentence_folder_says_how_it_pools(tmp_path, config, pooling, inside):
    folder = sentence_folder(tmp_path, config, inside, length=20)
    embedder = HiddenStateEmbedder(folder).fit(TEXTS)
    assert (embedder.pooling_, embedder.max_length_) == (pooling, 20)
    X = embedder.transform(TEXTS)
    np.testing.assert_allclose(X, expected("bert", pooling)[:, -1], atol=1e-5)


def test_a_sentence_folder_that_pools_otherwise(tmp_path):
    modes = {"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}
    folder = sentence_folder(tmp_path, modes)
    with pytest.raises(InvalidInputError, match=r"pools by 'max\+mean', which is not"):
        HiddenStateEmbedder(folder).fit(TEXTS)
    X = HiddenStateEmbedder(folder, pooling="cls").fit_transform(TEXTS)
    np.testing.assert_allclose(X, expected("bert", "cls")[:, -1], atol=1e-5)


def test_the_packaged_model_agrees_with_sentence_transformers():
    X = HiddenStateEmbedder(packaged_minilm()).fit_transform(TEXTS)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    expected = SentenceEmbedder(packaged_minilm()).fit_transform(TEXTS)
    np.testing.assert_allclose(X, expected, atol=1e-5)


def test_a_loaded_model_knows_where_it_came_from():
    folder = tiny.folder("gpt2")
    X = HiddenStateEmbedder(AutoModel.from_pretrained(folder)).fit_transform(TEXTS)
    np.testing.assert_allclose(X, expected("gpt2", "last")[:, -1], atol=1e-5)


def test_a_loaded_model_without_a_tokenizer():
    match = r"without a tokenizer, and there is none at ''\. Pass tokenizer="
    with pytest.raises(ModelUnavailableError, match=match):
        HiddenStateEmbedder(tiny.model("gpt2")).fit(TEXTS)
    network = tiny.model("gpt2")
    network.config.name_or_path = "/gone/away/gpt2"
    with pytest.raises(ModelUnavailableError, match="there is none at '/gone/away/g"):
        HiddenStateEmbedder(network).fit(TEXTS)
    embedder = HiddenStateEmbedder(network, tokenizer=tiny.folder("gpt2"))
    assert embedder.fit_transform(TEXTS).shape == (6, 16)


def test_a_loaded_model_stays_where_and_what_it_is():
    network = tiny.model("llama").bfloat16()
    embedder = HiddenStateEmbedder(network, tokenizer=tiny.tokenizer("llama"))
    assert embedder.fit_transform(TEXTS).dtype == np.float32
    assert embedder._reader.network is network
    assert str(network.dtype) == "torch.bfloat16"


def test_something_else_than_a_model():
    class Odd:
        def forward(self):
            """Look like a model."""

    with pytest.raises(InvalidInputError, match=r"a PreTrainedModel .* got Odd\."):
        HiddenStateEmbedder(Odd()).fit(TEXTS)
    with pytest.raises(ValueError, match="'model' parameter of HiddenStateEmbedder"):
        HiddenStateEmbedder(3).fit(TEXTS)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        (
            "nobody/nothing",
            "No model 'nobody/nothing': it is neither .* Check the name",
        ),
        ("/nowhere/at/all", "No folder '/nowhere/at/all' to load a model from"),
    ],
)
def test_no_such_model(name, match):
    for options in ({}, {"local_files_only": True}, {"revision": "v1"}):
        with pytest.raises(ModelUnavailableError, match=match) as caught:
            HiddenStateEmbedder(name, **options).fit(TEXTS)
        assert "\n" not in str(caught.value)


def test_a_gated_model(monkeypatch):
    answer = SimpleNamespace(headers={}, request=None)

    def refuse(name, **options):
        try:
            raise GatedRepoError("403", response=answer)
        except GatedRepoError as error:
            raise OSError("You are trying to access a gated repo.\nMake") from error

    monkeypatch.setattr(AutoConfig, "from_pretrained", refuse)
    match = r"'some/model' is gated\. Accept its terms at .*co/some/model, then log in"
    with pytest.raises(ModelUnavailableError, match=match):
        HiddenStateEmbedder("some/model").fit(TEXTS)


def test_a_model_with_code_of_its_own(tmp_path):
    copied(tiny.folder("bert"), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}
    config["model_type"] = "nobodys"
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text("raise SystemExit('was run')")
    match = "needs Python code of its own.* pass trust_remote_code=True to an"
    with pytest.raises(ModelUnavailableError, match=match):
        HiddenStateEmbedder(tmp_path).fit(TEXTS)


def test_weights_that_are_not_there(tmp_path):
    copied(tiny.folder("bert"), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {key: each for key, each in weights.items() if "layer.2.output" not in key}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelUnavailableError, match="lacks 4 of its weights, such as"):
        HiddenStateEmbedder(tmp_path).fit(TEXTS)
    (tmp_path / "model.safetensors").write_bytes(b"not whole")
    with pytest.raises(ModelUnavailableError, match="holds no model that can be load"):
        HiddenStateEmbedder(tmp_path).fit(TEXTS)


def test_pickles_of_loaded_adapters_work_again():
    words, wrapped = (
        tiny.tokenizer("llama"),
        tiny.with_lora(tiny.model("llama"), "llama"),
    )
    embedder = HiddenStateEmbedder(wrapped, tokenizer=words, layer=1).fit([])
    X = embedder.transform(TEXTS)
    again = pickle.loads(pickle.dumps(embedder))
    np.testing.assert_array_equal(again.transform(TEXTS), X)
    np.testing.assert_array_equal(embedder.transform(TEXTS), X)
