"""Frozen layers against layers frozen in the plain way; what adapters train."""

import pickle
import sys
import warnings

import numpy as np
import pytest
import torch
import transformers as hf
from finetuning_data import TEXTS, Y, make
from tiny_decoders import decoder

from smilearn import FineTunedClassifier
from smilearn.exceptions import InvalidInputError, MissingDependencyError
from smilearn.finetuning import _training
from smilearn.finetuning._frozen_layers import FrozenLayers, layers_of

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}
DISTIL = {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32, "vocab_size": 40}
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
RELATIVE |= {"norm_rel_ebd": "layer_norm", "position_buckets": 8}
SLIDING = {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}
SLIDING |= {"num_key_value_heads": 1}
MAKERS = {
    "bert": lambda: hf.BertModel(hf.BertConfig(**SIZES)),
    "roberta": lambda: hf.RobertaModel(hf.RobertaConfig(**SIZES)),
    "mpnet": lambda: hf.MPNetModel(hf.MPNetConfig(**SIZES)),
    "distilbert": lambda: hf.DistilBertModel(hf.DistilBertConfig(**DISTIL)),
    "deberta": lambda: hf.DebertaV2Model(hf.DebertaV2Config(**SIZES, **RELATIVE)),
    "qwen2": lambda: hf.Qwen2Model(hf.Qwen2Config(**SIZES, **SLIDING)),
    "gpt2": lambda: hf.AutoModel.from_pretrained(decoder("gpt2")),
    "llama": lambda: hf.AutoModel.from_pretrained(decoder("llama")),
}
FROZEN = {"early_point": None, "evaluations_per_epoch": 5, "freeze_layers": 1}


@pytest.fixture(params=MAKERS)
def backbone(request):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MAKERS[request.param]().eval()


def tokens():
    """Two texts of 5 and 3 tokens, right-padded."""
    input_ids = torch.tensor([[5, 6, 7, 8, 9], [7, 5, 6, 1, 1]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    return {"input_ids": input_ids, "attention_mask": mask}


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_stored_states_are_the_hidden_states_of_that_layer(backbone, n_layers):
    frozen, batch, outputs = FrozenLayers(backbone, n_layers), tokens(), []
    states = frozen.states(backbone, **batch)
    hook = layers_of(backbone)[n_layers - 1].register_forward_hook(
        lambda module, args, out: outputs.append(out[0] if type(out) is tuple else out)
    )
    with torch.inference_mode(), hook:
        whole = backbone(**batch).last_hidden_state
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(states[real], outputs[0][real])
    with torch.inference_mode(), frozen.replaced_by(states * real[..., None]):
        again = backbone(**batch).last_hidden_state
    torch.testing.assert_close(again[real], whole[real])


def test_what_is_below_is_frozen_and_what_is_above_is_trained(backbone):
    frozen = FrozenLayers(backbone, 2)
    assert not any(p.requires_grad for p in frozen.layers.parameters())
    assert not backbone.get_input_embeddings().weight.requires_grad
    assert all(p.requires_grad for p in frozen.upper.parameters())
    by_name = dict(backbone.named_parameters())
    for name in ("ln_f.weight", "norm.weight"):  # after the last layer of decoders
        assert name not in by_name or by_name[name].requires_grad
    for name in ("wpe.weight", "embeddings.position_embeddings.weight"):
        assert name not in by_name or not by_name[name].requires_grad
    backbone.train()
    frozen.set_eval()
    assert not any(m.training for layer in frozen.layers for m in layer.modules())
    drops = [m for m in backbone.modules() if isinstance(m, torch.nn.Dropout)]
    inner = {m for layer in layers_of(backbone) for m in layer.modules()}
    assert not any(m.training for m in drops if m not in inner)  # of the embeddings
    assert all(m.training for layer in frozen.upper for m in layer.modules())


@pytest.mark.parametrize("kind", ["encoder", "gpt2", "llama"])
def test_reusing_stored_states_changes_no_loss(tiny_encoder, kind, monkeypatch):
    folder = tiny_encoder if kind == "encoder" else decoder(kind)
    reused = make(folder, **FROZEN).fit(TEXTS, Y)
    with monkeypatch.context() as patch:  # stored in a file
        patch.setattr(_training, "_MOST_IN_MEMORY", 1)
        from_file = make(folder, **FROZEN).fit(TEXTS, Y)
    np.testing.assert_array_equal(from_file.logits_, reused.logits_)
    monkeypatch.setattr(_training.TextSamples, "store", lambda *_: None)
    plain = make(folder, **FROZEN).fit(TEXTS, Y)
    losses = [[h["mean_loss"] for h in each.history_] for each in (reused, plain)]
    assert losses[0][-1] < 0.9 * losses[0][0]
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)
    np.testing.assert_allclose(reused.logits_, plain.logits_, atol=1e-4)
    X, Z = reused.transform(TEXTS), plain.transform(TEXTS)
    np.testing.assert_allclose(X, Z, atol=1e-4)


def test_frozen_layers_run_once_a_text_and_stay_those_of_the_model(
    tiny_encoder, monkeypatch
):
    n_texts, states = [], FrozenLayers.states

    def counted(self, backbone, input_ids, attention_mask):
        n_texts.append(len(input_ids))
        return states(self, backbone, input_ids, attention_mask)

    monkeypatch.setattr(FrozenLayers, "states", counted)
    after = make(tiny_encoder, FineTunedClassifier, **FROZEN).fit(TEXTS, Y).backbone_
    assert sum(n_texts) == len(TEXTS)
    before = hf.AutoModel.from_pretrained(tiny_encoder)
    moved = {
        name
        for name, weight in after.named_parameters()
        if not torch.equal(weight, before.get_parameter(name))
    }
    assert moved
    assert all(name.startswith("encoder.layer.1.") for name in moved)


def test_layers_that_cannot_be_frozen_are_refused(tiny_encoder):
    match = "freeze_layers=3 is more than the 2 layers of the BertModel. Take 2"
    with pytest.raises(InvalidInputError, match=match):
        make(tiny_encoder, freeze_layers=3).fit(TEXTS, Y)
    sizes = {**SIZES, "embedding_size": 8}
    with pytest.raises(InvalidInputError, match=r"no list of 3 layers.* freeze_lay"):
        layers_of(hf.AlbertModel(hf.AlbertConfig(**sizes)))
    sizes = {"vocab_size": 40, "d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 8}
    with pytest.raises(InvalidInputError, match=r"XLNetModel do not hand on one state"):
        FrozenLayers(hf.XLNetModel(hf.XLNetConfig(**sizes)), 1)


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
    before = dict(hf.AutoModel.from_pretrained(folder).named_parameters())
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
def test_settings_of_adapters(tiny_encoder, lora, rank, scale, kinds):
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
def test_wrong_settings_of_adapters_are_refused(tiny_encoder, lora, match):
    with pytest.raises(InvalidInputError, match=match):
        adapt(tiny_encoder, lora)


def test_without_peft_the_extra_is_named(tiny_encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    match = r"FineTunedClassifier\(lora=...\) needs .*'peft'.*smilearn\[finetune\]"
    with pytest.raises(MissingDependencyError, match=match):
        adapt(tiny_encoder, True, kind=FineTunedClassifier)
    adapt(tiny_encoder, None, max_epochs=1)
