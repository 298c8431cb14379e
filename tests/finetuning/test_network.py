"""The network that is trained: its dropout and its loss."""

from types import SimpleNamespace

import pytest
import torch

from smilearn.finetuning._network import PooledClassifier


class Backbone(torch.nn.Module):
    """States that are the ids of the tokens."""

    def __init__(self, **settings):
        super().__init__()
        self.config = SimpleNamespace(hidden_size=3, **settings)

    def forward(self, input_ids, attention_mask):
        states = input_ids[..., None].expand(-1, -1, 3).float()
        return SimpleNamespace(last_hidden_state=states)


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


def test_dropout_is_in_the_weighted_loss_of_a_training_and_not_elsewhere():
    network = PooledClassifier(Backbone(dropout=1.0), 2)
    ids, mask = torch.tensor([[2, 4], [6, 0]]), torch.tensor([[1, 1], [1, 0]])
    labels, weights = torch.tensor([0, 1]), torch.tensor([0.5, 1.5])
    pooled = torch.tensor([[3.0, 3, 3], [6, 6, 6]])
    for training, states in ((True, torch.zeros(2, 3)), (False, pooled)):
        output = network.train(training)(ids, mask, labels, weights)
        logits = network.head(states)
        torch.testing.assert_close(output["logits"], logits)
        losses = -torch.log_softmax(logits, 1)[[0, 1], [0, 1]]
        torch.testing.assert_close(output["loss"], (weights * losses).mean())
