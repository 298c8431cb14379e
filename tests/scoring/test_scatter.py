"""Scatter, shrinkage and maps against scikit-learn and plain NumPy."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from oracles import embeddings
from scipy.linalg import subspace_angles
from sklearn.covariance import ledoit_wolf
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from smilearn.scoring import _scatter
from smilearn.scoring._families import joint_functions, joint_table
from smilearn.scoring._scatter import WithinScatter


def crowd(seed, n_features=12):
    """Centred embeddings whose features correlate, and their labels."""
    X, y = embeddings(seed, (60, 35, 12, 40), n_features)
    X = X @ np.random.default_rng(seed).normal(size=(n_features, n_features))
    return X - X.mean(0), y


def scatter_of(X, y, n_classes=4):
    return WithinScatter.of(torch.as_tensor(X), y, n_classes)


def residuals(X, y):
    return X - np.stack([X[y == c].mean(0) for c in range(4)])[y]


def test_shrunk_covariance_is_that_of_scikit_learn(seed):
    X, y = crowd(seed)
    expected, share = ledoit_wolf(residuals(X, y), assume_centered=True)
    scatter = scatter_of(X, y)
    assert_allclose(scatter.covariance(), expected, rtol=1e-9, atol=1e-9)
    assert scatter.shrinkage() == pytest.approx(share)


@pytest.mark.parametrize("gone", ["some", "a whole class"])
def test_without_is_the_scatter_of_the_rest(seed, gone):
    X, y = crowd(seed)
    out = np.random.default_rng(seed).random(len(y)) < 0.3
    if gone == "a whole class":
        out |= y == 2
    rest, direct = (
        scatter_of(X, y).without(scatter_of(X[out], y[out])),
        scatter_of(X[~out], y[~out]),
    )
    assert rest.count.tolist() == direct.count.tolist()
    assert_allclose(rest.mean, direct.mean, atol=1e-10)
    assert_allclose(rest.scatter, direct.scatter, atol=1e-8)
    assert_allclose(rest.fourth, direct.fourth, rtol=0.3)  # around other means


@pytest.mark.parametrize("many", [512, 5])
def test_principal_axes_whiten_like_pca(seed, many, monkeypatch):
    """By an eigendecomposition, or by a randomized method for many features."""
    monkeypatch.setattr(_scatter, "_MANY_FEATURES", many)
    X, y = crowd(seed)
    axes = scatter_of(X, y).principal_axes(4)
    expected = PCA(4).fit(X)
    assert subspace_angles(axes.T, expected.components_.T).max() < 1e-3
    assert_allclose(np.cov((X @ axes.T).T, bias=True), np.eye(4), atol=1e-3)
    state = torch.random.get_rng_state()
    scatter_of(X, y).principal_axes(4)
    assert torch.equal(torch.random.get_rng_state(), state)


def lda(scatter, X, y):
    """Linear discriminant analysis of scikit-learn with a given covariance."""

    class Given:
        def fit(self, _):
            self.covariance_ = scatter.covariance()
            return self

    model = LinearDiscriminantAnalysis(solver="eigen", covariance_estimator=Given())
    return model.fit(X, y)


def test_joint_table_is_log_posterior_over_prior(seed):
    X, y = crowd(seed)
    scatter = scatter_of(X, y)
    weights, offset = joint_functions(scatter)
    table = joint_table(weights, offset, scatter.prior, torch.as_tensor(X))
    expected = lda(scatter, X, y).predict_log_proba(X) - np.log(scatter.prior)
    assert_allclose(table, expected, atol=1e-8)
    assert (table <= -np.log(scatter.prior) + 1e-9).all()


def test_a_far_row_does_not_drown_the_others_in_single_precision(seed):
    """The product of differences in float32 would lose what the others add."""
    X, y = crowd(seed)
    X = X.astype(np.float32)
    X[0] = 1e5 * np.random.default_rng(seed).normal(size=X.shape[1])
    rest = np.arange(len(y)) > 0
    whole, far = scatter_of(X, y), scatter_of(X[:1], y[:1])
    expected = scatter_of(X[rest].astype(np.float64), y[rest])
    found = whole.without(far)
    # of sums of 1e10 in double precision about 1e-5 is left
    assert_allclose(found.scatter, expected.scatter, atol=1e-3)
    assert_allclose(found.mean, expected.mean, atol=1e-5)
