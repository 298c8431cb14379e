"""Curves over pairs against scikit-learn; RMIA against a loop."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from smilearn.audit._lira import log_lira
from smilearn.audit._membership import PairRanking, attack_summary, rmia_scores
from smilearn.audit._shadow_answers import ShadowAnswers
from smilearn.audit._shadow_models import balanced_members
from smilearn.metrics import tpr_at_fpr

ALLOWED = (0.001, 0.01, 0.2)


def pairs(seed=0, n_shadow=8, n_samples=50, effect=1.0):
    rng = np.random.default_rng(seed)
    B = balanced_members(np.zeros(n_samples, int), n_shadow, n_shadow // 2, rng)
    return rng.normal(size=B.shape) + effect * B, B


def slow_rmia(log_p, B, gamma):
    scores = np.zeros(log_p.shape)
    for target in range(len(B)):
        ratios = []
        for i in range(B.shape[1]):
            others = np.arange(len(B)) != target
            p = np.exp(log_p[:, i])
            average = p[others & B[:, i]].mean() / 2 + p[others & ~B[:, i]].mean() / 2
            ratios.append(p[target] / average)
        for i in range(B.shape[1]):
            z = [j for j in range(B.shape[1]) if not B[target, j] and j != i]
            scores[target, i] = np.mean([ratios[i] / ratios[j] >= gamma for j in z])
    return scores


@pytest.mark.parametrize("digits", [1, 8], ids=["ties", "no ties"])
def test_rates_are_those_of_scikit_learn(digits, seed):
    scores, B = pairs(seed)
    scores = scores.round(digits)
    weight = np.random.default_rng(seed).integers(0, 4, len(B)).astype(float)
    alike = np.ones(B.shape[1])
    values = PairRanking(scores, B).measures(weight, alike, ALLOWED)
    of_pair = np.repeat(weight, B.shape[1])
    expected = roc_auc_score(B.ravel(), scores.ravel(), sample_weight=of_pair)
    assert values[0] == pytest.approx(expected)
    copies = np.repeat(np.arange(len(B)), weight.astype(int))
    for value, fpr in zip(values[1:], ALLOWED, strict=True):
        expected = tpr_at_fpr(B[copies].ravel(), scores[copies].ravel(), fpr)
        assert value == pytest.approx(expected)


def test_no_order_is_chance_and_a_perfect_one_is_certain():
    _, B = pairs()
    rng = np.random.default_rng(0)
    values, low, high = attack_summary(np.zeros(B.shape), B, 20, rng)
    assert values.tolist() == [0.5, 0, 0]
    values, low, high = attack_summary(np.where(B, np.inf, 0), B, 20, rng)
    assert values.tolist() == low.tolist() == high.tolist() == [1, 1, 1]


@pytest.mark.parametrize("n_shadow", [4, 16])
def test_intervals_hold_chance_as_often_as_they_say(n_shadow, seed):
    """Also of ratios, whose targets share their shadows."""
    held = 0
    for draw in range(100):
        scores, B = pairs([seed, draw], n_shadow, effect=0.0)
        rng = np.random.default_rng(draw)
        ratios = log_lira(scores, B, equal_counts=True)
        _, low, high = attack_summary(ratios, B, 50, rng)
        held += low[0] <= 0.5 <= high[0]
    assert held >= 95


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_rmia_is_what_the_loop_says(gamma):
    effects, B = pairs(n_samples=20)
    log_p = -np.exp(-effects)
    found = rmia_scores(log_p, B, gamma)
    np.testing.assert_allclose(found, slow_rmia(log_p, B, gamma))
    assert roc_auc_score(B.ravel(), found.ravel()) > 0.6


def test_rmia_of_probabilities_that_no_float_holds_and_of_two_models():
    effects, B = pairs(n_samples=20)
    scores = rmia_scores(-1e4 * np.exp(-effects), B, 1.0)
    assert ((scores >= 0) & (scores <= 1)).all()
    effects, B = pairs(n_shadow=2, n_samples=20)
    assert np.isfinite(rmia_scores(-np.exp(-effects), B, 1.0)).all()


def test_memorization_is_a_difference_of_shares():
    B = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], bool)
    correct = np.array([[1, 1], [1, 1], [0, 1], [0, 0]], bool)
    difference, std = ShadowAnswers(B, None, correct=correct).memorization()
    assert difference.tolist() == [1.0, 0.5]
    three, two = 3 / 4 * 1 / 4 / 4, 2 / 4 * 2 / 4 / 4
    np.testing.assert_allclose(std, np.sqrt([2 * three, three + two]))
