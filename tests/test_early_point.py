"""The early point: when it is reached, and after which steps it is looked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smilearn._early_point import EarlyPoint, evaluation_steps
from smilearn.exceptions import InvalidInputError


def follow(loss_drop, medians):
    """Answers of the rule to constant losses, one evaluation a step."""
    point = EarlyPoint(loss_drop)
    return point, [
        point.update(step, step / 4, np.full(3, median), np.ones(3, bool))
        for step, median in enumerate(medians)
    ]


def test_reached_at_the_threshold_itself():
    point, answers = follow(0.5, [2.0, 1.5, np.nextafter(1.0, 2), 1.0, 0.2])
    assert answers == [False, False, False, True, True]
    assert point.threshold == 1.0


@pytest.mark.parametrize(
    ("loss_drop", "threshold"), [(0.25, 3.0), (0.5, 2.0), (0.75, 1.0)]
)
def test_fall_is_relative_to_the_first_median(loss_drop, threshold):
    point, answers = follow(loss_drop, [4.0, 9.0, threshold + 0.01, threshold])
    assert point.threshold == threshold
    assert answers == [False, False, False, True]


def test_first_evaluation_is_never_the_early_point():
    """Losses of zero before training: nothing is learnt yet, and nothing can fall."""
    assert follow(0.5, [0.0, 0.0])[1] == [False, True]


def test_median_decides_not_the_mean():
    point = EarlyPoint(0.5)
    nobody = np.zeros(5, bool)
    point.update(0, 0.0, np.ones(5), nobody)
    few_fitted = np.array([0.0, 0.0, 0.9, 0.9, 0.9])  # mean 0.54, median 0.9
    assert not point.update(1, 0.5, few_fitted, nobody)
    few_hopeless = np.array([0.4, 0.4, 0.5, 50.0, 50.0])  # mean 20, median 0.5
    assert point.update(2, 1.0, few_hopeless, nobody)


def test_history_tells_what_happened_in_plain_numbers():
    point = EarlyPoint(0.9)
    correct = np.array([True, False, True, True])
    point.update(np.int64(0), 0, np.array([1, 2, 3, 4], np.float32), ~correct)
    point.update(3, np.float64(0.75), np.array([0.5, 2, 3, 9]), correct[[0, 3, 0, 1]])
    assert point.history == [
        {"step": 0, "epoch": 0.0, "median_loss": 2.5, "share_fitted": 0.25},
        {"step": 3, "epoch": 0.75, "median_loss": 2.5, "share_fitted": 0.75},
    ]
    kinds = {tuple(type(value) for value in entry.values()) for entry in point.history}
    assert kinds == {(int, float, float, float)}


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_training_that_diverged_says_so(loss):
    point = EarlyPoint(0.5)
    point.update(0, 0.0, np.ones(3), np.ones(3, bool))
    match = "not a number after 7 steps.* Lower learning_rate"
    with pytest.raises(InvalidInputError, match=match):
        point.update(7, 0.5, np.array([0.1, loss, 0.1]), np.ones(3, bool))
    assert len(point.history) == 1


@pytest.mark.parametrize(
    ("n_steps", "per_epoch", "n_epochs", "expected"),
    [
        (1, 5, 3, [1, 2, 3]),  # more evaluations wanted than there are steps
        (2, 5, 2, [1, 2, 3, 4]),
        (7, 5, 1, [2, 3, 5, 6, 7]),
        (7, 2, 2, [4, 7, 11, 14]),
        (10, 5, 1, [2, 4, 6, 8, 10]),
        (5, 5, 1, [1, 2, 3, 4, 5]),
        (7, 1, 3, [7, 14, 21]),
        (3, 4, 1, [1, 2, 3]),
        (49, 7, 2, list(range(7, 99, 7))),
        (267, 5, 1, [54, 107, 161, 214, 267]),
    ],
)
def test_evaluation_steps(n_steps, per_epoch, n_epochs, expected):
    steps = evaluation_steps(n_steps, per_epoch, n_epochs)
    assert sorted(steps) == expected
    assert {type(step) for step in steps} == {int}


@given(st.integers(1, 3000), st.integers(1, 50), st.integers(1, 20))
def test_steps_are_even_and_end_each_epoch(n_steps, per_epoch, n_epochs):
    steps = sorted(evaluation_steps(n_steps, per_epoch, n_epochs))
    assert len(steps) == min(per_epoch, n_steps) * n_epochs
    assert set(range(n_steps, n_steps * n_epochs + 1, n_steps)) <= set(steps)
    gaps = np.diff([0, *steps])
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1
