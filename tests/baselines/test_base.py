"""The contract of all baselines that are estimators, and what each one computes."""

import numpy as np
import pytest
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix
from scipy.spatial.distance import cdist
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import roc_auc_score
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from smilearn import SlicedMIScorer
from smilearn.baselines import (
    LDAScorer,
    LeverageScorer,
    MahalanobisScorer,
    NeighborScorer,
)
from smilearn.exceptions import InvalidInputError

OF_LABELS = [
    LDAScorer(),
    LDAScorer(shrinkage=0.1),
    MahalanobisScorer(),
    MahalanobisScorer(cross_fit=None),
    NeighborScorer(),
    NeighborScorer(weights="distance"),
]
EVERY = [*OF_LABELS, LeverageScorer(), LeverageScorer(link="softmax")]


def planted(seed, n=300, n_classes=3, flips=12):
    """Classes that can be told apart, and some wrong labels."""
    rng = np.random.default_rng(seed)
    clean = rng.permutation(np.arange(n) % n_classes)
    X = rng.normal(size=(n, 5)) + 2.5 * np.eye(5)[clean]
    wrong = np.zeros(n, bool)
    wrong[rng.choice(n, flips, replace=False)] = True
    names = np.array(["a", "b", "c", "d"])
    return X, names[np.where(wrong, (clean + 1) % n_classes, clean)], wrong


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


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a"] * 8, "2 classes or more"),
        (["a", "b", "a", None, *"abab"], "1 missing, in row 3"),
        (["a"] * 7 + ["b"], "cross_fit=10 leaves samples of 1"),
    ],
)
def test_labels_that_cannot_be_learnt_from_are_refused(y, message):
    with pytest.raises(InvalidInputError, match=message):
        MahalanobisScorer().fit(np.arange(8.0)[:, None], np.array(y, object))


def test_folds_are_left_out_one_by_one(monkeypatch):
    X, y, _ = planted(4, n=40)
    fold = np.arange(40) % 4
    monkeypatch.setattr("smilearn.baselines._mahalanobis.folds_of", lambda *given: fold)
    scores = MahalanobisScorer(cross_fit=4).fit(X, y).scores_
    whole = MahalanobisScorer(cross_fit=None)
    for each in range(4):
        rest = whole.fit(X[fold != each], y[fold != each])
        held = rest.score_samples(X[fold == each], y[fold == each])
        np.testing.assert_allclose(scores[fold == each], held, rtol=1e-6)


def test_a_label_that_the_others_lack_scores_as_the_worst_one(monkeypatch):
    X, y, _ = planted(5, n=60)
    y[7] = "d"
    fold = np.arange(60) % 4
    monkeypatch.setattr("smilearn.baselines._mahalanobis.folds_of", lambda *given: fold)
    scores = MahalanobisScorer(cross_fit=4).fit(X, y).scores_
    assert np.isfinite(scores).all()
    rest = MahalanobisScorer(cross_fit=None).fit(X[fold != 3], y[fold != 3])
    assert scores[7] == pytest.approx(rest.score_table(X[[7]]).min())


def test_lda_is_that_of_the_scorer_where_slices_do_not_enter():
    X, y, _ = planted(6)
    y[0] = "d"  # alone in its class
    scorer = SlicedMIScorer(1, outliers=None, dtype="float64", random_state=0).fit(X, y)
    lda = LDAScorer().fit(X, y)
    assert scorer.pool_["weights"]["slices"] == 0
    assert lda.shrinkage_ == scorer.pool_["shrinkage"]
    np.testing.assert_allclose(lda.scores_, scorer.scores_, atol=1e-6)
    new, labels, _ = planted(7)
    found = lda.score_samples(new, labels)
    np.testing.assert_allclose(found, scorer.score_samples(new, labels), atol=1e-6)
    best = np.log(scorer.predict_proba(new))
    np.testing.assert_allclose(lda.score_table(new), best, atol=1e-6)


def test_lda_leaves_each_sample_out():
    X, y, _ = planted(6)
    y[0] = "d"
    scores = LDAScorer(shrinkage=0.1).fit(X, y).scores_
    assert scores[0] == pytest.approx(-np.log(300))  # of whose class nothing is known
    X[1] *= 1.5
    moved = LDAScorer(shrinkage=0.1).fit(X, y)
    assert moved.scores_[1] < moved.score_samples(X, y)[1]


def test_lda_of_classes_of_one_is_the_log_prior():
    scores = LDAScorer().fit(np.eye(4), [0, 1, 2, 3]).scores_
    np.testing.assert_allclose(scores, -np.log(4))


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


OFFSETS = [
    LDAScorer(),
    MahalanobisScorer(),
    NeighborScorer(weights="distance"),
    NeighborScorer(weights="distance", metric="sqeuclidean"),
    LeverageScorer(),
    LeverageScorer(link="softmax"),
]


@pytest.mark.parametrize("scorer", OFFSETS, ids=repr)
def test_features_far_from_the_origin_score_alike(scorer):
    X, y, _ = planted(11)
    X = np.hstack([X, np.random.default_rng(1).normal(size=(len(X), 25))])
    X = np.round(X * 2**16) / 2**16  # so that the sums are exact
    near = scorer.fit(X, y).scores_, scorer.score_samples(X, y)
    far = scorer.fit(X + 2.0**27, y).scores_, scorer.score_samples(X + 2.0**27, y)
    np.testing.assert_allclose(far, near, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scorer", EVERY, ids=repr)
def test_tensors_are_taken_with_their_gradients(scorer):
    torch = pytest.importorskip("torch")
    X, y, _ = planted(12, n=60)
    codes = np.searchsorted(np.unique(y), y)
    scores = scorer.fit(X, codes).scores_
    tensor = torch.tensor(X, requires_grad=True)
    assert (scorer.fit(tensor, torch.tensor(codes)).scores_ == scores).all()
    half = tensor.bfloat16()
    again = scorer.score_samples(half, torch.tensor(codes))
    assert (again == scorer.score_samples(half.detach().float().numpy(), codes)).all()


def sparse_texts(seed, n=120, n_words=80):
    """Weights of words, no two alike, and the labels of two classes."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 2)
    rate = np.where(np.arange(n_words) < 10, 0.1 + 0.5 * y[:, None], 0.05)
    weights = rng.poisson(rate) * rng.uniform(0.5, 1, (n, n_words))
    return weights, np.where(y == 1, "spam", "ham")


SPARSE = [
    NeighborScorer(7),
    NeighborScorer(7, metric="cosine", weights="distance"),
    NeighborScorer(7, metric="manhattan"),
]


@pytest.mark.parametrize("make", [csr_array, csr_matrix, csc_array, coo_array])
@pytest.mark.parametrize("scorer", SPARSE, ids=repr)
def test_sparse_samples_score_as_dense_ones(scorer, make):
    X, y = sparse_texts(0)
    dense = scorer.fit(X, y)
    expected = dense.scores_, dense.score_samples(X, y), dense.score_samples(X)
    sparse = scorer.fit(make(X), y)
    found = sparse.scores_, sparse.score_samples(make(X), y), sparse.score_samples(X)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_sparse_samples_are_shifted_as_the_dense_ones_were_that_were_learnt():
    X, y = sparse_texts(3)
    scorer = NeighborScorer(7).fit(X + 100, y)
    assert (scorer.centre_ != 0).all()
    found = scorer.score_samples(csr_array(X + 100), y)
    np.testing.assert_allclose(found, scorer.score_samples(X + 100, y))


@pytest.mark.parametrize("scorer", [LDAScorer(), MahalanobisScorer(), LeverageScorer()])
def test_sparse_samples_are_refused_where_a_matrix_would_be_dense(scorer):
    X, y = sparse_texts(2)
    told = f"{type(scorer).__name__} takes no sparse X: .* matrix .*TruncatedSVD"
    for ask in (scorer.fit, scorer.fit(X, y).score_samples):
        with pytest.raises(InvalidInputError, match=told):
            ask(csr_array(X), y)
    assert not get_tags(scorer).input_tags.sparse


ESTIMATORS = [
    LDAScorer(),
    MahalanobisScorer(cross_fit=None),
    NeighborScorer(5, weights="distance", metric="manhattan"),
    LeverageScorer(link="softmax"),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
