"""Measures of a removal against simulations whose truth is known."""

import numpy as np
import pytest

from smilearn.audit._attacks import (
    attack_draws,
    attack_summary,
    log_lira,
    mean_over_targets,
)
from smilearn.audit._filter_audit import (
    FPR,
    MEASURES,
    Arm,
    effect_columns,
    group_measures,
    sample_measures,
)
from smilearn.audit._shadow_models import balanced_masks

NAMES = ["everything", "filtered", "random"]


def simulated(rng, *, shift=0.0, n_models=12, n_samples=60):
    """Arms that differ by chance, but for a shift of the kept ones IN if filtered."""
    B = balanced_masks(np.zeros(n_samples, int), n_models, n_models // 2, rng)
    rows = np.arange(n_samples)
    withheld = [rows < 0, rows < 8, rows >= n_samples - 8]
    arms = []
    for place, gone in enumerate(withheld):
        memory = np.where(gone, 0.0, 1.0 + shift * (place == 1))
        T = rng.normal(size=B.shape) + memory * B + 0.3 * rng.normal(size=(n_models, 1))
        arms.append(Arm(T, T > 0, gone))
    kept = ~withheld[1] & ~withheld[2]
    groups = {"all": rows >= 0, "kept": kept, "removed": withheld[1]}
    return arms, B, groups


def told(arms, B, groups, seed=0, reference="random"):
    found = group_measures(arms, B, groups, 0.1, 60, np.random.default_rng(seed))
    sizes = {name: rows.sum() for name, rows in groups.items()}
    columns = effect_columns(found, NAMES, reference, len(B), sizes)
    rows = zip(columns["group"], columns["measure"], columns["arm"], strict=True)
    return {row: k for k, row in enumerate(rows)}, columns


def test_each_measure_by_hand():
    arms, B, groups = simulated(np.random.default_rng(0))
    at, columns = told(arms, B, groups)
    kept, filtered = groups["kept"], arms[1]
    trained = ~filtered.withheld
    lira = mean_over_targets(log_lira(arms[0].statistic, B), B)
    bar = np.sort(lira)[-6]
    again = np.full(60, np.nan)
    again[trained] = mean_over_targets(
        log_lira(filtered.statistic[:, trained], B[:, trained]), B[:, trained]
    )
    right = [filtered.correct[~B[:, i], i].mean() for i in np.flatnonzero(kept)]
    expected = {
        "accuracy": np.mean(right),
        "lira": again[kept].mean(),
        "exposed": (again[kept] >= bar).mean(),
        "newly_exposed": ((again >= bar) & (lira < bar))[kept].mean(),
        "no_longer_exposed": ((again < bar) & (lira >= bar))[kept].mean(),
    }
    for measure, value in expected.items():
        row = at["kept", measure, "filtered"]
        assert columns["value"][row] == pytest.approx(value)
    ratios = filtered.ratios(B, equal_counts=True)[:, kept]
    values, *_ = attack_summary(ratios, B[:, kept], FPR, 5, np.random.default_rng(0))
    assert columns["value"][at["kept", "auc", "filtered"]] == pytest.approx(values[0])
    assert len(columns["value"]) == 3 * sum(map(len, MEASURES.values()))


def test_exposed_is_a_share_of_the_first_arm():
    arms, B, _ = simulated(np.random.default_rng(0))
    measures = sample_measures(arms, B, 0.25)
    assert measures["exposed"][0].sum() == 15
    assert not measures["newly_exposed"][0].any()
    change = measures["newly_exposed"].astype(int) - measures["no_longer_exposed"]
    now = measures["exposed"].astype(int)
    assert (now - now[0] == change).all()


def test_what_is_withheld_is_not_exposed_however_low_the_bar():
    arms, B, _ = simulated(np.random.default_rng(0))
    exposed = sample_measures(arms, B, 0.9)["exposed"]
    for arm, now in zip(arms, exposed, strict=True):
        assert not now[arm.withheld].any()
        assert now[~arm.withheld].mean() > 0.7


def test_differences_are_found_as_often_as_they_should_be(seed):
    """Without a difference, intervals hold 0; a large one is told."""
    rng, holds, sees = np.random.default_rng(seed), [], []
    for draw in range(12):
        at, columns = told(*simulated(rng), seed=draw)
        for measure in ("accuracy", "auc", "lira", "exposed"):
            row = at["kept", measure, "filtered"]
            low, high = columns["difference_low"][row], columns["difference_high"][row]
            holds.append(low <= 0 <= high)
        at, columns = told(*simulated(rng, shift=2.0), seed=draw)
        for measure in ("auc", "lira", "newly_exposed"):
            sees.append(columns["verdict"][at["kept", measure, "filtered"]])
    assert np.mean(holds) >= 0.9
    assert set(sees) == {"higher"}


def test_what_is_withheld_is_at_chance(seed):
    arms, B, groups = simulated(np.random.default_rng(seed), n_models=24)
    at, columns = told(arms, B, groups)
    row = at["removed", "auc", "filtered"]
    assert columns["low"][row] <= 0.5 <= columns["high"][row]
    assert columns["value"][at["removed", "auc", "everything"]] > 0.6


def test_shares_of_none_are_not_certain():
    arms, B, groups = simulated(np.random.default_rng(0))
    at, columns = told(arms, B, groups, reference="everything")
    row = at["kept", "newly_exposed", "everything"]
    assert columns["value"][row] == 0
    assert 1 / 60 < columns["high"][row] < 6 / 60


def test_attacks_on_the_same_draws_differ_by_nothing_from_themselves():
    arms, B, _ = simulated(np.random.default_rng(0))
    ratios = arms[0].ratios(B, equal_counts=True)
    other = np.random.default_rng(1).normal(size=B.shape)
    values, covariance = attack_draws(
        [ratios, ratios, other], B, FPR, 40, np.random.default_rng(0)
    )
    assert (values[0] == values[1]).all()
    variance = covariance[:, 0, 0]
    assert covariance[:, 0, 1] == pytest.approx(variance)
    assert (variance > 0).all()
    correlation = covariance[0, 0, 2] / np.sqrt(variance[0] * covariance[0, 2, 2])
    assert abs(correlation) < 0.5
