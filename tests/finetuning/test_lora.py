"""Low-rank adapters: where they go, what they train, and what is refused."""

import pickle
import sys
import warnings

import numpy as np
import pytest
import torch
from test_freezing import TEXTS, Y
from tiny_decoders import make_decoder
from transformers import AutoModel

from smilearn import FineTunedClassifier, FineTunedEmbedder
from smilearn.exceptions import InvalidInputError, MissingDependencyError
from smilearn.finetuning._network import lora_settings

pytestmark = pytest.mark.usefixtures("one_thread")


def make(folder, lora, kind=FineTunedEmbedder, **changed):
    settings = {"learning_rate": 3e-2, "batch_size": 8, "max_epochs": 3}
    settings |= {"early_point": None, "random_state": 0, **changed}
    return kind(folder, lora=lora, **settings)


def adapted(fitted):
    """Names of the modules that have an adapter."""
    modules = fitted._network.backbone.named_modules()
    return [name for name, module in modules if hasattr(module, "lora_A")]


def test_settings_are_filled_in():
    full = {"rank": 16, "alpha": 32, "dropout": 0.0, "target_modules": None}
    assert lora_settings(True) == full
    assert lora_settings(4) == {**full, "rank": 4, "alpha": 8}
    given = {"rank": 2, "alpha": 1, "dropout": 0.1, "target_modules": "query"}
    assert lora_settings(given) == {**given, "target_modules": ["query"]}
    assert lora_settings(None) is lora_settings(False) is None


@pytest.mark.parametrize("kind", ["encoder", "gpt2", "llama"])
def test_only_adapters_and_head_are_trained(tiny_encoder, kind, tmp_path):
    folder = tiny_encoder if kind == "encoder" else make_decoder(tmp_path, kind)
    before = dict(AutoModel.from_pretrained(folder).named_parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # peft warns of the layout of GPT-2's weights
        fitted = make(folder, 4).fit(TEXTS, Y)
    after = dict(fitted._network.backbone.named_parameters())
    names = {name.replace(".base_layer", ""): name for name in after}
    for name, weight in before.items():
        assert torch.equal(weight, after[names[name]])
    adapters = [weight for name, weight in after.items() if "lora_B" in name]
    assert adapters
    assert all(weight.abs().max() > 0 for weight in adapters)  # they start at 0
    assert fitted.history_[-1]["mean_loss"] < 0.9 * fitted.history_[0]["mean_loss"]


def test_adapters_change_nothing_before_training(tiny_encoder):
    options = {"early_point": "epochs", "stop_epoch": 0}
    bare = make(tiny_encoder, None, **options).fit_transform(TEXTS, Y)
    with_lora = make(tiny_encoder, True, **options).fit_transform(TEXTS, Y)
    np.testing.assert_allclose(with_lora, bare, atol=1e-6)
    trained = make(tiny_encoder, True).fit_transform(TEXTS, Y)
    assert abs(trained - bare).max() > 1e-2


def test_targets_are_those_named(tiny_encoder):
    fitted = make(tiny_encoder, {"rank": 2, "target_modules": ["key", "value"]})
    names = adapted(fitted.fit(TEXTS, Y))
    ends = ("key", "value")
    assert len(names) == 4  # of two layers
    assert all(name.endswith(ends) for name in names)


def test_frozen_layers_get_no_adapter(tiny_encoder):
    fitted = make(tiny_encoder, 2, freeze_layers=1).fit(TEXTS, Y)
    assert {name.split(".")[2] for name in adapted(fitted)} == {"1"}
    np.testing.assert_allclose(  # of stored states, and of the whole model
        fitted._read(TEXTS)[1], fitted.logits_, atol=1e-5
    )


def test_scale_of_an_adapter_is_alpha_by_rank(tiny_encoder):
    """The map in use is the old one plus alpha / rank times B A."""
    lora = {"rank": 2, "alpha": 6, "target_modules": "query"}
    fitted = make(tiny_encoder, lora).fit(TEXTS, Y)
    backbone = fitted._network.backbone
    layer = backbone.get_submodule(adapted(fitted)[0])
    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    assert down.shape == (2, 16)
    expected = layer.base_layer(x) + 3 * (x @ down.T) @ up.T
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(
    ("lora", "rate"), [(None, 5e-5), (False, 5e-5), (True, 5e-4), (8, 5e-4), ({}, 5e-4)]
)
def test_adapters_have_a_learning_rate_of_their_own(tiny_encoder, lora, rate):
    automatic, given = (
        make(tiny_encoder, lora, learning_rate=each).fit(TEXTS, Y)
        for each in ("auto", rate)
    )
    np.testing.assert_array_equal(automatic.logits_, given.logits_)
    assert bool(adapted(automatic)) == (rate == 5e-4)


@pytest.mark.parametrize(
    ("lora", "match"),
    [
        ({"r": 4}, "no setting 'r'; settings are: rank, alpha, dropout, target_mod"),
        ({"rank": 0}, "rank must be an int >= 1; got 0"),
        ({"rank": None}, "rank must be an int >= 1; got None"),
        ({"rank": "4"}, "rank must be an int >= 1; got '4'"),
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
        make(tiny_encoder, lora).fit(TEXTS, Y)


def test_no_layer_left_for_adapters(tiny_encoder):
    with pytest.raises(InvalidInputError, match="freeze_layers=2 leaves no layer"):
        make(tiny_encoder, True, freeze_layers=2).fit(TEXTS, Y)


def test_without_peft_the_extra_is_named(tiny_encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    match = r"FineTunedClassifier\(lora=...\) needs .*'peft'.*smilearn\[finetune\]"
    with pytest.raises(MissingDependencyError, match=match):
        make(tiny_encoder, True, FineTunedClassifier).fit(TEXTS, Y)
    make(tiny_encoder, None, max_epochs=1).fit(TEXTS, Y)


def test_pickle_keeps_the_adapters(tiny_encoder):
    fitted = make(tiny_encoder, 4).fit(TEXTS, Y)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(TEXTS), fitted.transform(TEXTS))


def test_same_seed_same_adapters(tiny_encoder):
    one, again, other = (
        make(tiny_encoder, 4, random_state=seed).fit_transform(TEXTS, Y)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert abs(one - other).max() > 1e-3
