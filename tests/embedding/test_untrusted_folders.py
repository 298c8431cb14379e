"""Folders of strangers: their code is not run, their pickles are not opened."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tiny_models as tiny
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense
from test_model_sources import copied

from smilearn import (
    FineTunedClassifier,
    FineTunedEmbedder,
    HiddenStateEmbedder,
    SentenceEmbedder,
)
from smilearn.exceptions import AdapterError, ModelUnavailableError

pytestmark = pytest.mark.usefixtures("one_thread")
TEXTS = ["the good film", "a bad movie", "great plot", "dull actor"]
Y = [1, 0, 1, 0]
ESTIMATORS = [
    HiddenStateEmbedder,
    SentenceEmbedder,
    FineTunedEmbedder,
    FineTunedClassifier,
]


@pytest.fixture
def says_yes(monkeypatch):
    """A terminal at which somebody agrees to whatever is asked."""
    asked = []
    monkeypatch.setattr("builtins.input", lambda *text: asked.append(text) or "yes")
    return asked


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
def test_code_of_a_folder_is_not_run(estimator, tmp_path, says_yes):
    with_code(tmp_path, model_type="nobodys")
    match = "needs Python code of its own.* pass the loaded model to HiddenStateEmbedd"
    with pytest.raises(ModelUnavailableError, match=match):
        estimator(tmp_path).fit(TEXTS, Y)
    assert not says_yes
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("estimator", [HiddenStateEmbedder, SentenceEmbedder])
def test_code_that_is_not_needed_is_not_run(estimator, tmp_path, says_yes):
    with_code(tmp_path)
    names = {"AutoTokenizer": ["own.T", "own.T"]}
    with_code(tmp_path, "tokenizer_config.json", names, tokenizer_class="Nobodys")
    assert estimator(tmp_path).fit_transform(TEXTS).shape == (4, 16)
    assert not says_yes
    assert not (tmp_path / "ran").exists()


def test_code_that_an_adapter_might_need_is_not_run(tmp_path, says_yes):
    with_code(tmp_path, auto_map={"AutoModelForSeq2SeqLM": "own.M"})
    embedder = HiddenStateEmbedder(tmp_path, adapter=tiny.adapter_folder("llama"))
    with pytest.raises(AdapterError, match="belongs to another base model"):
        embedder.fit(TEXTS)
    assert not says_yes
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("moment", ["before", "early"])
def test_the_command_line_runs_no_code_of_a_folder(moment, tmp_path):
    model = with_code(tmp_path / "model", model_type="nobodys")
    rows = [f"{text},{label}" for text, label in zip(TEXTS, Y, strict=True)]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *rows]))
    command = [sys.executable, "-m", "smilearn", "score", "data.csv", "--text", "text"]
    command += ["--label", "label", "--model", str(model), "--moment", moment]
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


def test_a_module_class_of_the_folder_is_not_run(tmp_path, says_yes):
    SentenceTransformer(tiny.folder("bert")).save(str(tmp_path))
    modules = json.loads((tmp_path / "modules.json").read_text())
    modules[1]["type"] = "own.Pooling"
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelUnavailableError, match="needs Python code of its own"):
        SentenceEmbedder(tmp_path).fit(TEXTS)
    assert not says_yes
    assert not (tmp_path / "ran").exists()


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


def test_pickled_weights_beside_safe_ones_are_passed_over(tmp_path):
    copied(tiny.folder("bert"), tmp_path)
    torch.save({}, tmp_path / "pytorch_model.bin")
    X = HiddenStateEmbedder(tmp_path).fit_transform(TEXTS)
    same = HiddenStateEmbedder(tiny.folder("bert")).fit_transform(TEXTS)
    np.testing.assert_array_equal(X, same)


def test_a_tokenizer_beside_a_pickle_is_read(tmp_path):
    pickled(copied(tiny.folder("bert"), tmp_path))
    embedder = HiddenStateEmbedder(tiny.model("bert"), tokenizer=tmp_path)
    assert embedder.fit_transform(TEXTS).shape == (4, 16)


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


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_weights_that_are_no_numbers_are_refused(estimator, value, tmp_path):
    copied(tiny.folder("bert"), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    key = next(key for key in weights if key.endswith("layer.1.output.dense.weight"))
    weights[key][3, 2] = value
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
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


def test_loaded_models_that_are_no_numbers_are_refused():
    network = tiny.model("bert")
    with torch.no_grad():
        network.embeddings.word_embeddings.weight[150] = np.nan  # no text reads it
    embedder = HiddenStateEmbedder(network, tokenizer=tiny.tokenizer("bert"))
    with pytest.raises(ModelUnavailableError, match=r"such as in .*word_embeddings"):
        embedder.fit(TEXTS)
