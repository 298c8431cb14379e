"""What a checkpoint keeps of an early point, and to whom it belongs."""

from types import SimpleNamespace

import numpy as np
import pytest

from smilearn.finetuning._early_point import EarlyPoint
from smilearn.finetuning._trainer_record import TrainerRecord


def callback(n_samples=6, **changed):
    parameters = {"rule": "median-loss", "loss_drop": 0.5, "stop_epoch": 1.0}
    parameters |= {"layer": -1, "pooling": "auto", "share": None, **changed}
    found = {"reached_": True, "early_step_": np.int64(4), "file_": "risk.csv"}
    found["kept_indices_"] = np.array([0, 2, 3, 5])
    return SimpleNamespace(_samples=range(n_samples), **parameters, **found)


def recorded(losses, by=None):
    """State of a Trainer after losses of steps 0, 1 and so on."""
    state = SimpleNamespace(stateful_callbacks={}, global_step=0)
    record, point = TrainerRecord(callback(), state), EarlyPoint()
    assert record.found is None
    for step, loss in enumerate(losses):
        point.update(step, step / 2, np.full(6, loss))
    record.keep(point, by)
    state.global_step = len(losses)
    return state


def test_what_was_found_is_kept_in_plain_values():
    found = TrainerRecord(callback(), recorded([2.0, 0.9], callback())).found
    expected = {"reached": True, "early_step": 4, "file": "risk.csv"}
    assert found["scored"] == {**expected, "left_out": [1, 4]}
    assert type(found["scored"]["early_step"]) is int
    assert found["base_loss"] == 2.0
    assert [entry["median_loss"] for entry in found["history"]] == [2.0, 0.9]


def test_scores_of_an_end_before_the_early_point_are_not_kept():
    """A longer run that goes on from there still looks for the point."""
    found = TrainerRecord(callback(), recorded([2.0, 1.9], callback())).found
    assert "scored" not in found
    assert len(found["history"]) == 2


@pytest.mark.parametrize(
    "changed",
    [{"n_samples": 7}, {"share": 0.1}, {"layer": 0}, {"rule": "gap"}, {"pooling": "x"}],
)
def test_records_of_others_are_not_found(changed):
    state = recorded([2.0, 0.9], callback())
    assert TrainerRecord(callback(), state).found is not None
    assert TrainerRecord(callback(**changed), state).found is None
