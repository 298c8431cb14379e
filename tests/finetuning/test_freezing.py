"""Frozen layers that run once, against the same layers frozen in the plain way."""

import warnings

import numpy as np
import pytest
import torch
from tiny_decoders import make_decoder
from transformers import (
    AlbertConfig,
    AlbertModel,
    AutoModel,
    BertConfig,
    BertModel,
    DebertaV2Config,
    DebertaV2Model,
    DistilBertConfig,
    DistilBertModel,
    MPNetConfig,
    MPNetModel,
    Qwen2Config,
    Qwen2Model,
    RobertaConfig,
    RobertaModel,
    XLNetConfig,
    XLNetModel,
)

from smilearn import FineTunedClassifier, FineTunedEmbedder
from smilearn.exceptions import InvalidInputError
from smilearn.finetuning import _network, _training
from smilearn.finetuning._network import LowerLayers, StoredStates, layers_of

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
    "bert": lambda: BertModel(BertConfig(**SIZES)),
    "roberta": lambda: RobertaModel(RobertaConfig(**SIZES)),
    "mpnet": lambda: MPNetModel(MPNetConfig(**SIZES)),
    "distilbert": lambda: DistilBertModel(DistilBertConfig(**DISTIL)),
    "deberta": lambda: DebertaV2Model(DebertaV2Config(**SIZES, **RELATIVE)),
    "qwen2": lambda: Qwen2Model(Qwen2Config(**SIZES, **SLIDING)),
}
KINDS = [*MAKERS, "gpt2", "llama"]
WORDS = ["good", "bad", "film", "plot", "warm", "cold", "the", "was"]


def data(n_texts=40, seed=3):
    rng = np.random.default_rng(seed)
    y = np.arange(n_texts) % 2
    texts = [
        " ".join([["bad", "good"][label], *rng.choice(WORDS, rng.integers(9))])
        for label in y
    ]
    return texts, y


TEXTS, Y = data()


@pytest.fixture(params=KINDS)
def backbone(request, tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if request.param in MAKERS:
            return MAKERS[request.param]().eval()
    return AutoModel.from_pretrained(make_decoder(tmp_path, request.param)).eval()


def tokens():
    """Two texts of 5 and 3 tokens, right-padded."""
    input_ids = torch.tensor([[5, 6, 7, 8, 9], [7, 5, 6, 1, 1]])
    return input_ids, torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_stored_states_are_the_hidden_states_of_that_layer(backbone, n_layers):
    input_ids, mask = tokens()
    lower = LowerLayers(backbone, n_layers)
    states = lower.states(backbone, input_ids, mask)
    with torch.inference_mode():
        whole = backbone(input_ids=input_ids, attention_mask=mask)
    seen = []
    layer = layers_of(backbone)[n_layers - 1]
    handle = layer.register_forward_hook(
        lambda module, args, out: seen.append(out[0] if type(out) is tuple else out)
    )
    with torch.inference_mode():
        backbone(input_ids=input_ids, attention_mask=mask)
    handle.remove()
    real = mask.bool()
    torch.testing.assert_close(states[real], seen[0][real])
    with torch.inference_mode(), lower.replaced_by(states * real[..., None]):
        again = backbone(input_ids=input_ids, attention_mask=mask)
    torch.testing.assert_close(
        again.last_hidden_state[real], whole.last_hidden_state[real]
    )


def test_stored_states_reach_the_output_and_lower_layers_do_not_run(backbone):
    input_ids, mask = tokens()
    lower = LowerLayers(backbone, 2)
    inner = next(iter(lower.layers[1].children()))
    ran = []
    inner.register_forward_hook(lambda *_: ran.append(True))
    with torch.inference_mode(), lower.replaced_by(torch.zeros(2, 5, 16)):
        zeros = backbone(input_ids=input_ids, attention_mask=mask).last_hidden_state
    assert ran == []
    with torch.inference_mode():
        whole = backbone(input_ids=input_ids, attention_mask=mask).last_hidden_state
    assert ran == [True]
    assert abs(zeros - whole).max() > 1e-2
    assert all("forward" not in vars(layer) for layer in lower.layers)


def test_what_is_below_is_frozen_and_what_is_above_is_trained(backbone):
    lower = LowerLayers(backbone, 2)
    assert not any(p.requires_grad for p in lower.layers.parameters())
    assert not backbone.get_input_embeddings().weight.requires_grad
    assert all(p.requires_grad for p in lower.upper.parameters())
    by_name = dict(backbone.named_parameters())
    for name in ("ln_f.weight", "norm.weight"):  # after the last layer of decoders
        assert name not in by_name or by_name[name].requires_grad
    for name in ("wpe.weight", "embeddings.position_embeddings.weight"):
        assert name not in by_name or not by_name[name].requires_grad


class Tied(torch.nn.Module):
    """A norm that serves below the layers and above them."""

    device = torch.device("cpu")

    def __init__(self):
        super().__init__()
        self.config = BertConfig(num_hidden_layers=2)
        self.words, self.norm = torch.nn.Embedding(9, 4), torch.nn.LayerNorm(4)
        self.layers = torch.nn.ModuleList([torch.nn.Linear(4, 4) for _ in range(2)])
        self.last = torch.nn.LayerNorm(4)

    def forward(self, input_ids, **options):
        states = self.norm(self.words(input_ids))
        for layer in self.layers:
            states = layer(states)
        return self.last(self.norm(states))


def test_what_serves_below_and_above_is_frozen():
    backbone = Tied()
    LowerLayers(backbone, 1)
    trained = {name for name, p in backbone.named_parameters() if p.requires_grad}
    assert {name.rpartition(".")[0] for name in trained} == {"layers.1", "last"}


def test_frozen_layers_stay_in_eval_mode(backbone):
    lower = LowerLayers(backbone, 2)
    backbone.train()
    lower.set_eval()
    assert not any(m.training for layer in lower.layers for m in layer.modules())
    drops = [m for m in backbone.modules() if isinstance(m, torch.nn.Dropout)]
    inner = {m for layer in layers_of(backbone) for m in layer.modules()}
    assert not any(m.training for m in drops if m not in inner)  # of the embeddings
    assert all(m.training for layer in lower.upper for m in layer.modules())


def fit(folder, kind=FineTunedEmbedder, **changed):
    settings = {"learning_rate": 1e-2, "batch_size": 8, "max_epochs": 3}
    settings |= {"early_point": None, "evaluations_per_epoch": 5, "freeze_layers": 1}
    settings |= {"random_state": 0, **changed}
    return kind(folder, **settings).fit(TEXTS, Y)


@pytest.mark.parametrize("kind", ["encoder", "gpt2", "llama"])
def test_reusing_stored_states_changes_no_loss(
    tiny_encoder, kind, tmp_path, monkeypatch
):
    folder = tiny_encoder if kind == "encoder" else make_decoder(tmp_path, kind)
    reused = fit(folder)
    monkeypatch.setattr(_training.TextSamples, "store", lambda *_: None)
    plain = fit(folder)
    losses = [[h["mean_loss"] for h in each.history_] for each in (reused, plain)]
    assert losses[0][-1] < 0.9 * losses[0][0]
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)
    np.testing.assert_allclose(reused.logits_, plain.logits_, atol=1e-4)
    np.testing.assert_allclose(
        reused.transform(TEXTS), plain.transform(TEXTS), atol=1e-4
    )


def test_lower_weights_are_those_of_the_model_afterwards(tiny_encoder):
    before = AutoModel.from_pretrained(tiny_encoder)
    after = fit(tiny_encoder)._network.backbone
    moved = {
        name
        for name, weight in after.named_parameters()
        if not torch.equal(weight, before.get_parameter(name))
    }
    assert moved
    assert all(name.startswith("encoder.layer.1.") for name in moved)


def test_lower_layers_run_once_a_text(tiny_encoder, monkeypatch):
    calls = []
    states = LowerLayers.states

    def counted(self, backbone, input_ids, attention_mask):
        calls.append(len(input_ids))
        return states(self, backbone, input_ids, attention_mask)

    monkeypatch.setattr(LowerLayers, "states", counted)
    fit(tiny_encoder, kind=FineTunedClassifier)
    assert sum(calls) == len(TEXTS)


def test_more_layers_than_there_are_is_refused(tiny_encoder):
    match = "freeze_layers=3 is more than the 2 layers of the BertModel. Take 2"
    with pytest.raises(InvalidInputError, match=match):
        fit(tiny_encoder, freeze_layers=3)
    sizes = {**SIZES, "embedding_size": 8}
    with pytest.raises(
        InvalidInputError, match=r"no list of 3 layers.* freeze_layers=0"
    ):
        layers_of(AlbertModel(AlbertConfig(**sizes)))
    sizes = {"vocab_size": 40, "d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 8}
    with pytest.raises(InvalidInputError, match=r"XLNetModel do not hand on one state"):
        LowerLayers(XLNetModel(XLNetConfig(**sizes)), 1)


def test_many_states_go_to_a_file_that_leaves_no_trace(tmp_path, monkeypatch):
    monkeypatch.setattr(_network.tempfile, "tempdir", str(tmp_path))
    lengths = np.array([2, 0, 3])
    states = torch.arange(24.0).reshape(2, 3, 4)
    kept = []
    for most in (2**30, 0):
        monkeypatch.setattr(_network, "_MOST_IN_MEMORY", most)
        stored = StoredStates(lengths, 4)
        stored.put([2, 0], states)
        kept.append(stored.get([0, 2], 4))
    assert isinstance(stored.values, np.memmap)
    assert list(tmp_path.iterdir()) == []
    expected = torch.zeros(2, 4, 4)
    expected[0, :2], expected[1, :3] = states[1, :2], states[0]
    for each in kept:
        assert torch.equal(each, expected)


def test_no_warning_from_torch_or_transformers(tiny_encoder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(tiny_encoder)
