"""Leverage against fits in which the label of one sample is moved."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from smilearn.baselines import LeverageScorer


def samples(n_classes, n=30, n_features=3):
    rng = np.random.default_rng(n_classes)
    y = np.arange(n) % n_classes
    X = 3 * rng.normal(size=(n, n_features)) + y[:, None] + 7
    X[0] += 9
    return X, y


def scaled(X):
    return (X - X.mean(0)) / np.sqrt(((X - X.mean(0)) ** 2).mean())


def test_identity_is_how_a_ridge_prediction_follows_its_target():
    X, y = samples(2)
    scores = LeverageScorer(alpha=0.05).fit(X, y).scores_
    rows, target = scaled(X), np.random.default_rng(1).normal(size=len(X))
    ridge = Ridge(alpha=0.05 * len(X), solver="cholesky")
    plain = ridge.fit(rows, target).predict(rows)
    for i in range(len(X)):
        moved = target + (np.arange(len(X)) == i)
        change = ridge.fit(rows, moved).predict(rows)[i] - plain[i]
        assert scores[i] == pytest.approx(-change, rel=1e-6)


def moved_probabilities(X, y, i, label, step, penalty):
    """Probabilities of sample i when a share of it has another label."""
    weight = np.ones(len(y) + 1)
    weight[i], weight[-1] = 1 - step, step
    model = LogisticRegression(C=1 / penalty, tol=1e-12, max_iter=10_000)
    model.fit(np.vstack([X, X[i]]), np.append(y, label), sample_weight=weight)
    return model.predict_proba(X[[i]])[0]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_softmax_is_how_the_probabilities_follow_the_label(n_classes):
    X, y = samples(n_classes)
    scores = LeverageScorer(link="softmax", alpha=0.05).fit(X, y).scores_
    rows, step, penalty = scaled(X), 1e-3, 0.05 * len(X)
    for i in (0, 1, 5, 11):
        # columns of the derivative, up to that of the own label; all add up to 0
        columns = np.zeros((n_classes, n_classes))
        for label in set(range(n_classes)) - {y[i]}:
            up, down = (
                moved_probabilities(rows, y, i, label, move, penalty)
                for move in (2 * step, step)
            )
            columns[:, label] = (up - down) / step
        columns -= columns.mean(1, keepdims=True)
        assert scores[i] == pytest.approx(-np.trace(columns), rel=0.02)


@pytest.mark.parametrize("link", ["identity", "softmax"])
def test_constant_features_have_no_leverage(link):
    y = np.arange(20) % 2
    scores = LeverageScorer(link=link).fit(np.ones((20, 2)), y).scores_
    np.testing.assert_allclose(scores, -1 / 20, rtol=1e-3)


def test_units_and_offsets_do_not_matter():
    X, y = samples(3)
    for link in ("identity", "softmax"):
        scores = LeverageScorer(link=link).fit(X, y).scores_
        moved = LeverageScorer(link=link).fit(1e-6 * X + 3, y).scores_
        np.testing.assert_allclose(moved, scores, rtol=1e-4)
