"""Folders that are no whole model are refused before any training."""

import numpy as np
import pytest
import tiny_models as tiny
import torch
from finetuning_data import TEXTS, Y
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from test_model_sources import copied
from transformers import (
    AutoModel,
    BertConfig,
    BertGenerationConfig,
    OPTConfig,
    OPTModel,
    XLNetConfig,
    XLNetModel,
)

from smilearn import (
    FineTunedClassifier,
    FineTunedEmbedder,
    HiddenStateEmbedder,
    SentenceEmbedder,
)
from smilearn.embedding import _sentence
from smilearn.embedding._pretrained import is_causal
from smilearn.exceptions import (
    InvalidInputError,
    ModelUnavailableError,
    TruncationWarning,
)
from smilearn.finetuning import _base

pytestmark = pytest.mark.usefixtures("one_thread")
ESTIMATORS = [FineTunedEmbedder, FineTunedClassifier]
START = {"early_point": "epochs", "stop_epoch": 0, "max_epochs": 1, "random_state": 0}


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("kind", ["bert", "llama"])
@pytest.mark.parametrize("changed", [{}, {"lora": True}, {"freeze_layers": 1}])
def test_an_adapter_is_no_model_to_train(estimator, kind, changed, tmp_path):
    copied(tiny.adapter_folder(kind), tmp_path)
    tiny.tokenizer(kind).save_pretrained(tmp_path)
    match = r"is an adapter of peft, .* base model and lora=, or .*merge_and_unload\(\)"
    with pytest.raises(InvalidInputError, match=match):
        estimator(tmp_path, **START, **changed).fit(TEXTS, Y)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_merged_adapter_is_one(estimator, tmp_path):
    wrapped = tiny.with_lora(tiny.model("bert"), "bert")
    wrapped.merge_and_unload().save_pretrained(tmp_path)
    tiny.tokenizer("bert").save_pretrained(tmp_path)
    fitted = estimator(tmp_path, **START).fit(TEXTS, Y)
    assert all(each.requires_grad for each in fitted.backbone_.parameters())


@pytest.mark.parametrize("kept_as", ["transformers", "sentence-transformers"])
@pytest.mark.parametrize("accelerate", [True, False])
def test_sentences_are_not_embedded_by_made_up_weights(
    kept_as, accelerate, tmp_path, monkeypatch
):
    if not accelerate:
        monkeypatch.setattr(_sentence, "find_spec", lambda name: None)
    if kept_as == "transformers":
        copied(tiny.folder("bert"), tmp_path)
    else:
        SentenceTransformer(tiny.folder("bert")).save(str(tmp_path))
    SentenceEmbedder(tmp_path).fit(TEXTS)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {key: each for key, each in weights.items() if "layer.2.output" not in key}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelUnavailableError, match="lacks 4 of its weights, such as"):
        SentenceEmbedder(tmp_path).fit(TEXTS)


@pytest.mark.parametrize("kind", ["distilbert", "gpt2", "llama", "t5"])
def test_whole_models_of_any_kind_embed_sentences(kind):
    assert SentenceEmbedder(tiny.folder(kind)).fit_transform(TEXTS).shape == (40, 16)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_weights_that_are_not_there_are_not_made_up(estimator, tmp_path):
    copied(tiny.folder("bert"), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {key: each for key, each in weights.items() if "layer.2.output" not in key}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelUnavailableError, match="lacks 4 of its weights, such as"):
        estimator(tmp_path, **START).fit(TEXTS, Y)


@pytest.mark.parametrize("estimator", [HiddenStateEmbedder, *ESTIMATORS])
def test_layers_of_a_decoder_named_decoder_may_not_be_missing(estimator, tmp_path):
    """OPT calls its layers so; only where there is an encoder is a decoder unread."""
    tokenizer = tiny.tokenizer("llama")
    config = OPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        word_embed_proj_dim=16,
        ffn_dim=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
    )
    OPTModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {key: each for key, each in weights.items() if "layers.1.fc1" not in key}
    assert len(kept) == len(weights) - 2
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    options = {} if estimator is HiddenStateEmbedder else START
    with pytest.raises(ModelUnavailableError, match=r"lacks 2 .*decoder\.layers\.1"):
        estimator(tmp_path, **options).fit(TEXTS, Y)


def test_a_pooler_may_be_missing(tmp_path):
    copied(tiny.folder("bert"), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {key: each for key, each in weights.items() if "pooler" not in key}
    assert len(kept) == len(weights) - 2
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    rows = [
        FineTunedEmbedder(folder, **START).fit(TEXTS, Y).transform(TEXTS)
        for folder in (tmp_path, tiny.folder("bert"))
    ]
    np.testing.assert_array_equal(*rows)


@pytest.fixture
def loaded_frozen(monkeypatch):
    """Models come with weights that cannot be trained."""
    load = _base.load_backbone

    def frozen(*given):
        backbone, *rest = load(*given)
        return (backbone.requires_grad_(False), *rest)

    monkeypatch.setattr(_base, "load_backbone", frozen)


@pytest.mark.usefixtures("loaded_frozen")
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_model_that_cannot_be_trained_is_refused(estimator):
    with pytest.raises(InvalidInputError, match="No weight of the BertModel can be"):
        estimator(tiny.folder("bert"), **START).fit(TEXTS, Y)


@pytest.mark.usefixtures("loaded_frozen")
@pytest.mark.parametrize("changed", [{"lora": True}, {"freeze_layers": 3}])
def test_adapters_or_a_head_alone_are_what_is_asked_for(changed):
    FineTunedEmbedder(tiny.folder("bert"), **START, **changed).fit(TEXTS, Y)


_BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 20,
}
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


@pytest.mark.parametrize("estimator", [HiddenStateEmbedder, FineTunedEmbedder])
def test_a_model_that_says_minus_one_has_no_limit_of_its_own(estimator, tmp_path):
    """XLNet's positions are relative: what limits its texts is the tokenizer."""
    tokenizer = tiny.tokenizer("bert", model_max_length=20)
    tokenizer.save_pretrained(tmp_path)
    config = XLNetConfig(**{**_XLNET, "vocab_size": len(tokenizer)})
    XLNetModel(config).save_pretrained(tmp_path)
    options = {} if estimator is HiddenStateEmbedder else START
    fitted = estimator(tmp_path, **options).fit(TEXTS, Y)
    assert fitted.n_truncated_ == 0
    with pytest.warns(TruncationWarning, match="longer than the 20 tokens"):
        fitted.transform(["good " * 30])
