"""The rivals against slow statements of them, and on planted samples."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import log_softmax
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.covariance import ledoit_wolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import GaussianNB

from smilearn import RiskFilter, baselines
from smilearn.baselines import (
    LDAScorer,
    LeverageScorer,
    MahalanobisScorer,
    NeighborScorer,
    ProbeScorer,
    rank_mean,
)
from smilearn.exceptions import InvalidInputError

OF_LABELS = [
    LDAScorer(),
    LDAScorer(cross_fit=None),
    MahalanobisScorer(),
    MahalanobisScorer(cross_fit=None),
    NeighborScorer(),
    NeighborScorer(weights="distance"),
    ProbeScorer(),
    ProbeScorer(kind="loss"),
    ProbeScorer(kind="el2n"),
    ProbeScorer(GaussianNB(), kind="loss"),
]
EVERY = [*OF_LABELS, LeverageScorer(), LeverageScorer(link="softmax")]
IN_FOLDS = [LDAScorer(cross_fit=4), MahalanobisScorer(cross_fit=4), ProbeScorer()]


def planted(seed, n=300, n_classes=3, flips=12):
    """Classes that can be told apart, and some wrong labels."""
    rng = np.random.default_rng(seed)
    clean = rng.permutation(np.arange(n) % n_classes)
    X = rng.normal(size=(n, 5)) + 2.5 * np.eye(5)[clean]
    wrong = np.zeros(n, bool)
    wrong[rng.choice(n, flips, replace=False)] = True
    names = np.array(["a", "b", "c", "d"])
    return X, names[np.where(wrong, (clean + 1) % n_classes, clean)], wrong


def test_the_module_says_what_it_offers():
    assert baselines.__all__ == sorted(baselines.__all__)
    named = {each for each in vars(baselines) if not each.startswith("_")}
    assert named == set(baselines.__all__)
    assert all(getattr(baselines, each).__doc__ for each in named)
    page = Path(baselines.__file__).parent.parent / "docs" / "api.rst"
    listed = page.read_text(encoding="utf-8").partition("smilearn.baselines\n")[2]
    assert named == {*re.findall(r"   (\w+)", listed.partition("currentmodule")[0])}


@pytest.mark.parametrize("scorer", OF_LABELS, ids=repr)
def test_wrong_labels_score_low(scorer, seed):
    X, y, wrong = planted(seed)
    scores = scorer.fit(X, y).scores_
    assert scores.shape == (len(X),)
    assert roc_auc_score(wrong, -scores) > 0.75


@pytest.mark.parametrize("scorer", EVERY, ids=repr)
def test_scores_follow_samples_and_not_the_names_of_labels(scorer):
    X, y, _ = planted(1)
    scores = scorer.fit(X, y).scores_
    order = np.random.default_rng(0).permutation(len(X))
    moved = scorer.fit(X[order], y[order]).scores_
    np.testing.assert_allclose(moved, scores[order], atol=1e-3)
    renamed = np.select([y == "a", y == "b"], [7, 3], 5)
    np.testing.assert_allclose(scorer.fit(X, renamed).scores_, scores, atol=1e-3)


@pytest.mark.parametrize("scorer", EVERY, ids=repr)
def test_samples_without_a_label_take_their_best(scorer):
    X, y, _ = planted(2)
    scorer.fit(X, y)
    table = scorer.score_table(X)
    assert table.shape == (len(X), 3)
    assert (scorer.score_samples(X) == table.max(1)).all()
    codes = np.searchsorted(scorer.classes_, y)
    assert (scorer.score_samples(X, y) == table[np.arange(len(X)), codes]).all()
    with pytest.raises(InvalidInputError, match=r"not seen in fit: \['z'\]"):
        scorer.score_samples(X, np.full(len(X), "z"))


@pytest.mark.parametrize("scorer", EVERY, ids=repr)
def test_one_class_and_missing_labels_are_refused(scorer):
    X, y, _ = planted(2)
    with pytest.raises(InvalidInputError, match="2 classes or more"):
        scorer.fit(X, np.full(len(X), "a"))
    y = y.astype(object)
    y[3] = None
    with pytest.raises(ValueError, match="first in row 3"):
        scorer.fit(X, y)


@pytest.mark.parametrize("scorer", IN_FOLDS, ids=repr)
def test_folds_are_left_out_one_by_one(scorer, monkeypatch):
    X, y, _ = planted(4, n=40)
    fold = np.arange(40) % 4
    monkeypatch.setattr("smilearn.baselines._base.folds_of", lambda *given: fold)
    scores = scorer.set_params(cross_fit=4).fit(X, y).scores_
    for each in range(4):
        rest = scorer.set_params(cross_fit=None).fit(X[fold != each], y[fold != each])
        held = rest.score_samples(X[fold == each], y[fold == each])
        np.testing.assert_allclose(scores[fold == each], held, rtol=1e-6)


@pytest.mark.parametrize("scorer", IN_FOLDS, ids=repr)
def test_a_label_that_the_others_lack_scores_as_the_worst_one(scorer, monkeypatch):
    X, y, _ = planted(5, n=60)
    y[7] = "d"
    fold = np.arange(60) % 4
    monkeypatch.setattr("smilearn.baselines._base.folds_of", lambda *given: fold)
    scores = scorer.set_params(cross_fit=4).fit(X, y).scores_
    assert np.isfinite(scores).all()
    rest = clone(scorer).set_params(cross_fit=None).fit(X[fold != 3], y[fold != 3])
    assert scores[7] == pytest.approx(rest.score_table(X[[7]]).min())


def test_folds_that_leave_one_class_are_refused():
    X, y = np.arange(8.0)[:, None], [0, 0, 0, 0, 0, 0, 0, 1]
    with pytest.raises(InvalidInputError, match="cross_fit=10 leaves samples of 1"):
        LDAScorer().fit(X, y)


def test_lda_is_the_normal_densities_of_the_classes():
    X, y, _ = planted(6, n_classes=3)
    scores = LDAScorer(shrinkage=None, cross_fit=None).fit(X, y).scores_
    labels, codes = np.unique(y, return_inverse=True)
    means = np.stack([X[y == label].mean(0) for label in labels])
    within = sum(
        (y == label).mean() * np.cov(X[y == label].T, ddof=0) for label in labels
    )
    logs = np.stack(
        [multivariate_normal(mean, within).logpdf(X) for mean in means], axis=1
    ) + np.log(np.bincount(codes) / len(y))
    expected = log_softmax(logs, axis=1)[np.arange(len(y)), codes]
    np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-8)


def test_lda_of_two_classes_far_apart_does_not_saturate():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 50)
    X = rng.normal(size=(100, 3)) + 60 * y[:, None]
    y[:2] = 1
    model = LDAScorer(cross_fit=None, shrinkage=0.0).fit(X[2:], y[2:])
    assert len(np.unique(model.score_samples(X[2:], 1 - y[2:]))) == 98
    plain = LinearDiscriminantAnalysis(solver="lsqr").fit(X[2:], y[2:])
    assert len(np.unique(plain.predict_log_proba(X[2:])[:, 0])) < 98


def test_mahalanobis_is_the_distance_in_the_pooled_covariance():
    X, y, _ = planted(7)
    scores = MahalanobisScorer(cross_fit=None).fit(X, y).scores_
    means = {label: X[y == label].mean(0) for label in np.unique(y)}
    residuals = np.stack([x - means[label] for x, label in zip(X, y, strict=True)])
    inverse = np.linalg.inv(ledoit_wolf(residuals, assume_centered=True)[0])
    expected = [-np.sqrt(r @ inverse @ r) for r in residuals]
    np.testing.assert_allclose(scores, expected)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbours_are_counted_without_the_sample(metric):
    X, y, _ = planted(8, n=80)
    scores = NeighborScorer(7, metric=metric).fit(X, y).scores_
    distance = cdist(X, X, metric)
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1)[:, :7]
    np.testing.assert_allclose(scores, (y[nearest] == y[:, None]).mean(1))


def test_equally_near_neighbours_stay_so():
    X = np.array([[0.0], [1.0], [2.0], [3.0], [10.0]])  # rows 0 and 2, 1 and 3 tie
    y = [0, 0, 1, 1, 1]
    near = NeighborScorer(1).fit(X, y)
    assert near.fit(X + 7, y).scores_.tolist() == near.fit(X, y).scores_.tolist()
    assert (near._shifted(X) % 1 == 0).all()


def test_few_samples_have_few_neighbours():
    scores = NeighborScorer(30).fit([[0.0], [1.0], [2.0]], [0, 0, 1]).scores_
    np.testing.assert_allclose(scores, [0.5, 0.5, 0.0])


def test_the_filter_takes_any_of_them():
    X, y, wrong = planted(10)
    kept = RiskFilter(LDAScorer(), n_remove=12).fit(X, y).support_
    assert wrong[~kept].mean() > 0.6


def test_rank_mean_by_hand():
    assert rank_mean([5, 1, 3], [0.1, 0.2, 0.2]).tolist() == pytest.approx(
        [4 / 6, 3.5 / 6, 4.5 / 6]
    )
    scores = np.random.default_rng(0).normal(size=50)
    once, twice = rank_mean(scores, scores), rank_mean(scores, np.exp(scores))
    assert (once == twice).all()
    assert (np.argsort(once) == np.argsort(scores)).all()


def test_rank_mean_takes_tensors_with_gradients():
    torch = pytest.importorskip("torch")
    loss = torch.tensor([-9.0, -1.0], dtype=torch.bfloat16, requires_grad=True)
    assert rank_mean([1.0, 2.0], loss).tolist() == [0.5, 1.0]


def test_rank_mean_refuses_one_score_nan_and_other_lengths():
    with pytest.raises(InvalidInputError, match="got 1"):
        rank_mean([1.0, 2.0])
    with pytest.raises(ValueError, match="NaN"):
        rank_mean([1.0, np.nan], [1.0, 2.0])
    with pytest.raises(ValueError, match="inconsistent"):
        rank_mean([1.0, 2.0], [1.0, 2.0, 3.0])
