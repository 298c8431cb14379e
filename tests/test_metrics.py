"""Measures of a ranking against slow definitions and scikit-learn."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from smilearn.exceptions import InvalidInputError
from smilearn.metrics import (
    auc,
    fpr_at_tpr,
    label_contrast,
    precision_at_k,
    rank_correlation,
    tpr_at_fpr,
)

RATES = [0.0, 0.01, 0.2, 1 / 3, 0.5, 0.75, 1.0]


def ranking(seed, n=200, levels=None):
    """Memorized samples, one in seven, that tend to be riskier; ties on request."""
    rng = np.random.default_rng(seed)
    memorized = rng.random(n) < 1 / 7
    memorized[:3] = True, False, False
    risk = rng.normal(size=n) + memorized
    return memorized, risk if levels is None else np.round(risk * levels / 4)


def slow_rates(memorized, risk):
    """Rates at each threshold, from none flagged to all, by counting."""
    pairs = list(zip(memorized, risk, strict=True))
    n_positive = sum(bool(m) for m, _ in pairs)
    for threshold in [np.inf, *sorted(set(risk), reverse=True)]:
        flagged = [bool(m) for m, r in pairs if r >= threshold]
        false = flagged.count(False) / (len(pairs) - n_positive)
        yield false, flagged.count(True) / n_positive


def slow_precision(memorized, risk, k):
    """Mean over every order in which ties may fall."""
    shares = []
    for order in permutations(range(len(risk))):
        listed = sorted(order, key=lambda i: -risk[i])[:k]  # a stable sort
        shares.append(sum(bool(memorized[i]) for i in listed) / k)
    return np.mean(shares)


def slow_contrast(table, codes):
    points = pairs = 0
    for row, code in zip(table, codes, strict=True):
        for label, value in enumerate(row):
            if label != code:
                pairs += 1
                points += 1 if row[code] > value else 0.5 * (row[code] == value)
    return points / pairs


# few levels of risk, so that ties are the rule
rankings = st.lists(st.tuples(st.booleans(), st.integers(-2, 2)), min_size=1)


@settings(deadline=None, max_examples=200)
@given(rankings, st.sampled_from(RATES))
def test_rates_equal_the_count_over_thresholds(pairs, rate):
    memorized, risk = zip(*[(True, 0), (False, 0), *pairs], strict=True)
    slow = list(slow_rates(memorized, risk))
    allowed = max(found for false, found in slow if false <= rate)
    needed = min(false for false, found in slow if found >= rate)
    assert tpr_at_fpr(memorized, risk, rate) == pytest.approx(allowed, abs=1e-12)
    assert fpr_at_tpr(memorized, risk, rate) == pytest.approx(needed, abs=1e-12)


def test_rates_of_a_perfect_a_flat_and_a_reversed_ranking():
    memorized = [0, 0, 0, 1, 1]
    assert tpr_at_fpr(memorized, [1, 2, 3, 4, 5], 0.0) == 1
    assert fpr_at_tpr(memorized, [1, 2, 3, 4, 5], 1.0) == 0
    assert tpr_at_fpr(memorized, [7] * 5, 0.99) == 0  # a tie is not cut through
    assert fpr_at_tpr(memorized, [7] * 5, 0.01) == 1
    assert tpr_at_fpr(memorized, [5, 4, 3, 2, 1], 0.99) == 0
    assert fpr_at_tpr(memorized, [5, 4, 3, 2, 1], 0.01) == 1


@settings(deadline=None, max_examples=100)
@given(rankings)
def test_auc_is_the_share_of_pairs_in_order(pairs):
    memorized, risk = zip(*[(True, 0), (False, 0), *pairs], strict=True)
    high = [r for m, r in zip(memorized, risk, strict=True) if m]
    low = [r for m, r in zip(memorized, risk, strict=True) if not m]
    wins = [1 if h > v else 0.5 * (h == v) for h in high for v in low]
    assert auc(memorized, risk) == pytest.approx(np.mean(wins))
    assert auc(memorized, risk) == roc_auc_score(memorized, risk)


@pytest.mark.parametrize("levels", [None, 5])
def test_rank_correlation_is_that_of_scipy(seed, levels):
    lira = np.random.default_rng(seed).normal(size=200)
    _, risk = ranking(seed, levels=levels)
    risk = risk + np.round(lira)
    expected = spearmanr(lira, risk).statistic
    assert rank_correlation(lira, risk) == pytest.approx(expected)


def test_rank_correlation_at_its_ends():
    assert rank_correlation([1, 2, 3], [1, 20, 300]) == 1
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == -1
    assert rank_correlation([1, 2, 3], [5, 5, 5]) == 0
    assert rank_correlation([0, 0, 0], [1, 2, 3]) == 0
    with pytest.raises(ValueError, match="lira contains NaN"):
        rank_correlation([np.nan, 1.0], [1, 2])
    with pytest.raises(ValueError, match="inconsistent"):
        rank_correlation([1, 2, 3], [1, 2])


@settings(deadline=None, max_examples=40)
@given(rankings.filter(lambda pairs: len(pairs) <= 6), st.data())
def test_precision_is_the_mean_over_orders_of_ties(pairs, data):
    memorized, risk = zip(*pairs, strict=True)
    k = data.draw(st.integers(1, len(pairs)))
    expected = slow_precision(memorized, risk, k)
    assert precision_at_k(memorized, risk, k) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(st.integers(2, 5), st.integers(1, 8), st.data())
def test_contrast_equals_the_loop_over_pairs(n_classes, n_samples, data):
    cell, code = st.integers(-2, 2), st.integers(0, n_classes - 1)
    row = st.lists(cell, min_size=n_classes, max_size=n_classes)
    table = data.draw(st.lists(row, min_size=n_samples, max_size=n_samples))
    codes = data.draw(st.lists(code, min_size=n_samples, max_size=n_samples))
    expected = slow_contrast(table, codes)
    assert label_contrast(table, codes) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("measure", [auc, tpr_at_fpr, fpr_at_tpr])
@pytest.mark.parametrize(
    ("memorized", "kind"), [([1, 1, 1], "memorized"), ([0, 0, 0], "not memorized")]
)
def test_one_kind_of_sample_is_refused(measure, memorized, kind):
    with pytest.raises(InvalidInputError, match=f"got 3 samples, all {kind}"):
        measure(memorized, [1, 2, 3])


@pytest.mark.parametrize("measure", [tpr_at_fpr, fpr_at_tpr, precision_at_k])
@pytest.mark.parametrize(
    ("memorized", "risk", "told"),
    [
        ([0, 1, 1], [1, 2], "inconsistent numbers of samples"),
        ([[0, 1], [1, 0]], [1, 2], "1d array"),
        ([0, 1, 1], [1.0, np.nan, 2.0], "NaN"),
        ([-1, 1, 1], [1, 2, 3], r"memorized must be 0 or 1; got \[-1, 1\]"),
    ],
)
def test_truth_and_risk_are_checked(measure, memorized, risk, told):
    with pytest.raises(ValueError, match=told):
        measure(memorized, risk, 1)


@pytest.mark.parametrize(
    ("measure", "given", "told"),
    [
        (fpr_at_tpr, ([0, 1], [0.1, 0.2], 75), "tpr must be a rate"),
        (tpr_at_fpr, ([0, 1], [0.1, 0.2], -0.1), "fpr must be a rate"),
        (precision_at_k, ([0, 1, 1], [1, 2, 3], 0), "between 1 and 3; got 0"),
        (precision_at_k, ([0, 1, 1], [1, 2, 3], -1), "between 1 and 3; got -1"),
        (precision_at_k, ([0, 1, 1], [1, 2, 3], 4), "between 1 and 3; got 4"),
        (label_contrast, ([[1, 0], [1, 0]], [0]), "inconsistent"),
        (label_contrast, ([[1, 0], [1, 0]], [0, -1]), "0 to 1; got -1 to 0"),
    ],
)
def test_rates_lengths_and_codes_are_checked(measure, given, told):
    with pytest.raises(ValueError, match=told):
        measure(*given)
