"""Adapters: put on the right modules, seen to act, or refused."""

import json
from pathlib import Path

import numpy as np
import peft
import pytest
import tiny_models as tiny
import torch
from test_heads import BY_HAND, logits_one_by_one
from test_hidden_states import TEXTS, expected

from smilearn import HiddenStateEmbedder
from smilearn.exceptions import AdapterError, InvalidInputError, ModelUnavailableError

pytestmark = pytest.mark.usefixtures("one_thread", "no_network")


def last_of_wrapped(kind, head="Model"):
    """Mean or last token of each text alone, by the model that peft wrapped."""
    wrapped = tiny.with_lora(tiny.model(kind, head), kind).get_base_model()
    states = tiny.states_one_by_one(wrapped, tiny.tokenizer(kind), TEXTS)
    last = kind in tiny.DECODERS
    return np.stack(
        [(each[-1, -1] if last else each[-1].mean(0)).numpy() for each in states]
    )


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_an_adapter_is_put_on_and_changes_the_rows(kind):
    folder, adapter = tiny.folder(kind), tiny.adapter_folder(kind)
    X = HiddenStateEmbedder(folder, adapter=adapter).fit_transform(TEXTS)
    np.testing.assert_allclose(X, last_of_wrapped(kind), atol=1e-5)
    plain = expected(kind, "last" if kind in tiny.DECODERS else "mean")[:, -1]
    assert abs(X - plain).max() > 0.1
    by_itself = HiddenStateEmbedder(adapter).fit_transform(TEXTS)
    np.testing.assert_array_equal(by_itself, X)


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_a_loaded_adapter_model(kind):
    wrapped = tiny.with_lora(tiny.model(kind), kind)
    embedder = HiddenStateEmbedder(wrapped, tokenizer=tiny.tokenizer(kind))
    X = embedder.fit_transform(TEXTS)
    np.testing.assert_allclose(X, last_of_wrapped(kind), atol=1e-5)
    with pytest.raises(InvalidInputError, match="model has one already"):
        embedder.set_params(adapter=tiny.adapter_folder(kind)).fit([])


def test_an_adapter_goes_on_a_copy_of_a_loaded_model():
    network = tiny.model("bert")
    names = [name for name, _ in network.named_parameters()]
    embedder = HiddenStateEmbedder(
        network, adapter=tiny.adapter_folder("bert"), tokenizer=tiny.tokenizer("bert")
    )
    X = embedder.fit_transform(TEXTS)
    np.testing.assert_allclose(X, last_of_wrapped("bert"), atol=1e-5)
    assert [name for name, _ in network.named_parameters()] == names


@pytest.mark.parametrize("kind", ["bert", "gpt2", "qwen2"])
def test_a_classifier_in_an_adapter_is_followed(kind):
    """The folder of the base model has no head; the adapter brings it."""
    head = "ForSequenceClassification"
    adapter = tiny.adapter_folder(kind, head, task="SEQ_CLS")
    embedder = HiddenStateEmbedder(adapter).fit(TEXTS)
    assert embedder.pooling_ == ("last" if kind in tiny.DECODERS else "cls")
    wrapped = tiny.with_lora(tiny.model(kind, head), kind, task_type="SEQ_CLS")
    network = wrapped.get_base_model()
    with torch.inference_mode():
        rows = torch.from_numpy(embedder.transform(TEXTS))
        logits = BY_HAND[kind](network, rows).numpy()
    given = logits_one_by_one(network, tiny.tokenizer(kind), TEXTS)
    assert given.shape == (6, tiny.N_LABELS)
    np.testing.assert_allclose(logits, given, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "head"), [("gpt2", "LMHeadModel"), ("llama", "ForCausalLM")]
)
@pytest.mark.parametrize("task", ["CAUSAL_LM", None])
def test_an_adapter_of_a_language_model_finds_its_modules(kind, head, task):
    adapter = tiny.adapter_folder(kind, head, task=task)
    X = HiddenStateEmbedder(tiny.folder(kind), adapter=adapter).fit_transform(TEXTS)
    expected = last_of_wrapped(kind, "Model")
    np.testing.assert_allclose(X, expected, atol=1e-5)


def test_a_fresh_adapter_has_no_effect():
    adapter = tiny.adapter_folder("llama", trained=False)
    match = f"{adapter!r} has no effect .* B matrices are all 0, as in a fresh LoRA"
    with pytest.raises(AdapterError, match=match):
        HiddenStateEmbedder(tiny.folder("llama"), adapter=adapter).fit(TEXTS)
    wrapped = tiny.with_lora(tiny.model("llama"), "llama", trained=False)
    words = tiny.tokenizer("llama")
    with pytest.raises(AdapterError, match="B matrices are all 0"):
        HiddenStateEmbedder(wrapped, tokenizer=words).fit(TEXTS)


def test_an_adapter_that_is_switched_off_has_no_effect():
    wrapped = tiny.with_lora(tiny.model("llama"), "llama")
    wrapped.base_model.disable_adapter_layers()
    embedder = HiddenStateEmbedder(wrapped, tokenizer=tiny.tokenizer("llama"))
    with pytest.raises(AdapterError, match=r"no effect .* it is switched off, or"):
        embedder.fit(TEXTS)


def test_an_adapter_of_another_base_model():
    adapter = tiny.adapter_folder("bert")
    match = (
        r"belongs to another base model.* it changes 'encoder.* trained on, '.*bert"
    )
    with pytest.raises(AdapterError, match=match) as caught:
        HiddenStateEmbedder(tiny.folder("gpt2"), adapter=adapter).fit(TEXTS)
    assert "\n" not in str(caught.value)
    embedder = HiddenStateEmbedder(
        tiny.model("gpt2"), adapter=adapter, tokenizer=tiny.tokenizer("gpt2")
    )
    with pytest.raises(AdapterError, match="belongs to another base model, or to"):
        embedder.fit(TEXTS)


def test_an_adapter_whose_names_are_those_of_another_head():
    """peft only warns: nothing is loaded, and the rows are those of the base model."""
    adapter = tiny.adapter_folder("llama", "ForCausalLM", task="CAUSAL_LM")
    embedder = HiddenStateEmbedder(
        tiny.model("llama"), adapter=adapter, tokenizer=tiny.tokenizer("llama")
    )
    with pytest.raises(AdapterError, match=r"another head: it changes 'model.layers"):
        embedder.fit(TEXTS)


def test_an_adapter_of_other_shapes(tmp_path):
    wide = tiny.model("bert", hidden_size=24, num_attention_heads=3)
    tiny.with_lora(wide, "bert").save_pretrained(tmp_path)
    match = r"does not fit this base model: size mismatch .* Give the base model that"
    with pytest.raises(AdapterError, match=match) as caught:
        HiddenStateEmbedder(tiny.folder("bert"), adapter=tmp_path).fit(TEXTS)
    assert "\n" not in str(caught.value)


def test_virtual_tokens_are_refused(tmp_path):
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    wrapped = peft.get_peft_model(tiny.model("llama", "ForCausalLM"), config)
    words = tiny.tokenizer("llama")
    with pytest.raises(AdapterError, match="virtual tokens before the text"):
        HiddenStateEmbedder(wrapped, tokenizer=words).fit(TEXTS)
    wrapped.save_pretrained(tmp_path)
    with pytest.raises(AdapterError, match="virtual tokens before the text"):
        HiddenStateEmbedder(tiny.folder("llama"), adapter=tmp_path).fit(TEXTS)


def test_no_such_adapter(tmp_path):
    for adapter, match in [
        (tmp_path, "holds no model that can be loaded: Can't find 'adapter_config"),
        ("/nowhere/at/all", "No folder '/nowhere/at/all' to load"),
        ("nobody/nothing", "No model 'nobody/nothing': it is neither a folder nor"),
    ]:
        with pytest.raises(ModelUnavailableError, match=match):
            HiddenStateEmbedder(tiny.folder("bert"), adapter=adapter).fit(TEXTS)


def test_an_adapter_whose_base_model_has_gone(tmp_path):
    adapter = Path(tiny.adapter_folder("bert"))
    for file in adapter.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = "/gone/away/bert"
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelUnavailableError, match="No folder '/gone/away/bert'"):
        HiddenStateEmbedder(tmp_path).fit(TEXTS)
    X = HiddenStateEmbedder(tiny.folder("bert"), adapter=tmp_path).fit_transform(TEXTS)
    np.testing.assert_allclose(X, last_of_wrapped("bert"), atol=1e-5)


@pytest.mark.parametrize("name", [None, ""])
def test_an_adapter_that_does_not_name_its_base_model(tmp_path, name):
    for file in Path(tiny.adapter_folder("bert")).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = name
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    match = r"does not name its base model .* as model= and the adapter as adapter="
    with pytest.raises(AdapterError, match=match):
        HiddenStateEmbedder(tmp_path).fit(TEXTS)
    X = HiddenStateEmbedder(tiny.folder("bert"), adapter=tmp_path).fit_transform(TEXTS)
    np.testing.assert_allclose(X, last_of_wrapped("bert"), atol=1e-5)
