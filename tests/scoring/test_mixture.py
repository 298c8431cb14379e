"""The mixture of families: weights, units, what it keeps, and that it carries over."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from oracles import embeddings, fitted
from scipy.stats import spearmanr
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from smilearn import SlicedMIScorer
from smilearn.scoring._mixture import (
    location_and_scale,
    mixed,
    mixed_errors,
    weights_of,
)
from smilearn.scoring._scatter import WithinScatter

ALL = ["principal-16", "principal-64", "discriminant", "joint", "isotropic"]


def test_weights_fall_to_none_over_the_width():
    weights = weights_of({"a": 0.80, "b": 0.775, "c": 0.75, "d": 0.5})
    assert_allclose([*weights.values()], [2 / 3, 1 / 3, 0, 0], atol=1e-12)


def test_location_and_scale_ignore_a_handful_of_outliers(seed):
    scores = np.random.default_rng(seed).normal(size=2000)
    plain, far = location_and_scale(scores), scores.copy()
    far[:10] = -1e9
    assert_allclose(location_and_scale(far), plain, rtol=0.05, atol=0.02)
    assert plain == pytest.approx((0, 1.645), abs=0.15)
    assert location_and_scale(np.ones(5)) == (1.0, 1.0)


def test_mixture_of_one_member_is_that_member(seed):
    scores = np.random.default_rng(seed).normal(size=50)
    places = {"a": location_and_scale(scores), "b": (5.0, 2.0)}
    weights = {"a": 1.0, "b": 0.0}
    assert_allclose(mixed({"a": scores, "b": 0 * scores}, weights, places), scores)


def test_errors_of_members_add_up_in_squares():
    """Of independent errors, in the units that the members are mixed in."""
    weights, places = {"a": 0.25, "b": 0.75}, {"a": (9.0, 2.0), "b": (-4.0, 6.0)}
    errors = {"a": np.array([0.2, 0.0, 8.0]), "b": np.array([0.0, 0.4, 8.0])}
    scale = 0.25 * 2 + 0.75 * 6
    expected = scale * np.array([0.025, 0.05, np.hypot(1, 1)])
    assert_allclose(mixed_errors(errors, weights, places), expected)
    rng = np.random.default_rng(0)
    noisy = {
        n: values + rng.normal(size=(9999, 3)) * values for n, values in errors.items()
    }
    spread = mixed(noisy, weights, places).std(0)
    assert_allclose(spread, expected, rtol=0.05)


@pytest.fixture(scope="module")
def adaptive():
    X, y = embeddings(0, (400, 300, 200), 80, apart=0.3)
    return X, y, fitted(X, y, slicing="adaptive", n_slices=256)


def test_keeps_what_each_member_scored(adaptive):
    *_, scorer = adaptive
    assert list(scorer.members_) == list(scorer.contrast_) == ALL
    assert sum(scorer.weights_.values()) == pytest.approx(1)
    best = max(scorer.contrast_, key=scorer.contrast_.get)
    assert scorer.weights_[best] == max(scorer.weights_.values())
    standardized = [
        scorer.weights_[name] * (member.scores_ - member_place[0]) / member_place[1]
        for (name, member), member_place in zip(
            scorer.members_.items(), scorer.member_places_.values(), strict=True
        )
    ]
    assert np.corrcoef(sum(standardized), scorer.scores_)[0, 1] > 1 - 1e-9
    assert scorer.n_slices_ == sum(m.n_slices_ for m in scorer.members_.values())
    assert (scorer.scores_std_ > 0).all() and 0 < scorer.reliability_ <= 1


def test_members_are_scorers_of_their_own(adaptive):
    X, y, scorer = adaptive
    member = scorer.members_["isotropic"]
    assert isinstance(member, SlicedMIScorer)
    assert_allclose(member.scores_, fitted(X, y, n_slices=256).scores_, atol=1e-5)
    assert member.score(X, y) == pytest.approx(scorer.contrast_["isotropic"], abs=0.05)


def test_contrast_of_members_is_that_of_unseen_samples(seed):
    """Against samples that were never in the training set."""
    X, y = embeddings(seed, (900, 900, 600), 40, apart=0.25)
    new = np.arange(len(y)) % 2 == 0
    scorer = fitted(X[~new], y[~new], slicing="adaptive", n_slices=256)
    for name, member in scorer.members_.items():
        assert scorer.contrast_[name] == pytest.approx(
            member.score(X[new], y[new]), abs=0.04
        )


@pytest.mark.parametrize("far", [None, 5.0])
def test_a_far_outlier_leaves_the_ranking_of_the_others(seed, far):
    X, y = embeddings(seed, (200, 150, 100), 20)
    before = fitted(X, y, slicing="adaptive", far=far).scores_[1:]
    X[0] += 100
    scores = fitted(X, y, slicing="adaptive", far=far).scores_
    assert scores.argmin() == 0
    assert spearmanr(before, scores[1:]).statistic > 0.7


def test_members_that_make_no_sense_are_left_out(seed):
    X, y = embeddings(seed, (60, 40), 10)
    members = fitted(X, y, slicing="adaptive").members_
    assert list(members) == ["discriminant", "joint", "isotropic"]


def test_members_of_one_feature_are_not_the_same_twice(seed):
    X, y = embeddings(seed, (60, 40), 1)
    scorer = fitted(X, y, slicing="adaptive")
    assert list(scorer.members_) == ["discriminant", "joint", "isotropic"]
    assert np.isfinite(scorer.scores_).all()


def test_members_share_one_pass_for_all_scatters(seed, monkeypatch):
    X, y = embeddings(seed, (60, 40), 10)
    measured, of = [], WithinScatter.of

    def remember(X, *arguments):
        measured.append(len(X))
        return of(X, *arguments)

    monkeypatch.setattr(WithinScatter, "of", remember)
    fitted(X, y, slicing="adaptive")
    assert len(measured) == 10 and sum(measured) == 100


def test_pickle_keeps_the_mixture(adaptive):
    X, _, scorer = adaptive
    again = pickle.loads(pickle.dumps(scorer))
    assert_allclose(again.score_table(X[:9]), scorer.score_table(X[:9]))


def test_grid_search_over_families(seed):
    """By label contrast, which needs no ground truth."""
    X, y = embeddings(seed, (120, 90, 60), 20, apart=0.4)
    grid = {"slicing": ["isotropic", "principal", "discriminant", "adaptive"]}
    scorer, folds = SlicedMIScorer(64, random_state=0), StratifiedKFold(3)
    search = GridSearchCV(scorer, grid, cv=folds).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_score_ > 0.7


def test_location_and_scale_of_scores_that_nearly_all_tie():
    scores = np.full(400, 0.693) + 1e-10 * np.random.default_rng(0).normal(size=400)
    scores[:2] = -5
    middle, scale = location_and_scale(scores)
    assert (middle, scale) == pytest.approx((0.693, np.std(scores)))


@pytest.mark.parametrize("only", ["principal-16", "isotropic", "joint"])
def test_reliability_of_one_member_is_its_own(adaptive, only, monkeypatch):
    X, y, _ = adaptive

    def all_on_one(contrast):
        return {name: float(name == only) for name in contrast}

    monkeypatch.setattr("smilearn.scoring._keeping.weights_of", all_on_one)
    scorer = fitted(X, y, slicing="adaptive", n_slices=64)
    member = scorer.members_[only]
    assert scorer.reliability_ == pytest.approx(member.reliability_, abs=1e-6)
    assert_allclose(scorer.scores_, member.scores_)
    assert_allclose(scorer.scores_std_, member.scores_std_)


def test_permutation_of_a_mixture_holds_its_rate_on_average():
    rates = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(400, 12)), rng.integers(0, 3, 400)
        options = {"slicing": "adaptive", "contamination": "permutation"}
        scorer = fitted(X, y, n_slices=32, random_state=seed, **options)
        rates.append((scorer.scores_ < scorer.offset_).mean())
    assert 0.01 < np.mean(rates) < 0.12


def test_members_know_the_names_of_features(seed):
    X, y = embeddings(seed, (40, 30), 3)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    scorer = fitted(frame, y, slicing="adaptive")
    for member in scorer.members_.values():
        assert member.feature_names_in_.tolist() == ["a", "b", "c"]
        member.score_table(frame)


def test_scores_that_cannot_be_squared_have_a_place():
    scores = np.array([-2e304, -2e304, 1.8, 2.0, 2.2, -2e248])
    location, scale = location_and_scale(scores)
    assert location < 0
    assert 1e69 < scale < 1e71
    tied = np.array([-1e200] + 99 * [0.0])
    assert location_and_scale(tied) == (0.0, pytest.approx(1e69, rel=0.01))


@pytest.mark.parametrize("density", ["student", "gaussian"])
def test_samples_whose_scores_cannot_be_squared_are_mixed(density):
    """As Hypothesis found them: the joint member scores some -2e304."""
    tiny = -1.28699524e-181
    X = np.full((6, 4), tiny)
    X[0, 3], X[1, 0], X[1, 3] = -9.18968240e14, 1.11972753e148, -3.85000537e16
    X[2, 1], X[3, 2], X[5, 1] = -2.29085811e272, 1e120, 1.9
    settings = {"n_components": 6, "leave_one_out": False, "dtype": "float64"}
    settings |= {"cross_fit": 4, "n_slices": 5, "max_slices": 48, "density": density}
    scorer = fitted(X, np.array([0, 0, 1, 2, 3, 2]), slicing="adaptive", **settings)
    assert np.abs(scorer.scores_).max() > 1e60
    told = (
        scorer.scores_,
        scorer.scores_std_,
        scorer.score_table(X),
        scorer.reliability_,
    )
    for values in told:
        assert np.isfinite(values).all()
