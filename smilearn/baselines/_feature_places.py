"""Scores by where a sample stands among the others."""

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from smilearn.baselines import _leverage
from smilearn.baselines._label_scorer import LabelScorer
from smilearn.utils._sklearn_compat import Interval, StrOptions

_BY_PRODUCTS = {"euclidean", "l2", "sqeuclidean", "minkowski"}  # lose digits far off


class NeighborScorer(LabelScorer):
    """Share of the nearest neighbours that have the label, the sample left out.

    X may be sparse, such as TF-IDF, where `metric` is "euclidean", "cosine",
    "manhattan" or another that scikit-learn computes of sparse rows.

    Parameters
    ----------
    n_neighbors : int, default=30
        Neighbours, or all other samples where there are fewer.

    weights : {"uniform", "distance"}, default="uniform"
        Whether nearer ones count more.

    metric : str, default="euclidean"
        Distance, as :class:`sklearn.neighbors.KNeighborsClassifier` knows it.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Of the training samples, in [0, 1], with many ties; low = at risk. Other copies
        of a sample are among its neighbours.

    classes_ : ndarray of shape (n_classes,)
        Labels seen in :meth:`fit`, sorted.

    centre_ : ndarray of shape (n_features,) or None
        What is subtracted from dense samples for Euclidean distances, which are
        computed by products: far from the origin these have few digits left.

    model_ : KNeighborsClassifier
        Fitted to all samples, less `centre_`, and the places of their labels.

    n_features_in_, feature_names_in_ : int, ndarray of shape (n_features,)
        Features seen in :meth:`fit`, and their names, where all are strings.

    Examples
    --------
    >>> from smilearn.baselines import NeighborScorer
    >>> X = [[0.0], [1.0], [2.0], [8.0], [9.0], [10.0]]
    >>> NeighborScorer(2).fit(X, [0, 0, 1, 1, 1, 1]).scores_
    array([0.5, 0.5, 0. , 1. , 1. , 1. ])
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "weights": [StrOptions({"uniform", "distance"})],
        "metric": [str],
    }

    def __init__(self, n_neighbors=30, *, weights="uniform", metric="euclidean"):
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.metric = metric

    def _learn(self, X, codes):
        shifted = self.metric in _BY_PRODUCTS and not issparse(X)
        self.centre_ = _near_mean(X) if shifted else None
        n_neighbors = min(self.n_neighbors, len(codes) - 1)
        model = KNeighborsClassifier(
            n_neighbors, weights=self.weights, metric=self.metric
        )
        self.model_ = model.fit(self._shifted(X), codes)

    def _shifted(self, X):
        if self.centre_ is None:
            return X
        return (X.toarray() if issparse(X) else X) - self.centre_

    def _table(self, X):
        return self.model_.predict_proba(self._shifted(X))

    def _training_table(self, X, codes):
        return self.model_.predict_proba(None)  # of each sample, by the others


def _near_mean(X):
    """A point about the mean, so coarse that whole numbers stay whole and ties ties."""
    mean = X.mean(0)
    spread = np.abs(X - mean).max()
    if not spread:
        return X[0]
    step = np.ldexp(1.0, np.frexp(spread)[1] - 1)  # power of two, at most the spread
    return np.rint(mean / step) * step


class LeverageScorer(LabelScorer):
    """Minus the leverage: how far a sample moves its own prediction.

    Labels do not matter for ``link="identity"``, and for "softmax" only by the
    probabilities that are fitted to them: the score is the same under each label.
    X must be dense.

    Parameters
    ----------
    link : {"identity", "softmax"}, default="identity"
        "identity": leverage of ridge regression. "softmax": generalised leverage of
        multinomial logistic regression, the trace of the derivative of the fitted
        probabilities of the sample by its one-hot label. It inverts a matrix of
        n_classes * (n_features + 1) rows.

    alpha : float, default=0.01
        Penalty a sample on half the squared coefficients, of features that are centred
        and have a mean square of 1 over all. The intercept is free.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Of the training samples, 0 at most; low = at risk.

    classes_ : ndarray of shape (n_classes,)
        Labels seen in :meth:`fit`, sorted.

    centre_, scale_ : ndarray of shape (n_features,), float
        What is subtracted from a feature, and what all are divided by.

    model_ : LogisticRegression or None
        Of "softmax": fitted to scaled features and the places of the labels.

    inverse_ : ndarray of shape (n_outputs, n_features + 1, n_outputs, n_features + 1)
        Inverse of the matrix of second derivatives of the penalized loss.

    n_features_in_, feature_names_in_ : int, ndarray of shape (n_features,)
        Features seen in :meth:`fit`, and their names, where all are strings.

    Examples
    --------
    >>> from smilearn.baselines import LeverageScorer
    >>> X = [[0.0], [1.0], [2.0], [3.0], [40.0]]
    >>> int(LeverageScorer().fit(X, [0, 1, 0, 1, 1]).scores_.argmin())
    4
    """

    _parameter_constraints: ClassVar[dict] = {
        "link": [StrOptions({"identity", "softmax"})],
        "alpha": [Interval(Real, 0, None, closed="neither")],
    }

    _dense_since = "it centres the features, and inverts a matrix of n_features rows."

    def __init__(self, *, link="identity", alpha=0.01):
        self.link = link
        self.alpha = alpha

    def _learn(self, X, codes):
        self.centre_ = X.mean(0)
        self.scale_ = float(np.sqrt(((X - self.centre_) ** 2).mean())) or 1.0
        rows, penalty = self._rows(X), self.alpha * len(X)
        self.model_ = None
        if self.link == "softmax":
            model = LogisticRegression(C=1 / penalty, max_iter=1000)
            self.model_ = model.fit(rows[:, :-1], codes)
        curvature = self._curvature(rows)
        self.inverse_ = _leverage.softmax_inverse(rows, curvature, penalty)

    def _rows(self, X):
        return _leverage.centred_rows(X, self.centre_, self.scale_)

    def _curvature(self, rows):
        if self.model_ is None:
            return np.ones((len(rows), 1, 1))
        logits = self.model_.decision_function(rows[:, :-1])
        return _leverage.softmax_curvature(logits)

    def _table(self, X):
        rows = self._rows(X)
        leverage = _leverage.traces(rows, self._curvature(rows), self.inverse_)
        return np.tile(-leverage[:, None], len(self.classes_))
