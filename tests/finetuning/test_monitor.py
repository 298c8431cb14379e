"""The monitor for training loops without a Trainer."""

import math

import numpy as np
import pytest
import torch

from smilearn import EarlyPointMonitor
from smilearn.exceptions import InvalidInputError


def test_median_loss_counts_from_the_first_update():
    monitor = EarlyPointMonitor(loss_drop=0.25)
    assert not monitor.reached
    assert monitor.history == []
    answers = [monitor.update([value] * 3) for value in (4.0, 3.01, 3.0, 9.0)]
    assert answers == [False, False, True, True]
    assert monitor.reached
    assert [entry["median_loss"] for entry in monitor.history] == [4, 3.01, 3, 9]
    assert [entry["step"] for entry in monitor.history] == [0, 1, 2, 3]


def test_with_classes_the_first_update_may_be_the_early_point():
    half = math.log(3) / 2
    assert not EarlyPointMonitor(n_classes=3).update([half + 1e-6])
    assert EarlyPointMonitor(n_classes=3).update([half])
    assert not EarlyPointMonitor().update([half])


def test_gap_needs_held_out_losses():
    monitor = EarlyPointMonitor(rule="gap")
    with pytest.raises(InvalidInputError, match="rule='gap' needs validation_losses="):
        monitor.update([1.0])
    assert not monitor.update([0.7], validation_losses=[1.0])  # before the first step
    assert not monitor.update([0.8], validation_losses=[0.0, 2.0])
    assert monitor.update([0.79], validation_losses=[0.0, 2.0])
    assert monitor.history[-1]["validation_loss"] == 1


def test_epochs_need_the_epoch():
    monitor = EarlyPointMonitor(rule="epochs", stop_epoch=0.5)
    with pytest.raises(InvalidInputError, match="rule='epochs' needs epoch="):
        monitor.update([1.0])
    assert not monitor.update([1.0], epoch=0.4)
    assert monitor.update([1.0], epoch=0.5)


def test_tensors_are_taken_as_they_are():
    monitor = EarlyPointMonitor()
    losses = torch.tensor([0.5, 1.5, 2.5], dtype=torch.bfloat16, requires_grad=True)
    monitor.update(losses, correct=torch.tensor([True, False, True]))
    assert monitor.history[0]["median_loss"] == 1.5
    assert monitor.history[0]["share_fitted"] == pytest.approx(2 / 3)
    assert monitor.history[0]["n_evaluated"] == 3


@pytest.mark.parametrize(
    ("losses", "match"),
    [
        (np.ones((2, 2)), r"losses must be one number a sample; got shape \(2, 2\)"),
        ([], r"one number a sample; got shape \(0,\)"),
        ([np.nan], "diverged"),
    ],
)
def test_wrong_losses_are_refused(losses, match):
    with pytest.raises(InvalidInputError, match=match):
        EarlyPointMonitor().update(losses)


def test_held_out_losses_that_are_no_numbers_are_refused():
    monitor = EarlyPointMonitor(rule="gap")
    with pytest.raises(InvalidInputError, match="validation loss is not a number"):
        monitor.update([0.5], validation_losses=[0.5, np.nan])
    assert monitor.history == []


def test_wrong_parameters_are_named():
    with pytest.raises(ValueError, match="The 'rule' parameter of EarlyPointMonitor"):
        EarlyPointMonitor(rule="soon").update([1.0])


def test_follows_a_plain_training_loop():
    """A linear model on separable data: the early point comes, and comes in time."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(200) % 2
    X = torch.randn(200, 5, generator=generator) + 2.0 * y[:, None]
    model = torch.nn.Linear(5, 2)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor, medians = EarlyPointMonitor(), []
    for _ in range(100):
        losses = torch.nn.functional.cross_entropy(model(X), y, reduction="none")
        medians.append(losses.median().item())
        if monitor.update(losses):
            break
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
    assert medians[0] == pytest.approx(math.log(2))
    assert medians[-1] <= 0.51 * math.log(2)
    assert 1 < len(medians) < 50
