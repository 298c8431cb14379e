"""Low-rank adapters: where they go, what they train, and what is refused."""

import pickle
import sys
import warnings

import numpy as np
import pytest
import torch
from finetuning_data import TEXTS, Y, make
from tiny_decoders import decoder
from transformers import AutoModel

from smilearn import FineTunedClassifier
from smilearn.exceptions import InvalidInputError, MissingDependencyError

pytestmark = pytest.mark.usefixtures("one_thread")


def adapt(folder, lora, **changed):
    """Fit to the last epoch, fast enough for adapters to learn."""
    settings = {"early_point": None, "learning_rate": 3e-2, "lora": lora, **changed}
    return make(folder, **settings).fit(TEXTS, Y)


def adapted(fitted):
    """The modules that have an adapter, by name."""
    modules = fitted.backbone_.named_modules()
    return {name: module for name, module in modules if hasattr(module, "lora_A")}


@pytest.mark.parametrize("kind", ["encoder", "gpt2", "llama"])
def test_only_adapters_and_head_are_trained(tiny_encoder, kind):
    folder = tiny_encoder if kind == "encoder" else decoder(kind)
    before = dict(AutoModel.from_pretrained(folder).named_parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # peft warns of the layout of GPT-2's weights
        fitted = adapt(folder, 4)
    after = dict(fitted.backbone_.named_parameters())
    names = {name.replace(".base_layer", ""): name for name in after}
    for name, weight in before.items():
        assert torch.equal(weight, after[names[name]])
    adapters = [weight for name, weight in after.items() if "lora_B" in name]
    assert adapters
    assert all(weight.abs().max() > 0 for weight in adapters)  # they start at 0
    assert fitted.history_[-1]["mean_loss"] < 0.9 * fitted.history_[0]["mean_loss"]
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(TEXTS), fitted.transform(TEXTS))
    np.testing.assert_array_equal(adapt(folder, 4).logits_, fitted.logits_)


def test_frozen_layers_get_no_adapter(tiny_encoder):
    fitted = adapt(tiny_encoder, 2, freeze_layers=1, kind=FineTunedClassifier)
    assert {name.split(".")[2] for name in adapted(fitted)} == {"1"}
    d = fitted.logits_[:, 1] - fitted.logits_[:, 0]  # of stored states
    np.testing.assert_allclose(fitted.decision_function(TEXTS), d, atol=1e-5)
    with pytest.raises(InvalidInputError, match="freeze_layers=2 leaves no layer"):
        adapt(tiny_encoder, True, freeze_layers=2)


@pytest.mark.parametrize(
    ("lora", "rank", "scale", "kinds"),
    [
        ({"rank": 2, "alpha": 6, "target_modules": "query"}, 2, 3, {"query"}),
        ({"target_modules": ["key", "value"]}, 16, 2, {"key", "value"}),
        (True, 16, 2, {"query", "value"}),  # as peft takes for BERT
        (4, 4, 2, {"query", "value"}),
    ],
)
def test_settings(tiny_encoder, lora, rank, scale, kinds):
    """The map in use is the old one plus alpha / rank times B A."""
    fitted = adapt(tiny_encoder, lora, max_epochs=1)
    layers = adapted(fitted)
    assert {name.rpartition(".")[2] for name in layers} == kinds
    assert len(layers) == 2 * len(kinds)
    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    for layer in layers.values():
        down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        assert down.shape == (rank, 16)
        expected = layer.base_layer(x) + scale * (x @ down.T) @ up.T
        torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(
    ("lora", "rate"), [(None, 5e-5), (False, 5e-5), (True, 5e-4), ({}, 5e-4)]
)
def test_adapters_have_a_learning_rate_of_their_own(tiny_encoder, lora, rate):
    automatic, named = (
        adapt(tiny_encoder, lora, learning_rate=each, max_epochs=1)
        for each in ("auto", rate)
    )
    np.testing.assert_array_equal(automatic.logits_, named.logits_)
    assert bool(adapted(automatic)) == (rate == 5e-4)


@pytest.mark.parametrize(
    ("lora", "match"),
    [
        ({"r": 4}, "no setting 'r'; settings are: rank, alpha, dropout, target_mod"),
        ({"rank": 0}, "rank must be an int >= 1; got 0"),
        ({"rank": None}, "rank must be an int >= 1; got None"),
        ({"alpha": 0}, "alpha must be above 0; got 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\); got 1.0"),
        (
            {"target_modules": ["q_proj"]},
            "of the BertModel that is trained is called 'q_proj'; its maps are: dense, "
            "key, query, value",
        ),
    ],
)
def test_wrong_settings_are_refused(tiny_encoder, lora, match):
    with pytest.raises(InvalidInputError, match=match):
        adapt(tiny_encoder, lora)


def test_without_peft_the_extra_is_named(tiny_encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    match = r"FineTunedClassifier\(lora=...\) needs .*'peft'.*smilearn\[finetune\]"
    with pytest.raises(MissingDependencyError, match=match):
        adapt(tiny_encoder, True, kind=FineTunedClassifier)
    adapt(tiny_encoder, None, max_epochs=1)
