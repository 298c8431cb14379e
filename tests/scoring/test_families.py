"""Families of slices: unseen means unseen, and the slow way gives the same numbers."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from oracles import embeddings, fitted, log_density
from scipy.special import logsumexp

from smilearn import SlicedMIScorer
from smilearn.metrics import label_contrast
from smilearn.scoring._families import enough_slices
from smilearn.scoring._folds import folds_of
from smilearn.scoring._maps import discriminant_axes, whitening
from smilearn.scoring._moments import plain_moments
from smilearn.scoring._scatter import WithinScatter

SUPERVISED = ["whitened", "discriminant", "joint"]
FAMILIES = ["isotropic", "principal", *SUPERVISED, "adaptive"]


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


def oracle(X, y, axes_of, directions, fold, density):
    """Cross-fitted scores, one fold, one sample, one slice, one class at a time."""
    labels, count = np.unique(y, return_counts=True)
    log_prior = np.log(count / len(y))
    scores = np.zeros(len(y))
    for out in np.unique(fold):
        seen = fold != out
        whole, part = (
            WithinScatter.of(torch.as_tensor(X[rows]), y[rows], len(labels))
            for rows in (seen | True, ~seen)
        )
        scatter = whole.without(part)
        slices = directions @ axes_of(scatter)
        Z = X @ slices.T
        for z in Z.T:
            parts = [z[seen & (y == c)] for c in labels]
            within = sum(((own - own.mean()) ** 2).sum() for own in parts)
            pooled = within / (seen.sum() - len(labels))
            shared = within / seen.sum() if axes_of is discriminant_axes else None
            for i in np.flatnonzero(~seen):
                logs = np.array(
                    [log_density(z[i], p, pooled, density, shared) for p in parts]
                )
                scores[i] += logs[y[i]] - logsumexp(logs + log_prior)
    return scores / len(directions)


@pytest.mark.parametrize("density", ["student", "gaussian"])
@pytest.mark.parametrize("axes_of", [discriminant_axes, whitening])
def test_supervised_scores_equal_the_slow_way(seed, axes_of, density, monkeypatch):
    monkeypatch.setattr("smilearn.scoring._families.BOOSTS", (1.0,))
    dealt = []

    def remember(codes, keys, n_folds):
        dealt.append(folds_of(codes, keys, n_folds))
        return dealt[-1]

    monkeypatch.setattr("smilearn.scoring._learning.folds_of", remember)
    monkeypatch.setattr(
        "smilearn.scoring._learning.row_keys", lambda X, _: np.arange(float(len(X)))
    )
    slicing = "whitened" if axes_of is whitening else "discriminant"
    X, y = embeddings(seed, (30, 24, 9), 5, apart=0.7)
    order = np.random.default_rng(seed).permutation(len(y))
    X, y = X[order], y[order]
    scorer = fitted(
        X, y, slicing=slicing, density=density, n_slices=6, cross_fit=3, dtype="float64"
    )
    fold = np.empty(len(y), int)
    fold[np.argsort(y, kind="stable")] = dealt[0]
    Z = (X - scorer.centre_) * scorer.inverse_scale_
    expected = oracle(Z, y, axes_of, scorer.directions_, fold, density)
    assert_allclose(scorer.scores_, expected, atol=5e-3)
    assert np.abs(scorer.scores_ - expected).mean() < 5e-4


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
def test_shift_scale_and_rotation_change_little_or_nothing(seed, slicing):
    X, y = embeddings(seed, (160, 130, 90), 20)
    parameters = {"slicing": slicing, "n_slices": 1600, "dtype": "float64"}
    one = fitted(X, y, **parameters)
    assert_allclose(
        fitted(7 * X - 100, y, **parameters).scores_, one.scores_, atol=2e-4
    )
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(20, 20)))[0]
    turned = fitted(X @ rotation, y, **parameters)
    assert np.corrcoef(turned.scores_, one.scores_)[0, 1] > 0.96


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


@pytest.mark.parametrize("slicing", ["principal", *SUPERVISED])
def test_one_dimension_is_one_slice(seed, slicing):
    X, y = embeddings(seed, (40, 30), 1)
    scorer = SlicedMIScorer(slicing=slicing, random_state=0).fit(X, y)
    assert (scorer.n_slices_, scorer.reliability_) == (1, 1.0)


def test_few_dimensions_need_few_slices():
    assert [enough_slices(n) for n in (1, 2, 16, 1000)] == [1, 64, 128, 320]


def test_moments_without_a_part_are_those_of_the_rest(seed):
    rng = np.random.default_rng(seed)
    Z, codes = rng.normal(size=(5, 90)) + 3, rng.integers(0, 3, 90)
    out = (rng.random(90) < 0.3) | (codes == 2)  # a class goes altogether
    of = [
        plain_moments(torch.as_tensor(Z[:, rows]), torch.as_tensor(codes[rows]), 3)
        for rows in (slice(None), out, ~out)
    ]
    rest, direct = of[0].without(of[1]), of[2]
    assert rest.count.tolist() == direct.count.tolist()
    assert_allclose(rest.mean[:, :2], direct.mean[:, :2])
    assert_allclose(rest.variance[:, :2], direct.variance[:, :2], atol=1e-12)
    assert_allclose(rest.variance[:, 2], direct.pooled)
    assert_allclose(rest.pooled, direct.pooled)
    assert_allclose(rest.share, np.bincount(codes) / 90)


@pytest.mark.filterwarnings("ignore::smilearn.exceptions.ReliabilityWarning")
@pytest.mark.parametrize("slicing", SUPERVISED)
@pytest.mark.parametrize("n_slices", ["auto", 200])
@pytest.mark.parametrize("single", [0, 1, 2])
def test_a_class_of_one_does_not_change_the_scale_of_a_fold(
    seed, single, n_slices, slicing
):
    """Without it a fold has one discriminant axis fewer."""
    sizes = [150, 150, 150]
    sizes[single] = 1
    X, y = embeddings(seed, sizes, 10, apart=0.6)
    options = {"n_slices": n_slices, "slicing": slicing, "random_state": 0}
    scorer = SlicedMIScorer(**options).fit(X, y)
    many = y != single
    seen = np.median(scorer.score_samples(X[many], y[many]))
    assert np.median(scorer.scores_[many]) == pytest.approx(seen, abs=0.1)
    assert (scorer.scores_ <= -np.log(scorer.class_prior_[y]) + 1e-4).all()


@pytest.mark.parametrize("slicing", FAMILIES)
def test_nothing_of_an_earlier_fit_stays(seed, slicing):
    X, y = embeddings(seed, (40, 30, 20), 20)
    scorer = fitted(X, y, slicing="adaptive", contamination="permutation", n_slices=8)
    scorer.set_params(slicing="joint").fit(X, y)
    scorer.set_params(slicing=slicing, contamination=None).fit(X[:, :9], y)
    fresh = fitted(X[:, :9], y, slicing=slicing, n_slices=8)
    assert vars(scorer).keys() == vars(fresh).keys()
    assert_allclose(scorer.scores_, fresh.scores_)


def test_max_slices_caps_what_is_automatic_only(seed):
    X, y = embeddings(seed, (40, 30, 20), 20)
    for slicing in ("isotropic", "principal", "whitened", "discriminant"):
        scorer = fitted(X, y, slicing=slicing, n_slices=90, max_slices=30)
        assert scorer.n_slices_ == 90


def test_one_slice_of_many_dimensions_is_not_reliable(seed):
    X, y = embeddings(seed, (40, 30, 20), 20)
    assert fitted(X, y, slicing="whitened", n_slices=1).reliability_ == 0
