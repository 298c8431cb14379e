"""Families of slices and their mixture: unseen means unseen."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from oracles import embeddings, fitted

from smilearn.metrics import label_contrast
from smilearn.scoring._folds import folds_of, row_keys

FAMILIES = ["isotropic", "discriminant", "joint", "adaptive"]


def keys(X):
    return row_keys(torch.as_tensor(X), np.random.default_rng(0))


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
