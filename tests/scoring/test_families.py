"""Families of slices and their mixture: unseen means unseen."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles import embeddings, fitted

from smilearn.scoring._samples import folds_of

FAMILIES = ["isotropic", "discriminant", "joint", "adaptive"]


@pytest.mark.parametrize("n_folds", [2, 5, 10])
def test_twins_stay_together(seed, n_folds):
    rng = np.random.default_rng(seed)
    codes = np.repeat(rng.integers(0, 3, 40), 3)
    place = np.repeat(rng.normal(size=40), 3)
    fold = folds_of(codes, place, n_folds)
    assert (fold.reshape(40, 3) == fold[::3, None]).all()
    assert set(fold) == set(range(n_folds))


@pytest.mark.parametrize("n_folds", [2, 5, 10])
def test_folds_deal_out_every_class_evenly(seed, n_folds):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat([0, 1, 2, 3], [50, 21, 3, 1]))
    fold = folds_of(codes, rng.normal(size=75), n_folds)
    sizes = np.bincount(fold, minlength=n_folds)
    assert sizes.max() - sizes.min() <= 1
    for label in range(4):
        own = np.bincount(fold[codes == label], minlength=n_folds)
        assert own.max() - own.min() <= 1


@pytest.mark.parametrize("slicing", FAMILIES)
def test_noise_has_no_contrast(seed, slicing, monkeypatch):
    """Where a map that has seen the labels finds a pattern in them."""
    monkeypatch.setattr("smilearn.scoring._families.BOOSTS", (1.0,))
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(300, 60)), rng.integers(0, 3, 300)
    scorer = fitted(X, y, slicing=slicing)
    mean_score = scorer.scores_.mean()
    assert -0.6 < mean_score < 0.03
    if slicing in ("discriminant", "joint"):
        seen = scorer.score_samples(X, y)
        assert seen.mean() > mean_score + 0.1
        assert scorer.score(X, y) > 0.6
    if slicing == "adaptive":
        assert all(0.4 < contrast < 0.6 for contrast in scorer.contrast_.values())


@pytest.mark.parametrize("slicing", FAMILIES)
def test_a_wrong_label_among_many_is_found(seed, slicing):
    X, y = embeddings(seed, (100, 100, 100), 20, apart=1.2)
    wrong = np.random.default_rng(seed).choice(300, 10, replace=False)
    y[wrong] = (y[wrong] + 1) % 3
    scores = fitted(X, y, slicing=slicing).scores_
    assert np.isin(np.argsort(scores)[:10], wrong).mean() >= 0.8


@pytest.mark.parametrize("slicing", FAMILIES)
def test_nothing_of_an_earlier_fit_stays(seed, slicing):
    X, y = embeddings(seed, (40, 30, 20), 20)
    scorer = fitted(X, y, slicing="adaptive", contamination="permutation", n_slices=8)
    scorer.set_params(slicing="joint").fit(X, y)
    scorer.set_params(slicing=slicing, contamination=None).fit(X[:, :9], y)
    fresh = fitted(X[:, :9], y, slicing=slicing, n_slices=8)
    assert vars(scorer).keys() == vars(fresh).keys()
    assert_allclose(scorer.scores_, fresh.scores_)


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
