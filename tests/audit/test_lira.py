"""Likelihood ratios against slow statements, simulations and the edges of floats."""

import numpy as np
import pytest
from scipy.special import digamma
from scipy.stats import norm, t
from sklearn.metrics import roc_auc_score

from smilearn.audit._lira import difference_of_sides, log_lira
from smilearn.audit._shadow_answers import ShadowAnswers
from smilearn.audit._shadow_models import balanced_members

PRIOR_DOF = 4.0


def simulated(n_shadow, effect, seed, n_in=None):
    rng = np.random.default_rng(seed)
    codes = np.arange(len(effect)) % 2
    B = balanced_members(codes, n_shadow, n_in or n_shadow // 2, rng)
    scale = rng.uniform(0.5, 2.0, len(effect))
    return scale * (rng.normal(size=B.shape) + B * effect) - 3 * scale, B


def slow_typical(T, B, left_out, side):
    """Median variance of all samples but one, at least a quarter of the other side's.

    The mean of the logarithm of a variance is below the logarithm of its mean.
    """
    medians = {}
    for each in (True, False):
        logs = []
        for i in range(T.shape[1]):
            x = T[B[:, i] == each, i]
            if i != left_out and x.std() > 0:
                half = (len(x) - 1) / 2
                short = digamma(half) - np.log(half)
                logs.append(np.log(x.var(ddof=1)) - short)
        medians[each] = np.exp(np.median(logs)) if logs else 0.0
    return max(medians[side], medians[not side] / 4)


def one_ratio(T, B, target, i, models):
    """Ratio of a sample under a target, by some of the models; one side at a time."""
    logs = []
    for side in (True, False):
        x = T[models & (B[:, i] == side) & (np.arange(len(T)) != target), i]
        dof = PRIOR_DOF + len(x) - 1
        squares = PRIOR_DOF * slow_typical(T, B, i, side) + len(x) * x.var()
        scale = np.sqrt(squares / dof * (1 + 1 / len(x)))
        logs.append(t.logpdf(T[target, i], dof, x.mean(), scale))
    return logs[0] - logs[1]


def slow_lira(T, B):
    models = np.ones(len(T), bool)
    ratios = [one_ratio(T, B, *place, models) for place in np.ndindex(T.shape)]
    return np.reshape(ratios, T.shape)


@pytest.mark.parametrize(("n_shadow", "n_in"), [(4, 2), (6, 2), (16, 8)])
def test_log_lira_is_what_the_loop_says(n_shadow, n_in):
    T, B = simulated(n_shadow, np.linspace(0, 4, 9), 0, n_in)
    np.testing.assert_allclose(log_lira(T, B), slow_lira(T, B), rtol=1e-9, atol=1e-9)
    T[:, [0, 4]] = 1.0  # samples that never vary are left out of what is typical
    np.testing.assert_allclose(log_lira(T, B), slow_lira(T, B), rtol=1e-9, atol=1e-9)


def test_models_that_know_all_by_heart_do_not_make_each_sample_memorized():
    """IN they never vary; most samples are the same in all models."""
    B = balanced_members(np.arange(200) % 2, 32, 16, np.random.default_rng(0))
    wrong = ~B & (np.random.default_rng(1).random(B.shape) < 0.9)
    T = np.where(wrong & (np.arange(200) < 20), -1.0, 1.0)
    truth = ShadowAnswers(B, T).lira()
    assert truth[:20].min() > 3
    assert np.abs(truth[20:]).max() < 1


@pytest.mark.parametrize("size", [1e3, 1e9, 1e100])
def test_one_sample_does_not_set_the_unit_of_the_others(size, seed):
    T, B = simulated(16, np.linspace(0, 4, 40), seed)
    wild = np.where(np.arange(40) == 0, size * T, T)
    np.testing.assert_allclose(
        log_lira(wild, B)[:, 1:], log_lira(T, B)[:, 1:], rtol=0.1, atol=0.1
    )
    told = difference_of_sides(wild, B)[1][1:] / difference_of_sides(T, B)[1][1:]
    assert np.abs(told - 1).max() < 0.1


def test_many_models_give_the_ratio_of_the_normals_that_they_came_from():
    B = balanced_members(np.zeros(4, int), 20_000, 10_000, np.random.default_rng(0))
    T = np.random.default_rng(1).normal(size=B.shape) + 2.0 * B
    expected = norm.logpdf(T, 2) - norm.logpdf(T, 0)
    np.testing.assert_allclose(log_lira(T, B), expected, rtol=0.05, atol=0.1)
    # the mean over targets that a sample is IN is the divergence 2 ** 2 / 2
    truth = ShadowAnswers(B, T).lira()
    np.testing.assert_allclose(truth, 2.0, atol=0.1)


@pytest.mark.parametrize("n_shadow", [4, 8, 16])
def test_with_equal_counts_nothing_gives_membership_away(n_shadow, seed):
    """Without them attacks on pure noise come out below chance."""
    plain, equal = [], []
    for draw in range(30):
        T, B = simulated(n_shadow, np.zeros(101), [seed, draw])
        plain.append(roc_auc_score(B.ravel(), log_lira(T, B).ravel()))
        ratios = log_lira(T, B, equal_counts=True)
        equal.append(roc_auc_score(B.ravel(), ratios.ravel()))
    assert abs(np.mean(equal) - 0.5) < 5 * np.std(equal) / 30**0.5
    assert np.mean(plain) < 0.5 - 0.2 / n_shadow


def test_equal_counts_leave_out_one_of_the_other_side():
    T, B = simulated(8, np.linspace(0, 4, 9), 0)
    found = log_lira(T, B, equal_counts=True)
    for target, i in np.ndindex(T.shape):
        options = []
        for partner in np.flatnonzero(B[:, i] != B[target, i]):
            kept = np.arange(8) != partner
            # the prior comes from other samples, whose models all stay
            options.append(one_ratio(T, B, target, i, kept))
        assert np.isclose(options, found[target, i]).sum() == 1


@pytest.mark.parametrize("n_shadow", [8, 32])
def test_the_jackknife_knows_the_spread_of_whole_audits(n_shadow):
    effect = np.repeat([0.5, 2.0, 4.0], 12)
    truths, errors = [], []
    for draw in range(60):
        rng = np.random.default_rng([7, draw])
        B = balanced_members(np.arange(36) % 2, n_shadow, n_shadow // 2, rng)
        T = rng.normal(size=B.shape) + B * effect
        truths.append(ShadowAnswers(B, T).lira())
        errors.append(ShadowAnswers(B, T).lira_std())
    true, told = np.std(truths, axis=0), np.sqrt(np.mean(np.square(errors), axis=0))
    for group in np.arange(36).reshape(3, 12):
        ratio = np.sqrt((told[group] ** 2).mean() / (true[group] ** 2).mean())
        assert 0.9 < ratio < (1.7 if n_shadow == 8 else 1.25)


@pytest.mark.parametrize(
    ("n_shadow", "n_in"), [(2, 1), (3, 1), (3, 2), (4, 2), (8, 1), (8, 7)]
)
@pytest.mark.parametrize("kind", ["noise", "constant", "zero", "huge", "tiny", "one"])
def test_never_nan(n_shadow, n_in, kind):
    T, B = simulated(n_shadow, np.ones(6), 0, n_in)
    T = {
        "noise": T,
        "constant": np.full(T.shape, 7.0),
        "zero": np.zeros(T.shape),
        "huge": T * 1e300,
        "tiny": T * 1e-300,
        "one": np.where(np.arange(6) == 0, 1e9, T),
    }[kind]
    ratios, errors = log_lira(T, B), ShadowAnswers(B, T).lira_std()
    assert np.isfinite(ratios).all()
    assert not np.isnan(errors).any()
    assert (np.isfinite(errors) == (n_in > 1)).all()
    assert np.isfinite(difference_of_sides(T, B)).all()


def test_difference_of_sides_and_its_error():
    effect, found, told = np.linspace(0, 3, 20), [], []
    for draw in range(200):
        T, B = simulated(8, effect, 0)
        rng = np.random.default_rng([3, draw])
        T = rng.normal(size=T.shape) + B * effect
        difference, error = difference_of_sides(T, B)
        found.append(difference)
        told.append(error)
    assert np.abs(np.mean(found, 0) - effect).max() < 0.25
    assert 0.9 < np.mean(told) / np.std(found, axis=0).mean() < 1.1
    expected = [T[B[:, i], i].mean() - T[~B[:, i], i].mean() for i in range(20)]
    np.testing.assert_allclose(difference, expected)
