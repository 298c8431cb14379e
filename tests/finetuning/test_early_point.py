"""The early point: when it is reached, and after which steps it is looked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smilearn.exceptions import InvalidInputError
from smilearn.finetuning._early_point import (
    EarlyPoint,
    evaluation_plan,
    evaluation_steps,
)


def follow(loss_drop, medians):
    """Answers of the rule to constant losses, one evaluation a step."""
    point = EarlyPoint(loss_drop=loss_drop)
    return point, [
        point.update(step, step / 4, np.full(3, median), correct=np.ones(3, bool))
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


def test_once_reached_it_stays_reached():
    point, answers = follow(0.5, [1.0, 0.4, 2.0])
    assert answers == [False, True, True]
    assert point.reached


def test_a_known_base_stands_for_the_first_evaluation():
    point = EarlyPoint(loss_drop=0.5, base_loss=1.0)
    assert point.threshold == 0.5
    assert not point.update(7, 1.0, np.array([0.6]))
    assert point.update(8, 1.1, np.array([0.5]))


def test_median_decides_not_the_mean():
    point = EarlyPoint(loss_drop=0.5)
    point.update(0, 0.0, np.ones(5))
    few_fitted = np.array([0.0, 0.0, 0.9, 0.9, 0.9])  # mean 0.54, median 0.9
    assert not point.update(1, 0.5, few_fitted)
    few_hopeless = np.array([0.4, 0.4, 0.5, 50.0, 50.0])  # mean 20, median 0.5
    assert point.update(2, 1.0, few_hopeless)


def test_gap_compares_means_with_held_out_samples():
    point = EarlyPoint("gap")
    held_out = np.array([0.0, 2.0])  # mean 1, median 1
    below = np.array([0.0, 0.0, 2.399])  # mean just below 0.8
    assert not point.update(0, 0.0, below, validation_losses=held_out)
    assert not point.update(1, 0.1, np.array([0.8, 0.8]), validation_losses=held_out)
    assert not point.update(2, 0.2, below, validation_losses=0.99 * held_out)
    assert point.update(3, 0.3, below, validation_losses=held_out)
    assert [entry["validation_loss"] for entry in point.history] == [1, 1, 0.99, 1]
    assert np.isnan(point.threshold)


@pytest.mark.parametrize(("stop_epoch", "first"), [(0, 0), (0.5, 2), (0.6, 3), (9, 4)])
def test_epochs_are_counted_from_the_start(stop_epoch, first):
    point = EarlyPoint("epochs", stop_epoch=stop_epoch)
    answers = [point.update(n, n / 4, np.full(3, 9.0)) for n in range(4)]
    assert answers == [False] * first + [True] * (4 - first)


def test_without_a_rule_nothing_is_reached():
    point = EarlyPoint(None)
    assert not any(point.update(n, n, np.full(3, 1.0 / (1 + n))) for n in range(9))
    assert np.isnan(point.threshold)


def test_history_tells_what_happened_in_plain_numbers():
    point = EarlyPoint(loss_drop=0.9)
    correct = np.array([True, False, True, True])
    point.update(np.int64(0), 0, np.array([1, 2, 3, 6], np.float32), correct=~correct)
    point.update(3, np.float64(0.75), np.array([0.5, 2, 3]))
    assert point.history == [
        {
            "step": 0,
            "epoch": 0.0,
            "median_loss": 2.5,
            "mean_loss": 3.0,
            "n_evaluated": 4,
            "share_fitted": 0.25,
        },
        {
            "step": 3,
            "epoch": 0.75,
            "median_loss": 2.0,
            "mean_loss": pytest.approx(5.5 / 3),
            "n_evaluated": 3,
        },
    ]
    kinds = [type(value) for value in point.history[0].values()]
    assert kinds == [int, float, float, float, int, float]


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_training_that_diverged_says_so(loss):
    point = EarlyPoint()
    point.update(0, 0.0, np.ones(3))
    match = "not a number after 7 steps.* Lower learning_rate"
    with pytest.raises(InvalidInputError, match=match):
        point.update(7, 0.5, np.array([0.1, loss, 0.1]))
    assert len(point.history) == 1


@pytest.mark.parametrize(
    ("n_samples", "per_epoch", "expected"),
    [
        (2400, "auto", (5, 200)),  # 6 times 200 forward passes of 0.4 steps: a fifth
        (12000, "auto", (5, 1000)),
        (10500, 20, (20, 250)),
        (600, "auto", (2, 100)),  # too few for 6 times 100
        (100, "auto", (1, 100)),
        (36, "auto", (1, 36)),
        (36, 5, (5, 36)),  # more often than there is time for, as asked
        (400, 5, (5, 100)),
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
