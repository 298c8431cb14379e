"""Left-out LDA against refits without the sample, by scores where it rules alone."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles import (
    embeddings,
    fitted,
    lda_distances,
    left_out_distances,
    log_posterior,
)

from smilearn import SlicedMIScorer

EXACT = {"rtol": 0, "atol": 1e-8}


def crowd(seed, n, sizes=(3, 2, 1), n_features=6):
    """Classes of one spread, from which slices learn little that LDA does not."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(sizes)), np.array(sizes) * n // sum(sizes))
    centres = 0.7 * rng.normal(size=(len(sizes), n_features))
    return centres[y] + rng.normal(size=(len(y), n_features)), y


def by_lda_alone(monkeypatch, X, y, **options):
    monkeypatch.setattr("smilearn.scoring._model._LEAST_GAIN", np.inf)
    options = {"n_slices": 4, "dtype": "float64", "outliers": None} | options
    weight = options.pop("sample_weight", None)
    scorer = SlicedMIScorer(random_state=0, **options).fit(X, y, weight)
    assert scorer.pool_["weights"]["slices"] == 0 < scorer.pool_["weights"]["lda"]
    return scorer


def own(table, y):
    return table[np.arange(len(y)), np.unique(y, return_inverse=True)[1]]


@pytest.mark.parametrize(
    ("n", "sizes", "n_features"),
    [(60, (3, 2, 1), 6), (60, (29, 29, 1, 1), 4), (40, (3, 1), 70)],
    ids=["ordinary", "classes of one", "n < d"],
)
def test_equals_refits_that_hold_the_middle_and_the_trace(
    seed, monkeypatch, n, sizes, n_features
):
    X, y = crowd(seed, n, sizes, n_features)
    scorer = by_lda_alone(monkeypatch, X, y)
    table = left_out_distances(X, y, scorer.pool_["shrinkage"])
    expected = own(log_posterior(scorer, table), y)
    alone = np.bincount(y)[y] == 1  # of such a class nothing is known
    expected[alone] = np.log(scorer.class_prior_)[y[alone]]
    assert_allclose(scorer.scores_, expected, **EXACT)


@pytest.mark.parametrize("scale", [1, 0.35], ids=["copies", "shares"])
def test_weights(seed, monkeypatch, scale):
    """Of whole weights one copy is left out, of others the whole sample."""
    X, y = crowd(seed, 60)
    weight = scale * np.random.default_rng(seed).integers(1, 5, len(y))
    scorer = by_lda_alone(monkeypatch, X, y, sample_weight=weight)
    table = left_out_distances(X, y, scorer.pool_["shrinkage"], weight=weight)
    assert_allclose(scorer.scores_, own(log_posterior(scorer, table), y), **EXACT)


@pytest.mark.parametrize("leave_one_out", [True, False])
def test_new_samples_and_samples_that_are_not_left_out(
    seed, monkeypatch, leave_one_out
):
    X, y = crowd(seed, 60)
    scorer = by_lda_alone(monkeypatch, X, y, leave_one_out=leave_one_out)
    table = lda_distances(X, X, y, scorer.pool_["shrinkage"])
    expected = log_posterior(scorer, table)
    assert_allclose(np.log(scorer.predict_proba(X)), expected, **EXACT)
    assert (abs(scorer.scores_ - own(expected, y)).max() < 1e-8) != leave_one_out


@pytest.mark.parametrize("n", [60, 240])
def test_what_is_held_moves_by_a_share_of_one_in_n(seed, monkeypatch, n):
    """The middle and the trace: 20 / n in distance, 10 / n in log probability."""
    X, y = crowd(seed, n)
    scorer = by_lda_alone(monkeypatch, X, y)
    shrinkage = scorer.pool_["shrinkage"]
    held, anew = (left_out_distances(X, y, shrinkage, held=h) for h in (True, False))
    assert abs(anew - held).max() < 20 / n
    moved = own(log_posterior(scorer, anew), y) - scorer.scores_
    assert abs(moved).max() < 10 / n


def test_far_samples_are_never_certain_to_the_square_of_their_distance(seed):
    """Tails as of a Laplace distribution: log odds grow with the distance itself."""
    X, y = embeddings(seed, (60, 40), 5)
    scorer = fitted(X, y)
    way = X[y == 0].mean(0) - X[y == 1].mean(0)
    odds = [
        np.subtract(*np.log(scorer.predict_proba(X[:1] + step * way))[0])
        for step in (20, 40, 80)
    ]
    assert np.isfinite(odds).all()
    assert abs(odds[2] - odds[1]) < 2.1 * abs(odds[1] - odds[0]) + 1
