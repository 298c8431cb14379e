"""Displays: made from an estimator or from numbers, drawn on axes."""

import numpy as np
import pytest

from smilearn import RiskTable, SliceConvergence, SlicedMIScorer, compare_scorers
from smilearn.exceptions import InvalidInputError
from smilearn.report import (
    EarlyPointDisplay,
    IntervalDisplay,
    RiskDisplay,
    SliceConvergenceDisplay,
)

pyplot = pytest.importorskip("matplotlib.pyplot")
HISTORY = [
    {"epoch": 0.0, "median_loss": 0.7, "share_fitted": 0.5},
    {"epoch": 0.5, "median_loss": 0.3, "share_fitted": 0.8},
]


@pytest.fixture(autouse=True)
def closed():
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    y = np.repeat(["ham", "spam"], 60)
    return rng.normal(size=(120, 4)) + 2 * (y == "spam")[:, None], y


def test_risk_by_class_of_a_scorer_and_of_a_table(samples):
    scorer = SlicedMIScorer(64, random_state=0).fit(*samples)
    one = RiskDisplay.from_estimator(scorer)
    two = RiskDisplay.from_estimator(scorer.to_table())
    for display in (one, two):
        assert [each.get_text() for each in display.ax_.get_legend().texts] == [
            "ham",
            "spam",
        ]
        assert sum(bar.get_height() for bar in display.ax_.containers[0]) == 60
        assert display.figure_ is display.ax_.figure


def test_outliers_do_not_stretch_the_axis_and_stay_in_the_count():
    risk = np.append(np.linspace(0, 1, 999), [1e6])
    axes = RiskDisplay.from_predictions(risk).ax_
    assert axes.get_xlim()[1] < 2
    assert sum(bar.get_height() for bar in axes.patches) == 1000


def test_many_classes_share_a_colour():
    labels = np.arange(200) % 20
    legend = RiskDisplay.from_predictions(np.arange(200.0), labels).ax_.get_legend()
    assert [each.get_text() for each in legend.texts][-1] == "12 others"


def test_axes_that_are_given_are_drawn_on():
    _, axes = pyplot.subplots()
    assert RiskDisplay.from_predictions([0.0, 1.0], ax=axes).ax_ is axes
    assert axes.get_xlabel() == "risk (nats, high = at risk)"


def test_convergence(samples):
    scorer = SlicedMIScorer(64, random_state=0).fit(*samples)
    curve = SliceConvergence.from_estimator(scorer, *samples)
    axes = SliceConvergenceDisplay.from_estimator(curve).ax_
    for line, values in zip(
        axes.lines, (curve.contrast, curve.reliability), strict=False
    ):
        np.testing.assert_array_equal(line.get_ydata(), values)


def test_the_early_point_is_where_the_loss_has_fallen_enough():
    class Tuned:
        loss_drop, history_, early_point_reached_ = "auto", HISTORY, False

    for display, text in (
        (EarlyPointDisplay.from_estimator(Tuned()), "early point, not reached"),
        (EarlyPointDisplay.from_predictions(HISTORY, 0.5), "early point"),
    ):
        curve, threshold = display.ax_.lines
        assert list(curve.get_ydata()) == [0.7, 0.3]
        assert threshold.get_ydata()[0] == pytest.approx(0.35)
        assert display.ax_.texts[0].get_text() == text


def test_scorers_compared_are_best_first():
    rng = np.random.default_rng(0)
    memorized = rng.random(200) < 0.2
    scores = {
        "noise": rng.normal(size=200),
        "good": rng.normal(size=200) - 2 * memorized,
    }
    comparison = compare_scorers(scores, memorized, random_state=0)
    for metric in ("auc", "fpr_at_tpr_0.75"):
        axes = IntervalDisplay.from_estimator(comparison, metric).ax_
        assert [each.get_text() for each in axes.get_yticklabels()] == ["good", "noise"]
        assert axes.get_xlabel() == metric
    with pytest.raises(InvalidInputError, match="metric must be among"):
        IntervalDisplay.from_estimator(comparison, "other")


def test_a_price_list_is_drawn_against_cost():
    display = IntervalDisplay.from_predictions(
        ["before", "early"], [0.90, 0.92], cost=[0.04, 0.08], xlabel="AUC"
    )
    assert display.ax_.get_xscale() == "log"
    assert [each.get_text() for each in display.ax_.texts] == ["before", "early"]


def test_hostile_labels_are_drawn_as_text():
    labels = ["\x1b[31m$\\frac$", "b"]
    RiskDisplay.from_predictions([0.0, 1.0], labels).figure_.canvas.draw()
    IntervalDisplay.from_predictions(["$x", "\x1b"], [0.0, 1.0]).figure_.canvas.draw()


@pytest.mark.parametrize(
    "make",
    [
        lambda: RiskDisplay([0.0, 1.0], ["a"]),
        lambda: RiskDisplay([np.inf], ["a"]),
        lambda: EarlyPointDisplay([]),
        lambda: IntervalDisplay(["a"], [0.0, 1.0]),
    ],
)
def test_numbers_that_do_not_fit_are_refused(make):
    with pytest.raises(InvalidInputError):
        make()


def test_a_table_without_labels_is_one_class():
    axes = RiskDisplay.from_estimator(RiskTable([0.0, -1.0], ["a", "a"])).ax_
    assert axes.get_legend() is None
