"""What samples rivals take: sparse ones, tensors, features far from the origin."""

import numpy as np
import pytest
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.utils import get_tags
from test_baselines import EVERY, planted

from smilearn.baselines import (
    LDAScorer,
    LeverageScorer,
    MahalanobisScorer,
    NeighborScorer,
    ProbeScorer,
)
from smilearn.exceptions import InvalidInputError

OFFSETS = [
    LDAScorer(),
    MahalanobisScorer(),
    NeighborScorer(weights="distance"),
    NeighborScorer(weights="distance", metric="sqeuclidean"),
    ProbeScorer(),
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
    ProbeScorer(),
    ProbeScorer(LogisticRegression(), kind="loss"),
]


@pytest.mark.parametrize("make", [csr_array, csr_matrix, csc_array, coo_array])
@pytest.mark.parametrize("scorer", SPARSE, ids=repr)
def test_sparse_samples_score_as_dense_ones(scorer, make, monkeypatch):
    X, y = sparse_texts(0)
    fold = np.arange(len(y)) % 5
    monkeypatch.setattr("smilearn.baselines._base.folds_of", lambda *given: fold)
    dense = scorer.fit(X, y)
    expected = dense.scores_, dense.score_samples(X, y), dense.score_samples(X)
    sparse = scorer.fit(make(X), y)
    found = sparse.scores_, sparse.score_samples(make(X), y), sparse.score_samples(X)
    solved = 0.2 if scorer.get_params().get("estimator", 1) is None else 0.01
    np.testing.assert_allclose(found, expected, atol=solved)  # to where lbfgs stops


def test_sparse_samples_are_shifted_as_the_dense_ones_were_that_were_learnt():
    X, y = sparse_texts(3)
    scorer = NeighborScorer(7).fit(X + 100, y)
    assert (scorer.centre_ != 0).all()
    found = scorer.score_samples(csr_array(X + 100), y)
    np.testing.assert_allclose(found, scorer.score_samples(X + 100, y))


def test_equal_sparse_samples_share_a_fold():
    X, y = sparse_texts(1, n=30)
    X, y = csr_array(np.vstack([X, X])), np.tile(y, 2)
    scores = ProbeScorer(cross_fit=3).fit(X, y).scores_
    np.testing.assert_allclose(scores[:30], scores[30:])


@pytest.mark.parametrize("scorer", [LDAScorer(), MahalanobisScorer(), LeverageScorer()])
def test_sparse_samples_are_refused_where_a_matrix_would_be_dense(scorer):
    X, y = sparse_texts(2)
    told = f"{type(scorer).__name__} takes no sparse X: .* matrix .*TruncatedSVD"
    for ask in (scorer.fit, scorer.fit(X, y).score_samples):
        with pytest.raises(InvalidInputError, match=told):
            ask(csr_array(X), y)
    assert not get_tags(scorer).input_tags.sparse
