"""The network that is trained: its dropout, its modes, its losses."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from smilearn.finetuning._network import PooledClassifier, read
from smilearn.finetuning._text_samples import TextSamples


class Backbone(torch.nn.Module):
    """States that are the ids of the tokens, in a model with a mode."""

    def __init__(self, **settings):
        super().__init__()
        self.config = SimpleNamespace(hidden_size=3, **settings)
        self.weight, self.modes = torch.nn.Parameter(torch.ones(3)), []

    def forward(self, input_ids, attention_mask):
        self.modes.append(self.training)
        states = input_ids[..., None].float() * self.weight
        return SimpleNamespace(last_hidden_state=states)


class Words:
    """A tokenizer whose tokens are numbers."""

    pad_token_id, padding_side = 0, "left"
    all_special_ids, unk_token_id = [0], None
    convert_tokens_to_ids = staticmethod(lambda token: None)

    def __call__(self, texts, **options):
        return {"input_ids": [[int(word) for word in text.split()] for text in texts]}


@pytest.mark.parametrize(
    ("settings", "is_decoder", "rate"),
    [
        ({"hidden_dropout_prob": 0.3, "hidden_dropout": 0.9}, False, 0.3),
        ({"resid_pdrop": 0.2}, True, 0.2),
        ({"dropout": 0.0}, False, 0.0),
        ({}, True, 0.0),
        ({}, False, 0.1),
    ],
)
def test_dropout_before_the_head_is_that_of_the_model(settings, is_decoder, rate):
    network = PooledClassifier(Backbone(**settings), 2, is_decoder=is_decoder)
    assert network.dropout.p == rate


def test_dropout_is_in_the_loss_and_not_in_what_is_read():
    network = PooledClassifier(Backbone(dropout=1.0), 2).train()
    ids, mask = torch.tensor([[2, 4], [6, 0]]), torch.tensor([[1, 1], [1, 0]])
    labels, weights = torch.tensor([0, 1]), torch.tensor([0.5, 1.5])
    out = network(ids, mask, labels, weights)
    bias = network.head.bias.expand(2, 2)
    torch.testing.assert_close(out["logits"], bias)
    losses = -torch.log_softmax(bias, 1)[[0, 1], [0, 1]]
    torch.testing.assert_close(out["loss"], (weights * losses).mean())
    pooled, logits = read(network, TextSamples(["2 4", "6"], Words(), 9))
    np.testing.assert_allclose(pooled, [[3, 3, 3], [6, 6, 6]])
    expected = network.head(torch.from_numpy(pooled)).detach().numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-6)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("is_decoder", "expected"), [(False, 3), (True, 5)])
def test_rows_are_read_in_their_order_and_modes_left(training, is_decoder, expected):
    network = PooledClassifier(Backbone(), 2, is_decoder=is_decoder).train(training)
    samples = TextSamples(["7", "1 3 5", "8 8", "9"], Words(), 9)
    pooled, _ = read(network, samples, np.array([3, 1, 0]), batch_size=2)
    assert pooled[:, 0].tolist() == [9, expected, 7]
    assert network.backbone.modes == [False, False]  # two batches, both in eval mode
    assert network.training == network.backbone.training == training
