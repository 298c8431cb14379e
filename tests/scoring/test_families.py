"""Families of slices and their mixture: unseen means unseen."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from oracles import embeddings, fitted

from smilearn.metrics import label_contrast
from smilearn.scoring._folds import folds_of, row_keys
from smilearn.scoring._mixture import weights_of

FAMILIES = ["isotropic", "discriminant", "joint", "adaptive"]


def keys(X):
    return row_keys(torch.as_tensor(X), np.random.default_rng(0))


def test_equal_rows_have_equal_keys(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(3000, 130)).astype(np.float32)
    X[2001], X[2999] = X[17], X[17]
    found = keys(X)
    assert found[17] == found[2001] == found[2999]
    assert len(np.unique(found)) == 2998


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
def test_order_of_samples_and_names_of_labels_do_not_matter(seed, slicing):
    """Folds go by content and axes have a sign, so nothing but rounding is left."""
    X, y = embeddings(seed, (157, 131, 92), 20, apart=0.4)  # fill no folds evenly
    names = np.array(["c", "b", "a"])
    order = np.random.default_rng(seed).permutation(len(y))
    one = fitted(X, y, slicing=slicing, dtype="float64").scores_[order]
    for labels in (y, names[y], 10 * y):
        other = fitted(X[order], labels[order], slicing=slicing, dtype="float64")
        assert_allclose(other.scores_, one, atol=1e-10)


@pytest.mark.parametrize("slicing", FAMILIES)
def test_a_wrong_label_among_many_is_found(seed, slicing):
    X, y = embeddings(seed, (100, 100, 100), 20, apart=1.2)
    wrong = np.random.default_rng(seed).choice(300, 10, replace=False)
    y[wrong] = (y[wrong] + 1) % 3
    scores = fitted(X, y, slicing=slicing).scores_
    assert np.isin(np.argsort(scores)[:10], wrong).mean() >= 0.8


@pytest.mark.parametrize("slicing", FAMILIES)
def test_new_samples_score_like_unseen_training_samples(seed, slicing):
    X, y = embeddings(seed, (400, 300, 200), 15, apart=0.6)
    new = np.arange(len(y)) % 3 == 0
    scorer = fitted(X[~new], y[~new], slicing=slicing, n_slices=256)
    seen, unseen = scorer.scores_, scorer.score_samples(X[new], y[new])
    assert abs(np.median(seen) - np.median(unseen)) < 0.15
    assert label_contrast(scorer.score_table(X[new]), y[new]) == scorer.score(
        X[new], y[new]
    )
    batches = [
        scorer.score_samples(X[i : i + 7], y[i : i + 7]) for i in range(0, 70, 7)
    ]
    assert_allclose(
        np.concatenate(batches), scorer.score_samples(X[:70], y[:70]), atol=1e-4
    )


@pytest.mark.parametrize("slicing", FAMILIES)
def test_nothing_of_an_earlier_fit_stays(seed, slicing):
    X, y = embeddings(seed, (40, 30, 20), 20)
    scorer = fitted(X, y, slicing="adaptive", contamination="permutation", n_slices=8)
    scorer.set_params(slicing="joint").fit(X, y)
    scorer.set_params(slicing=slicing, contamination=None).fit(X[:, :9], y)
    fresh = fitted(X[:, :9], y, slicing=slicing, n_slices=8)
    assert vars(scorer).keys() == vars(fresh).keys()
    assert_allclose(scorer.scores_, fresh.scores_)


def test_weights_fall_to_none_over_the_width():
    weights = weights_of({"a": 0.80, "b": 0.775, "c": 0.75, "d": 0.5})
    assert_allclose([*weights.values()], [2 / 3, 1 / 3, 0, 0], atol=1e-12)


def test_contrast_of_members_is_that_of_unseen_samples(seed):
    """Against samples that were never in the training set."""
    X, y = embeddings(seed, (900, 900, 600), 40, apart=0.25)
    new = np.arange(len(y)) % 2 == 0
    scorer = fitted(X[~new], y[~new], slicing="adaptive", n_slices=256)
    for name, member in scorer.members_.items():
        assert scorer.contrast_[name] == pytest.approx(
            member.score(X[new], y[new]), abs=0.04
        )


def test_members_that_make_no_sense_are_left_out(seed):
    X, y = embeddings(seed, (60, 40), 10)
    members = fitted(X, y, slicing="adaptive").members_
    assert list(members) == ["discriminant", "joint", "isotropic"]


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
