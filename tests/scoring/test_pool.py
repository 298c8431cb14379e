"""The pool: weights at the optimum of a likelihood, and which members get one."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles import (
    embeddings,
    fitted,
    left_out_distances,
    log_posterior,
    slice_tables,
    wide_and_narrow,
)
from scipy.special import log_softmax

from smilearn import SlicedMIScorer
from smilearn.scoring import _model
from smilearn.scoring._pool import fit_pool

RIDGE = 0.02


def penalized(tables, codes, log_prior, weights, prior_weight, sample_weight):
    """Loss in which weights of tables are of unit spread, told plainly."""
    total, penalty = 0.0, 0.0
    share = sample_weight / sample_weight.sum()
    for name, table in tables.items():
        centred = table - table.mean(1, keepdims=True)
        spread = np.sqrt(share @ (centred**2).mean(1))
        total = total + weights[name] * centred
        penalty += (weights[name] * spread) ** 2
    logits = total + prior_weight * log_prior
    own = log_softmax(logits, axis=1)[np.arange(len(codes)), codes]
    return -share @ own + RIDGE / 2 * (penalty + (prior_weight - 1) ** 2)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("useless", [False, True])
def test_no_other_weights_are_better(seed, weighted, useless):
    """The slope is 0, or points below 0 where a weight is 0: by finite differences."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, 300)
    signal = np.eye(4)[codes] * (-1 if useless else 1)
    tables = {
        "lda": 3 * signal + 5 * rng.normal(size=(300, 4)) + 9 * rng.random((300, 1)),
        "slices": 0.1 * np.eye(4)[codes] + 0.1 * rng.normal(size=(300, 4)),
    }
    log_prior = np.log([0.1, 0.2, 0.3, 0.4])
    weight = rng.integers(1, 4, 300).astype(float) if weighted else np.ones(300)
    pool, reached = fit_pool(tables, codes, log_prior, weight if weighted else None)

    def loss(**moved):
        weights = {name: moved.get(name, w) for name, w in pool.weights.items()}
        prior = moved.get("prior", pool.prior_weight)
        return penalized(tables, codes, log_prior, weights, prior, weight)

    found = pool.weights | {"prior": pool.prior_weight}
    for name, value in found.items():
        step = 1e-3 * (1 if name == "prior" else 1 / tables[name].std())
        slope = (loss(**{name: value + step}) - loss(**{name: value - step})) / 2 / step
        slope *= step / 1e-3
        assert value >= 0 or name == "prior"
        assert slope == pytest.approx(0, abs=1e-4) or (value == 0 and slope > 0)
        for other in (value + 20 * step, max(value - 20 * step, 0)):
            assert loss(**{name: other}) >= loss() - 1e-8
    assert (pool.weights["lda"] == 0) == useless
    own = pool.log_posterior(tables)[np.arange(300), codes]
    assert reached == pytest.approx(np.average(own, weights=weight))


@pytest.mark.parametrize("weighted", [False, True])
def test_both_members_equal_refits_without_the_sample(seed, weighted):
    """n = 60, all samples; tables of the slices are read between their nodes."""
    X, y = wide_and_narrow(seed, size=30)
    weight = np.ones(60)
    if weighted:
        weight = np.random.default_rng(seed).integers(1, 3, 60).astype(float)
    scorer = SlicedMIScorer(24, outliers=None, random_state=0)
    scorer.fit(X, y, sample_weight=weight)
    assert scorer.pool_["weights"]["slices"] > 0
    table, psmi = slice_tables(X, y, scorer.directions_, weight=weight)
    lda = left_out_distances(X, y, scorer.pool_["shrinkage"], weight=weight)
    expected = log_posterior(scorer, lda, table)
    assert_allclose(scorer.scores_, expected[np.arange(60), y], atol=1e-3)
    assert_allclose(scorer.psmi_, psmi, atol=4e-4)
    likely = scorer.classes_[expected.argmax(1)]
    assert (scorer.likely_labels_ == likely).mean() > 0.98


@pytest.mark.parametrize("n", [60, 240])
def test_refits_of_everything_differ_by_a_share_of_one_in_n(seed, n):
    """Slices 20 / n; the pool 6 / n on average, as its weights are fitted anew too."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1, 2], [n // 2, n // 3, n // 6])
    X = 0.7 * rng.normal(size=(3, 6))[y] + rng.normal(size=(n, 6))
    options = {"n_slices": 12, "outliers": None}
    whole = fitted(X, y, **options)
    moved = []
    for i in range(0, n, n // 60):
        rest = np.arange(n) != i
        refits = (fitted(X[rest], y[rest], pooled=p, **options) for p in (True, False))
        told = [one.score_samples(X[[i]], y[[i]])[0] for one in refits]
        moved.append(np.abs(np.subtract(told, [whole.scores_[i], whole.psmi_[i]])))
    assert np.mean(moved, 0)[0] < 6 / n
    assert np.max(moved, 0)[1] < 20 / n


def test_slices_enter_where_they_know_more(seed, monkeypatch):
    X, y = wide_and_narrow(seed)
    both = fitted(X, y)
    assert both.pool_["weights"]["slices"] > 0
    assert both.pool_["gain"] > 0.2
    monkeypatch.setattr(_model, "_LEAST_GAIN", np.inf)
    alone = fitted(X, y)
    assert alone.pool_["weights"]["slices"] == 0
    assert both.scores_.mean() > alone.scores_.mean() + 0.2
    new, labels = wide_and_narrow(seed + 50)
    new += X[y == 0].mean(0) - new[labels == 0].mean(0)
    assert both.score(new, labels) > alone.score(new, labels) + 0.2


def test_slices_stay_out_where_nothing_is_to_be_known(seed):
    rng = np.random.default_rng(seed)
    scorer = fitted(rng.normal(size=(400, 8)), rng.integers(0, 3, 400))
    assert scorer.pool_["weights"]["slices"] == 0
    assert scorer.pool_["neglected"] == 0


def test_only_the_likeliest_labels_are_read_on_slices(seed, monkeypatch):
    """Of 12 classes 8: the others are unlikely, and scores nearly the same."""
    X, y = wide_and_narrow(seed, n_classes=12, size=60)
    assert fitted(X, y).pool_["neglected"] == 0  # 8 of them would not be enough
    monkeypatch.setattr(_model, "MOST_NEGLECTED", 0.2)
    some = fitted(X, y)
    new = some.predict_proba(X[:100])
    assert some.pool_["weights"]["slices"] > 0
    assert 0 < some.pool_["neglected"] < 0.2
    assert_allclose(new.sum(1), 1)
    monkeypatch.setattr(_model, "FEWEST_LIKELY", 12)
    every = fitted(X, y)
    assert every.pool_["neglected"] == 0
    gaps = abs(some.scores_ - every.scores_)
    assert np.median(gaps) < 0.05
    assert some.scores_.mean() == pytest.approx(every.scores_.mean(), abs=0.1)
    assert abs(new - every.predict_proba(X[:100])).mean() < 0.02


def test_prior_weight_stays_near_one_on_fitted_embeddings(seed):
    """Embeddings that were fitted to the labels would let it fall to 0."""
    X, y = embeddings(seed, (200, 30), 6, apart=6)
    assert 0.5 < fitted(X, y).pool_["weights"]["prior"] < 1.5


def test_new_samples_are_scored_as_training_samples_are(seed):
    """Of many classes as well, where LDA alone knows little and slices have weight."""
    rng = np.random.default_rng(seed)
    y = rng.integers(30, size=1500)
    X = rng.normal(size=(1500, 16)) * (1.3 ** (y % 6))[:, None]
    X += rng.normal(size=(30, 16))[y] / 2
    scorer = fitted(X[:1000], y[:1000])
    new, labels = X[1000:], y[1000:]
    assert scorer.pool_["weights"]["slices"] > 0
    assert scorer.score(new, labels) == pytest.approx(scorer.scores_.mean(), abs=0.2)
    *_, last = scorer.staged_score_samples(new, labels, at=[scorer.n_slices_])
    assert_allclose(last, scorer.score_samples(new, labels), atol=1e-8)
