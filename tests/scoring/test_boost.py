"""How much more to shrink: the choice against plain refits without the same folds."""

from functools import partial
from unittest import mock

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles import fitted
from scipy.special import logsumexp

from smilearn.metrics import label_contrast
from smilearn.scoring import _families
from smilearn.scoring._comparison import Comparison
from smilearn.scoring._families import BOOSTS


def few_samples_of_many_features(seed):
    """Six strong directions without a class; the classes are apart in weak ones."""
    rng, y = np.random.default_rng(seed), np.arange(160) % 3
    X = rng.normal(size=(160, 120))
    X[:, :6] *= 6
    return X + 0.25 * rng.normal(size=(3, 120))[y], y


def one_by_one(work, length, _n_elements):
    """Stand in for `in_threads`, which would mix up the order of what is noted."""
    return [work(0, length)]


def chosen(X, y, **options):
    """What was learnt from, the boost that was chosen, and the contrast of each."""
    best, contrast, seen = _families.best_boost, Comparison.contrast, {}

    def remember_contrast(self, tables):
        seen.setdefault("contrasts", []).append(contrast(self, tables))
        return seen["contrasts"][-1]

    def remember(task):
        with (
            mock.patch.object(Comparison, "contrast", remember_contrast),
            mock.patch.object(_families, "in_threads", one_by_one),
        ):
            seen["boost"] = best(task)
        seen["task"] = task
        return seen["boost"]

    options = {"slicing": "joint", "dtype": "float64", "far": None} | options
    with mock.patch.object(_families, "best_boost", remember):
        fitted(X, y, **options)
    return seen["task"], seen["boost"], seen["contrasts"]


def classes_without(X, codes, seen, boost, means):
    """Linear functions of samples that were seen, with a covariance shrunk by hand."""
    own = np.array([X[seen & (codes == c)].mean(0) for c in range(len(means))])
    apart = X[seen] - own[codes[seen]]
    (n, d), scatter = apart.shape, apart.T @ apart
    squares, size = (scatter**2).sum() / n**2, np.trace(scatter) / (n * d)
    fourth = (np.square(X[seen] - means[codes[seen]]).sum(1) ** 2).sum()
    noise = (fourth / n - squares) / (n * d)
    share = min(noise / (squares / d - size**2), 1)
    share = boost * share / (1 - share + boost * share)
    covariance = (1 - share) * scatter / n + share * size * np.eye(d)
    functions = np.linalg.solve(covariance, own.T)
    return functions, -0.5 * (functions * own.T).sum(0)


def contrast_by_hand(task, boost, groups):
    """Label contrast of refits without some folds, each sample held out once."""
    X, codes, compared = task.samples.points.numpy(), task.samples.codes, []
    share = np.bincount(codes) / len(codes)
    means = np.array([X[codes == c].mean(0) for c in range(len(share))])
    for folds in groups:
        seen = ~np.isin(task.fold, folds)
        functions, offset = classes_without(X, codes, seen, boost, means)
        for fold in folds:
            rows, labels = task.comparison.rows[fold], task.comparison.labels[fold]
            logs = X[rows] @ functions + offset
            logs -= logsumexp(logs + np.log(share), axis=1, keepdims=True)
            compared.append(np.take_along_axis(logs, labels, 1))
    table = np.concatenate(compared)
    return label_contrast(table, np.zeros(len(table), int))


@pytest.mark.parametrize("n_rows", [1500, 30])
def test_the_boost_is_the_best_of_refits_without_the_fold(seed, n_rows, monkeypatch):
    """Of 30 samples two folds are compared, and held out together."""
    few = partial(Comparison, n_rows=n_rows)
    monkeypatch.setattr("smilearn.scoring._task.Comparison", few)
    task, boost, contrasts = chosen(*few_samples_of_many_features(seed))
    folds = tuple(task.comparison.rows)
    groups = [(fold,) for fold in folds] if n_rows == 1500 else [folds]
    assert len(folds) == (10 if n_rows == 1500 else 2)
    expected = [contrast_by_hand(task, boost, groups) for boost in BOOSTS]
    assert_allclose(contrasts, expected, atol=1e-9)
    assert boost == BOOSTS[np.argmax(expected)]
    assert max(expected) > min(expected)  # there is something to choose


def test_the_boost_is_not_what_suits_the_samples_it_was_made_from(seed):
    """Which would be the least, where there are as many features as samples."""
    task, boost, _ = chosen(*few_samples_of_many_features(seed))
    X, codes = task.samples.points.numpy(), task.samples.codes
    means = np.array([X[codes == c].mean(0) for c in range(3)])
    within = []
    for candidate in BOOSTS:
        seen = np.ones(len(codes), bool)
        functions, offset = classes_without(X, codes, seen, candidate, means)
        within.append(label_contrast(X @ functions + offset, codes))
    assert np.argmax(within) == 0
    assert 1 < boost < BOOSTS[-1]


@pytest.mark.parametrize("slicing", ["whitened", "discriminant", "joint", "adaptive"])
def test_every_supervised_family_takes_the_boost_that_was_chosen(seed, slicing):
    X, y = few_samples_of_many_features(seed)
    options = {"n_slices": 8, "cross_fit": 4}
    scorer = {}
    for boost in (1.0, 16.0, None):
        known = _families.best_boost if boost is None else lambda _, boost=boost: boost
        with mock.patch.object(_families, "best_boost", known):
            scorer[boost] = fitted(X, y, slicing=slicing, **options).scores_
    _, best, _ = chosen(X, y, slicing=slicing, **options)
    with mock.patch.object(_families, "best_boost", lambda _: best):
        given = fitted(X, y, slicing=slicing, **options).scores_
    assert_allclose(scorer[None], given)
    assert np.abs(scorer[1.0] - scorer[16.0]).max() > 0.01  # it changes something
