"""What the fine-tuned estimators settle before they train."""

import numpy as np
import pytest
import torch
from test_freezing import Y
from test_training import make

from smilearn.finetuning import _training


@pytest.mark.parametrize(("n_held_out", "shares"), [(100, (50, 50)), (20, (20, 80))])
def test_held_out_texts_are_at_most_half_of_an_evaluation(n_held_out, shares):
    held_out = np.arange(400) < n_held_out
    task = _training.Task(None, np.arange(400) % 2, np.ones(400), held_out)
    options = {"steps": set(), "rng": np.random.default_rng(0), "folder": None}
    watcher = _training.Watcher(None, task, None, n_evaluated=100, **options)
    assert (len(watcher.held_out), len(watcher.rows)) == shares
    assert held_out[watcher.held_out].all()
    assert not held_out[watcher.rows].any()
    assert np.ptp(np.bincount(task.codes[watcher.rows])) == 0


def test_texts_held_out_follow_the_seed(tiny_encoder):
    embedder = make(tiny_encoder, early_point="gap", validation_share=0.2)
    one, again, other = (embedder._held_out(Y, seed) for seed in (0, 0, 1))
    assert (one == again).all()
    assert (one != other).any()


@pytest.mark.parametrize(
    ("rule", "asked", "expected"),
    [(None, "auto", 1), (None, 7, 7), ("gap", "auto", "auto"), ("median-loss", 3, 3)],
)
def test_without_an_early_point_losses_are_measured_once_an_epoch(
    tiny_encoder, rule, asked, expected
):
    embedder = make(tiny_encoder, early_point=rule, evaluations_per_epoch=asked)
    schedule = embedder._schedule(_training, torch.device("cpu"))
    assert schedule.evaluations_per_epoch == expected
