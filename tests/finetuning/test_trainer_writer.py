"""What a checkpoint keeps of an early point, and which run it belongs to."""

from types import SimpleNamespace

import numpy as np
import pytest

from smilearn.finetuning._early_point import EarlyPoint
from smilearn.finetuning._trainer_writer import TrainerWriter


def writer(state, *, name="run", n_samples=6):
    return TrainerWriter("folder", "csv", name, n_samples, state)


def recorded(losses):
    """State of a Trainer after losses of steps 0, 1 and so on, and a table."""
    state, point = SimpleNamespace(stateful_callbacks={}), EarlyPoint()
    assert writer(state).record() is None
    for step, loss in enumerate(losses):
        point.update(step, step / 2, np.full(6, loss))
    scored = {"reached": True, "early_step": 4, "file": "risk.csv"}
    writer(state).keep(point, np.array([0, 2, 3, 5]), **scored)
    return state


def test_what_was_measured_is_kept_in_plain_values():
    record = writer(recorded([2.0, 0.9])).record()
    expected = {"reached": True, "early_step": 4, "file": "risk.csv"}
    assert record["scored"] == {**expected, "left_out": [1, 4]}
    assert record["base_loss"] == 2.0
    assert [entry["median_loss"] for entry in record["history"]] == [2.0, 0.9]


def test_scores_of_an_end_before_the_early_point_are_not_kept():
    """A longer run that goes on from there still looks for the point."""
    record = writer(recorded([2.0, 1.9])).record()
    assert "scored" not in record
    assert len(record["history"]) == 2


@pytest.mark.parametrize("changed", [{"n_samples": 7}, {"name": "another"}])
def test_records_of_other_runs_are_passed_over(changed):
    state = recorded([2.0, 0.9])
    assert writer(state).record() is not None
    assert writer(state, **changed).record() is None
