"""Far samples become neither the safest of their class nor the ruin of the others."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from oracles import POOLED, embeddings, fitted
from sklearn.metrics import roc_auc_score

from smilearn import SlicedMIScorer
from smilearn.scoring._blocks import Streamed
from smilearn.scoring._outliers import find_outliers
from smilearn.scoring._reader import Settings


def far_samples(X, y, ratio, weight=None):
    """Outliers among samples that come in two blocks."""
    X, half = np.ascontiguousarray(X), len(X) // 2
    batches = [(X[:half], y[:half], None), (X[half:], y[half:], None)]
    settings = Settings("student", torch.device("cpu"), "float64")
    blocks = Streamed(lambda: batches, SimpleNamespace(projection=None), settings)
    blocks.labels_and_weights()
    return find_outliers(blocks, y, ratio, weight)


def with_far(X, y, label, n_far, spreads, rng, *, apart=False):
    """Add far samples to a class, in one place or apart."""
    own = X[y == label]
    spread = np.linalg.norm(own - own.mean(0), axis=1).mean()
    way = rng.normal(size=(n_far, X.shape[1]))
    way = way if apart else np.broadcast_to(way[0], way.shape)
    way = way / np.linalg.norm(way, axis=1, keepdims=True)
    added = (
        own.mean(0) + spreads * spread * way + 0.1 * spread * rng.normal(size=way.shape)
    )
    return np.concatenate([X, added]), np.append(y, [label] * n_far)


@pytest.fixture
def flipped(seed):
    X, y = embeddings(seed, (90, 80, 40), 12, apart=1.0)
    flips = np.random.default_rng(seed).random(len(y)) < 0.1
    y[flips] = (y[flips] + 1) % 3
    return X, y, flips


@POOLED
@pytest.mark.parametrize(
    ("n_far", "spreads", "apart"), [(3, 10, 0), (10, 1e5, 0), (3, 1e3, 1)]
)
def test_far_samples_are_at_risk_and_hide_nobody(
    flipped, seed, pooled, n_far, spreads, apart
):
    X, y, flips = flipped
    rng = np.random.default_rng(seed)
    X_far, y_far = with_far(X, y, 1, n_far, spreads, rng, apart=apart)
    clean = fitted(X, y, pooled=pooled)
    scorer = fitted(X_far, y_far, pooled=pooled)
    assert scorer.outliers_.tolist() == [False] * len(y) + [True] * n_far
    own = scorer.scores_[: len(y)][y == 1]
    assert scorer.scores_[len(y) :].max() <= min(0, np.median(own))
    if pooled:
        prior = np.log(scorer.class_prior_[1])
        assert scorer.scores_[len(y) :].max() <= prior
    assert np.isfinite(scorer.scores_std_).all()
    quality = roc_auc_score(flips, -clean.scores_)
    assert roc_auc_score(flips, -scorer.scores_[: len(y)]) == pytest.approx(quality)


@POOLED
@pytest.mark.parametrize("density", ["student", "gaussian"])
def test_the_others_score_as_if_far_ones_were_not_there(flipped, seed, pooled, density):
    X, y, _ = flipped
    X_far, y_far = with_far(X, y, 0, 3, 100, np.random.default_rng(seed))
    order = np.random.default_rng(seed).permutation(len(y_far))
    options = {"pooled": pooled, "density": density, "dtype": "float64"}
    clean, scorer = (
        fitted(X, y, **options),
        fitted(X_far[order], y_far[order], **options),
    )
    near = order < len(y)
    np.testing.assert_allclose(
        scorer.scores_[near], clean.scores_[order[near]], 1e-6, 1e-9
    )
    np.testing.assert_allclose(
        scorer.scores_std_[near], clean.scores_std_[order[near]], 1e-5, 1e-9
    )
    unseen = clean.score_samples(X_far[order][~near], y_far[order][~near])
    most = np.log(scorer.class_prior_[0]) if pooled else 0
    np.testing.assert_allclose(scorer.scores_[~near], np.minimum(unseen, most), 1e-6)
    assert scorer.class_count_.tolist() == np.bincount(y).tolist()
    assert scorer.labels_.tolist() == y_far[order].tolist()


def test_far_is_a_multiple_of_the_larger_median_distance():
    tight = [0, 0.1, -0.1, 0.2, -0.2, 0.1, 60]  # median 0.1, of the distances 0.1
    wide = [0, 3, -3, 14.9, 0, 0, 15.1, 0]  # median 0, of the distances 1.5
    X = np.array(tight + wide)[:, None]  # the larger class is the typical one
    y = np.repeat([0, 1], [7, 8])
    assert np.flatnonzero(far_samples(X, y, 9.9)).tolist() == [6, 10, 13]
    assert np.flatnonzero(far_samples(X, y, 10)).tolist() == [6, 13]
    assert np.flatnonzero(far_samples(X, y, 39)).tolist() == [6]
    assert np.flatnonzero(far_samples(X, y, 40)).tolist() == []
    assert np.flatnonzero(far_samples(X[::-1], y[::-1], 10)).tolist() == [1, 8]


@pytest.mark.parametrize(
    ("scale", "spreads", "dtype"),
    [
        (1e-30, 100, np.float32),
        (1e30, 100, np.float32),
        (1e-8, 1e38, np.float32),
        (1e-97, 100, np.float64),
        (1e90, 100, np.float64),
    ],
)
def test_no_scale_is_too_small_or_large(flipped, seed, scale, spreads, dtype):
    X, y, _ = flipped
    X, y = with_far(X, y, 1, 3, spreads, np.random.default_rng(seed))
    X = (X * scale).astype(dtype)
    assert np.flatnonzero(far_samples(X, y, 5.0)).tolist() == [210, 211, 212]
    if spreads == 100:  # what comes in batches has no range of its own
        scorer = SlicedMIScorer(8, random_state=0)
        scorer.fit_batches([(X[:100], y[:100]), (X[100:], y[100:])])
        assert np.flatnonzero(scorer.outliers_).tolist() == [210, 211, 212]


def test_the_farthest_do_not_hide_the_less_far(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(400, 8)), np.repeat([0, 1], 200)
    X[:20] += 1e6
    X[20:30] += 40
    assert np.flatnonzero(far_samples(X, y, 5.0)).tolist() == list(range(30))


def test_order_and_copies_do_not_matter(flipped, seed):
    X, y, _ = flipped
    rng = np.random.default_rng(seed)
    X, y = with_far(X, y, 1, 3, 8, rng)
    weight = rng.integers(1, 4, len(y))
    expected = far_samples(X, y, 2.0, weight)
    assert 3 <= expected.sum() < 40
    order = rng.permutation(np.repeat(np.arange(len(y)), weight))
    found = far_samples(X[order], y[order], 2.0)
    # of a class of few samples, the middle is made from medians; of copies, from more
    assert (found != expected[order]).mean() < 0.02


def test_of_fat_tails_a_third_is_far_at_most(seed):
    """The farthest of each class, in weight; none would be a class any more."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], [200, 100])
    X = np.exp(4 * rng.normal(size=(300, 1)))
    weight = rng.integers(1, 4, 300).astype(float)
    far = far_samples(X, y, 1.0, weight)
    for label in range(2):
        own = y == label
        assert 0.25 < weight[own & far].sum() / weight[own].sum() <= 1 / 3
        assert X[own & far].min() > np.median(X[own])


def test_an_outlier_scores_its_share_at_most(seed):
    """However well it fits: as a new sample it would be the safest."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], 100)
    X = rng.normal(size=(200, 4))
    X[:, 0] += 3 * y
    X[150] = [40, 0, 0, 0]
    scorer = fitted(X, y)
    assert scorer.outliers_[150]
    assert scorer.score_samples(X[[150]], [1]) > -0.1
    assert scorer.scores_[150] == pytest.approx(np.log(scorer.class_prior_[1]))


@pytest.mark.filterwarnings("error")
def test_numbers_without_squares_are_refused_and_warn_of_nothing(flipped):
    X, y, *_ = flipped
    with pytest.raises(ValueError, match="between 1e-100 and 1e100"):
        fitted(1e200 * X, y)


def test_outliers_do_not_depend_on_where_the_samples_lie(seed):
    """Middles are made of all blocks: half a mean would be far from every sample."""
    X, y = embeddings(seed, (90, 80, 40), 12, apart=1.0)
    X, y = with_far(X, y, 1, 3, 9.0, np.random.default_rng(seed), apart=True)
    order = np.random.default_rng(seed).permutation(len(y))
    found = far_samples(X[order], y[order], 5.0)
    assert found.sum() == 3
    np.testing.assert_array_equal(far_samples(X[order] + 50, y[order], 5.0), found)
