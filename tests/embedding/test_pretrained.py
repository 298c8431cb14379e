"""Folders of strangers: no code is run, no pickle opened, no weight made up."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_models as tiny
import torch
from hidden_rows import copied
from huggingface_hub.errors import GatedRepoError
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense
from transformers import (
    AutoConfig,
    AutoModel,
    BertConfig,
    BertGenerationConfig,
    OPTConfig,
    OPTModel,
    XLNetConfig,
)

from smilearn import (
    FineTunedClassifier,
    FineTunedEmbedder,
    HiddenStateEmbedder,
    SentenceEmbedder,
)
from smilearn.datasets import packaged_minilm
from smilearn.embedding import _pretrained, _sentence_reader
from smilearn.embedding._pretrained import is_causal
from smilearn.exceptions import (
    AdapterError,
    InvalidInputError,
    MissingDependencyError,
    ModelUnavailableError,
)

pytestmark = pytest.mark.usefixtures("one_thread")
TEXTS = ["the good film", "a bad movie", "great plot", "dull actor"]
Y = [1, 0, 1, 0]
START = {"early_point": "epochs", "stop_epoch": 0, "max_epochs": 1, "random_state": 0}
ESTIMATORS = [
    HiddenStateEmbedder,
    SentenceEmbedder,
    FineTunedEmbedder,
    FineTunedClassifier,
]


def change_weights(folder, change):
    """Save the weights of a folder with something changed."""
    file = folder / "model.safetensors"
    weights = change(load_file(file))
    save_file(weights, file, {"format": "pt"})


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("nobody/nothing", "No model 'nobody/nothing': it is nei.* Check the name "),
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


def test_the_default_model_is_the_packaged_one_where_that_is_installed(no_network):
    name, folder = "sentence-transformers/all-MiniLM-L6-v2", packaged_minilm()
    for default, packaged in (
        (SentenceEmbedder(), SentenceEmbedder(folder)),
        (HiddenStateEmbedder(name), HiddenStateEmbedder(folder)),
    ):
        rows = default.fit_transform(TEXTS)
        np.testing.assert_array_equal(rows, packaged.fit_transform(TEXTS))
    tuned = FineTunedEmbedder(**START).fit(TEXTS, Y)
    assert tuned.n_features_out_ == 384


def test_another_revision_of_it_is_asked_of_the_hub():
    with pytest.raises(ModelUnavailableError, match="No model 'sentence-transformers"):
        SentenceEmbedder(revision="v1").fit(TEXTS)


@pytest.mark.usefixtures("no_network")
def test_without_the_package_the_default_is_asked_of_the_hub(monkeypatch):
    def missing():
        raise MissingDependencyError("no package")

    monkeypatch.setattr(_pretrained, "packaged_minilm", missing)
    _pretrained.default_model.cache_clear()
    try:
        with pytest.raises(ModelUnavailableError, match=r"or install .smilearn.demo."):
            SentenceEmbedder().fit(TEXTS)
    finally:
        _pretrained.default_model.cache_clear()


@pytest.fixture
def says_yes(monkeypatch, tmp_path):
    """Somebody agrees to whatever is asked; yet nothing is, and no code is run."""
    asked = []
    monkeypatch.setattr("builtins.input", lambda *text: asked.append(text) or "yes")
    yield
    assert not asked
    assert not (tmp_path / "ran").exists()


def with_code(path, file="config.json", auto_map=None, **changed):
    """A folder that asks for code of its own, which leaves a mark when it is run."""
    if not (path / file).exists():
        copied(tiny.folder("bert"), path)
    names = auto_map or {"AutoConfig": "own.C", "AutoModel": "own.M"}
    settings = json.loads((path / file).read_text()) | {"auto_map": names} | changed
    (path / file).write_text(json.dumps(settings))
    (path / "own.py").write_text(f"open({str(path / 'ran')!r}, 'w')\nraise OSError")
    return path


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.usefixtures("says_yes")
def test_code_of_a_folder_is_not_run(estimator, tmp_path):
    with_code(tmp_path, model_type="nobodys")
    match = "needs Python code of its own.* pass trust_remote_code=True"
    with pytest.raises(ModelUnavailableError, match=match):
        estimator(tmp_path).fit(TEXTS, Y)


@pytest.mark.parametrize("estimator", [HiddenStateEmbedder, SentenceEmbedder])
@pytest.mark.usefixtures("says_yes")
def test_code_that_is_not_needed_is_not_run(estimator, tmp_path):
    with_code(tmp_path)
    names = {"AutoTokenizer": ["own.T", "own.T"]}
    with_code(tmp_path, "tokenizer_config.json", names, tokenizer_class="Nobodys")
    assert estimator(tmp_path).fit_transform(TEXTS).shape == (4, 16)


@pytest.mark.usefixtures("says_yes")
def test_code_that_an_adapter_might_need_is_not_run(tmp_path):
    with_code(tmp_path, auto_map={"AutoModelForSeq2SeqLM": "own.M"})
    embedder = HiddenStateEmbedder(tmp_path, adapter=tiny.adapter_folder("llama"))
    with pytest.raises(AdapterError, match="belongs to another base model"):
        embedder.fit(TEXTS)


@pytest.mark.usefixtures("says_yes")
def test_a_module_class_of_the_folder_is_not_run(tmp_path):
    SentenceTransformer(tiny.folder("bert")).save(str(tmp_path))
    modules = json.loads((tmp_path / "modules.json").read_text())
    modules[1]["type"] = "own.Pooling"
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelUnavailableError, match="needs Python code of its own"):
        SentenceEmbedder(tmp_path).fit(TEXTS)


class Bomb:
    """Leaves a mark when its pickle is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def pickled(path, name="pytorch_model.bin", safe="model.safetensors", *, bomb=False):
    weights = Bomb(path / "ran") if bomb else load_file(path / safe)
    (path / safe).unlink()
    torch.save(weights, path / name)


@pytest.mark.parametrize("bomb", [False, True])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_pickled_weights_are_not_opened(estimator, bomb, tmp_path):
    pickled(copied(tiny.folder("bert"), tmp_path), bomb=bomb)
    match = r"are a pickle \(pytorch_model.bin\).* Convert them to safetensors"
    with pytest.raises(ModelUnavailableError, match=match):
        estimator(tmp_path).fit(TEXTS, Y)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("as_model", [False, True])
def test_pickled_adapters_are_not_opened(as_model, tmp_path):
    copied(tiny.adapter_folder("bert"), tmp_path)
    pickled(tmp_path, "adapter_model.bin", "adapter_model.safetensors")
    embedder = HiddenStateEmbedder(tiny.folder("bert"), adapter=tmp_path)
    if as_model:
        embedder = HiddenStateEmbedder(tmp_path)
    with pytest.raises(ModelUnavailableError, match=r"a pickle \(adapter_model.bin\)"):
        embedder.fit(TEXTS)


def test_pickled_modules_are_not_opened(tmp_path):
    encoder = SentenceTransformer(tiny.folder("bert"))
    encoder.append(Dense(16, 4))
    encoder.save(str(tmp_path))
    SentenceEmbedder(tmp_path).fit(TEXTS)
    pickled(tmp_path / "2_Dense")
    with pytest.raises(ModelUnavailableError, match=r"a pickle \(pytorch_model.bin\)"):
        SentenceEmbedder(tmp_path).fit(TEXTS)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_weights_that_are_no_numbers_are_refused(estimator, value, tmp_path):
    def spoil(weights):
        name = next(n for n in weights if n.endswith("layer.1.output.dense.weight"))
        weights[name][3, 2] = value
        return weights

    change_weights(copied(tiny.folder("bert"), tmp_path), spoil)
    match = r"NaN or infinite, such as in '.*layer\.1\.output\.dense\.weight'"
    with pytest.raises(ModelUnavailableError, match=match):
        estimator(tmp_path).fit(TEXTS, Y)


def test_adapters_that_are_no_numbers_are_refused(tmp_path):
    copied(tiny.adapter_folder("bert"), tmp_path)
    weights = load_file(tmp_path / "adapter_model.safetensors")
    next(iter(weights.values()))[0, 0] = np.nan
    save_file(weights, tmp_path / "adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(ModelUnavailableError, match=r"NaN or infinite, .*lora_A"):
        HiddenStateEmbedder(tiny.folder("bert"), adapter=tmp_path).fit(TEXTS)


@pytest.mark.parametrize("estimator", ESTIMATORS[2:])
@pytest.mark.parametrize("changed", [{}, {"lora": True}, {"freeze_layers": 1}])
def test_an_adapter_is_no_model_to_train(estimator, changed, tmp_path):
    copied(tiny.adapter_folder("bert"), tmp_path)
    tiny.tokenizer("bert").save_pretrained(tmp_path)
    match = r"is an adapter of peft, .* base model and lora=, or .*merge_and_unload\(\)"
    with pytest.raises(InvalidInputError, match=match):
        estimator(tmp_path, **START, **changed).fit(TEXTS, Y)


def without(part):
    """Leave some weights away."""
    return lambda weights: {n: weights[n] for n in weights if part not in n}


@pytest.mark.parametrize("kept_as", ["transformers", "sentence-transformers"])
@pytest.mark.parametrize("accelerate", [True, False])
def test_sentences_are_not_embedded_by_made_up_weights(
    kept_as, accelerate, tmp_path, monkeypatch
):
    if not accelerate:
        monkeypatch.setattr(_sentence_reader, "find_spec", lambda name: None)
    if kept_as == "transformers":
        copied(tiny.folder("bert"), tmp_path)
    else:
        SentenceTransformer(tiny.folder("bert")).save(str(tmp_path))
    SentenceEmbedder(tmp_path).fit(TEXTS)
    change_weights(tmp_path, without("layer.2.output"))
    with pytest.raises(ModelUnavailableError, match="lacks 4 of its weights, such as"):
        SentenceEmbedder(tmp_path).fit(TEXTS)


@pytest.mark.parametrize("estimator", [HiddenStateEmbedder, *ESTIMATORS[2:]])
def test_weights_that_are_not_there_are_not_made_up(estimator, tmp_path):
    change_weights(copied(tiny.folder("bert"), tmp_path), without("layer.2.output"))
    with pytest.raises(ModelUnavailableError, match="lacks 4 of its weights, such as"):
        estimator(tmp_path).fit(TEXTS, Y)
    (tmp_path / "model.safetensors").write_bytes(b"not whole")
    with pytest.raises(ModelUnavailableError, match="holds no model that can be load"):
        estimator(tmp_path).fit(TEXTS, Y)


@pytest.mark.parametrize("estimator", [HiddenStateEmbedder, *ESTIMATORS[2:]])
def test_layers_of_a_decoder_named_decoder_may_not_be_missing(estimator, tmp_path):
    """OPT calls its layers so; only where there is an encoder is a decoder unread."""
    tokenizer = tiny.tokenizer("llama")
    config = OPTConfig(**{**_BERT, **_OPT, "vocab_size": len(tokenizer)})
    OPTModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    change_weights(tmp_path, without("layers.0.fc1"))
    with pytest.raises(ModelUnavailableError, match=r"lacks 2 .*decoder\.layers\.0"):
        estimator(tmp_path).fit(TEXTS, Y)


def test_a_pooler_may_be_missing(tmp_path):
    change_weights(copied(tiny.folder("bert"), tmp_path), without("pooler"))
    rows = [
        HiddenStateEmbedder(folder).fit_transform(TEXTS)
        for folder in (tmp_path, tiny.folder("bert"))
    ]
    np.testing.assert_array_equal(*rows)


_BERT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
_BERT |= {"intermediate_size": 32, "vocab_size": 20}
_XLNET = {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 32, "vocab_size": 20}
_OPT = {"word_embed_proj_dim": 16, "ffn_dim": 32}


@pytest.mark.parametrize(
    ("config", "causal"),
    [
        (BertGenerationConfig(**_BERT), False),
        (BertGenerationConfig(**_BERT, is_decoder=True), True),
        (XLNetConfig(**_XLNET), False),
        (BertConfig(**_BERT), False),
        (BertConfig(**_BERT, is_decoder=True), True),
        (OPTConfig(**_BERT, **_OPT), True),
    ],
)
def test_who_sees_what_comes_after(config, causal):
    """Whether the first state moves with the last token."""
    model = AutoModel.from_config(config).eval()
    with torch.no_grad():
        texts = torch.tensor([[5, 6, 7], [5, 6, 8]])
        first, other = model(input_ids=texts).last_hidden_state[:, 0]
    assert torch.allclose(first, other, atol=1e-6) == causal
    assert is_causal(config) == causal


def test_the_command_line_runs_no_code_of_a_folder(tmp_path):
    model = with_code(tmp_path / "model", model_type="nobodys")
    rows = [f"{text},{label}" for text, label in zip(TEXTS, Y, strict=True)]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *rows]))
    command = [sys.executable, "-m", "smilearn", "score", "data.csv", "--text", "text"]
    command += ["--label", "label", "--model", str(model)]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        input="yes\n" * 9,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "needs Python code of its own, which smilearn does not run" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (model / "ran").exists()
