"""After which steps the early point is looked for, and on how many samples.

Its rules are tested in test_monitor.py, through the public monitor.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smilearn.finetuning._early_point import (
    EarlyPoint,
    evaluation_plan,
    evaluation_steps,
)


def test_without_a_rule_nothing_is_reached():
    point = EarlyPoint(None)
    assert not any(point.update(n, n, np.full(3, 1.0 / (1 + n))) for n in range(9))
    assert np.isnan(point.threshold)
    assert point.plan(600, "auto", n_steps=7, n_epochs=2) == (150, {7, 14})


def test_plan_of_epochs_has_the_step_to_stop_at():
    point = EarlyPoint("epochs", stop_epoch=1.3)
    n_evaluated, steps = point.plan(100, 1, n_steps=10, n_epochs=3)
    assert (n_evaluated, steps) == (100, {10, 13, 20, 30})


@pytest.mark.parametrize(
    ("n_samples", "per_epoch", "expected"),
    [
        (2400, "auto", (5, 200)),  # 6 times 200 forward passes of 0.4 steps: a fifth
        (10500, 20, (20, 250)),
        (600, "auto", (2, 100)),  # too few for 6 times 100
        (36, "auto", (1, 36)),
        (36, 5, (5, 36)),  # more often than there is time for, as asked
        (2000, 1, (1, 500)),
    ],
)
def test_evaluation_plan(n_samples, per_epoch, expected):
    assert evaluation_plan(n_samples, per_epoch) == expected


@given(st.integers(400, 100_000))
def test_a_plan_of_our_own_costs_a_fifth_of_the_training(n_samples):
    per_epoch, n_evaluated = evaluation_plan(n_samples, "auto")
    assert (1 + per_epoch) * n_evaluated * 0.4 <= 0.2 * n_samples
    assert n_evaluated >= 100


@given(st.integers(1, 3000), st.integers(1, 50), st.integers(1, 20))
def test_steps_are_even_and_end_each_epoch(n_steps, per_epoch, n_epochs):
    steps = sorted(evaluation_steps(n_steps, per_epoch, n_epochs))
    assert len(steps) == min(per_epoch, n_steps) * n_epochs
    assert set(range(n_steps, n_steps * n_epochs + 1, n_steps)) <= set(steps)
    gaps = np.diff([0, *steps])
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1
