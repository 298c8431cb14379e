"""The rules of the early point, through the monitor for loops without a Trainer."""

import numpy as np
import pytest
import torch

from smilearn import EarlyPointMonitor
from smilearn.exceptions import InvalidInputError


@pytest.mark.parametrize(
    ("loss_drop", "medians", "expected"),
    [
        ("auto", [2.0, 1.5, np.nextafter(1.0, 2), 1.0, 0.2], [0, 0, 0, 1, 1]),
        (0.25, [4.0, 9.0, 3.01, 3.0, 9.0], [0, 0, 0, 1, 1]),  # of the first one
        (0.75, [4.0, 2.0, 1.0], [0, 0, 1]),
        (0.5, [0.0, 0.0], [0, 1]),  # never the first one: nothing is learnt yet
    ],
)
def test_median_loss_counts_from_the_first_update(loss_drop, medians, expected):
    monitor = EarlyPointMonitor(loss_drop=loss_drop)
    assert (monitor.reached, monitor.history) == (False, [])
    assert [monitor.update([median] * 3) for median in medians] == expected
    assert monitor.reached
    assert [entry["median_loss"] for entry in monitor.history] == medians


def test_median_decides_not_the_mean():
    monitor = EarlyPointMonitor(n_classes=2)
    assert not monitor.update([0.0, 0.0, 0.9, 0.9, 0.9])  # mean 0.54, median 0.9
    assert monitor.update([0.3, 0.3, 0.3, 50.0, 50.0])  # mean 20, median 0.3


def test_gap_compares_means_with_held_out_samples():
    monitor = EarlyPointMonitor(rule="gap")
    with pytest.raises(InvalidInputError, match="rule='gap' needs validation_losses="):
        monitor.update([1.0])
    held_out = np.array([0.0, 2.0])  # mean 1, median 1
    below = np.array([0.0, 0.0, 2.399])  # mean just below 0.8
    assert not monitor.update(below, validation_losses=held_out)  # before any step
    assert not monitor.update([0.8, 0.8], validation_losses=held_out)
    assert not monitor.update(below, validation_losses=0.99 * held_out)
    assert monitor.update(below, validation_losses=held_out)
    assert [entry["validation_loss"] for entry in monitor.history] == [1, 1, 0.99, 1]


@pytest.mark.parametrize(("stop_epoch", "first"), [(0, 0), (0.5, 2), (0.6, 3)])
def test_epochs_are_counted_from_the_start(stop_epoch, first):
    monitor = EarlyPointMonitor(rule="epochs", stop_epoch=stop_epoch)
    with pytest.raises(InvalidInputError, match="rule='epochs' needs epoch="):
        monitor.update([1.0])
    answers = [monitor.update([9.0], epoch=n / 4) for n in range(4)]
    assert answers == [False] * first + [True] * (4 - first)


def test_history_has_plain_numbers():
    monitor = EarlyPointMonitor()
    losses = torch.tensor([0.5, 1.5, 4.0], dtype=torch.bfloat16, requires_grad=True)
    monitor.update(losses, correct=torch.tensor([True, False, False]), epoch=0)
    expected = {"step": 0, "epoch": 0.0, "median_loss": 1.5, "mean_loss": 2.0}
    expected |= {"n_evaluated": 3, "share_fitted": pytest.approx(1 / 3)}
    assert monitor.history == [expected]
    kinds = [type(value) for value in monitor.history[0].values()]
    assert kinds == [int, float, float, float, int, float]


@pytest.mark.parametrize(
    ("losses", "held_out", "match"),
    [
        (
            np.ones((2, 2)),
            [1],
            r"losses must be one number a sample; got shape \(2, 2\)",
        ),
        ([], [1], r"one number a sample; got shape \(0,\)"),
        ([np.nan], [1], "The training loss is not a number after 0 steps.*diverged"),
        ([1], [np.inf], "validation loss is not a number.*Lower learning_rate"),
    ],
)
def test_wrong_losses_are_refused(losses, held_out, match):
    monitor = EarlyPointMonitor(rule="gap")
    with pytest.raises(InvalidInputError, match=match):
        monitor.update(losses, validation_losses=held_out)
    assert monitor.history == []
