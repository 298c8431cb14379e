import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from oracles import POOLED, fitted
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold

from smilearn import SliceConvergence, SlicedMIScorer
from smilearn.exceptions import InvalidInputError


def problem(seed, n=150):
    """Three labels that features speak of, and one that is noise."""
    rng = np.random.default_rng(seed)
    Y = (rng.random((n, 4)) < [0.5, 0.3, 0.2, 0.4]).astype(int)
    X = rng.normal(size=(n, 10))
    X[:, :3] += 2 * Y[:, :3]
    return X, Y


@POOLED
def test_scores_are_the_mean_over_labels(seed, pooled):
    X, Y = problem(seed)
    one = fitted(X, Y, pooled=pooled)
    apart = [fitted(X, present, pooled=pooled) for present in Y.T]
    expected = np.stack([scorer.scores_ for scorer in apart], 1)
    assert_allclose(one.label_scores_, expected)
    assert_allclose(one.scores_, expected.mean(1))
    table = [s.score_samples(X, y) for s, y in zip(apart, Y.T, strict=True)]
    assert_allclose(one.score_samples(X, Y), np.mean(table, axis=0))
    best = [scorer.score_samples(X) for scorer in apart]
    assert_allclose(one.score_samples(X), np.mean(best, axis=0))
    present = [s.predict_proba(X)[:, 1] for s in apart]
    assert_allclose(one.predict_proba(X), np.stack(present, 1))
    mean = np.mean([s.score(X, y) for s, y in zip(apart, Y.T, strict=True)])
    assert one.score(X, Y) == pytest.approx(mean)
    assert_allclose(one.psmi_, np.mean([s.psmi_ for s in apart], axis=0))
    assert hasattr(one, "probability_") == pooled
    if pooled:
        assert_allclose(one.probability_, np.exp(one.scores_))


@pytest.mark.parametrize(
    "make",
    [
        lambda Y: Y.tolist(),
        lambda Y: Y.astype(bool),
        lambda Y: Y.astype(float),
        csr_array,
        lambda Y: pd.DataFrame(Y, columns=["joy", "fear", "rage", "awe"]),
        torch.tensor,
    ],
    ids=range(6),
)
def test_indicators_of_any_kind(seed, make):
    X, Y = problem(seed)
    one = fitted(X, make(Y))
    assert_allclose(one.scores_, fitted(X, Y).scores_)
    assert_allclose(one.score_samples(X, make(Y)), fitted(X, Y).score_samples(X, Y))
    if isinstance(make(Y), pd.DataFrame):
        assert one.classes_.tolist() == ["joy", "fear", "rage", "awe"]
        first = one.to_table()["label"][0]
        assert first == ", ".join(one.classes_[Y[0] == 1]) or first == "none"


def test_a_label_that_all_have_says_nothing(seed):
    X, Y = problem(seed)
    Y[:, 3], Y[:, 2] = 1, 0
    one = fitted(X, Y)
    assert one.label_scorers_[2] is one.label_scorers_[3] is None
    assert not one.label_scores_[:, 2:].any()
    assert np.isfinite(one.score_samples(X, 1 - Y)).all()
    with pytest.raises(InvalidInputError, match="all 0 or all 1"):
        fitted(X, Y[:, 2:])


def test_weights_are_copies(seed):
    X, Y = problem(seed)
    weight = np.random.default_rng(seed).integers(0, 3, len(Y))
    copies = np.repeat(np.arange(len(Y)), weight)
    one = SlicedMIScorer(64, random_state=0).fit(X, Y, sample_weight=weight)
    two = fitted(X[copies], Y[copies])
    assert_allclose(one.scores_[copies], two.scores_, atol=1e-4)
    assert_allclose(one.psmi_[copies], two.psmi_, atol=1e-4)
    assert one.score(X, Y, weight) == pytest.approx(two.score(X[copies], Y[copies]))


@pytest.mark.parametrize("contamination", [0.1, "permutation"])
def test_the_threshold(seed, contamination):
    X, Y = problem(seed)
    one = fitted(X, Y, contamination=contamination)
    assert 0 < (one.fit_predict(X, Y) == -1).mean() < 0.5
    assert_array_equal(
        one.predict(X, Y), np.where(one.decision_function(X, Y) < 0, -1, 1)
    )


def test_search_clone_and_refit(seed):
    X, Y = problem(seed)
    search = GridSearchCV(
        SlicedMIScorer(64, random_state=0),
        {"outliers": [1.0, None]},
        cv=KFold(3),
    )
    search.fit(X, Y)
    assert search.best_params_ == {"outliers": None}
    one = clone(search.best_estimator_).fit(X, Y)
    one.fit(X, Y[:, 0])  # and back to one label
    assert not hasattr(one, "label_scorers_")
    assert_allclose(one.scores_, fitted(X, Y[:, 0]).scores_)


def test_what_does_not_fit_is_refused(seed):
    X, Y = problem(seed)
    one = fitted(X, Y)
    with pytest.raises(InvalidInputError, match="4"):
        one.score_samples(X, Y[:, :2])
    with pytest.raises(InvalidInputError, match="indicator"):
        one.score_samples(X, Y[:, 0])
    with pytest.raises(ValueError, match="inconsistent"):
        fitted(X[:-1], Y)
    with pytest.raises(InvalidInputError, match="label_scorers_"):
        one.staged_score_samples(X, Y)
    with pytest.raises(InvalidInputError, match="label_scorers_"):
        SliceConvergence.from_estimator(one, X, Y)
    with pytest.raises(ValueError):
        SlicedMIScorer(4).partial_fit(X, Y)
