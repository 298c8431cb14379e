"""Scores of a label by models of the features, in folds."""

import warnings
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from scipy.sparse import issparse
from scipy.special import expit, log_softmax, softmax
from sklearn.covariance import LedoitWolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from smilearn.baselines._base import LabelScorer
from smilearn.baselines._training import checked_logits
from smilearn.utils._sklearn_compat import Interval, StrOptions

_FOLDS = [Interval(Integral, 2, None, closed="left"), None]
_SQUARE = "it needs a covariance, a dense matrix of n_features rows."


class LDAScorer(LabelScorer):
    """Log probability of the label by linear discriminant analysis, in nats.

    X must be dense.

    Parameters
    ----------
    shrinkage : "auto", float in [0, 1] or None, default="auto"
        Shrinkage of the covariance; "auto" is that of Ledoit and Wolf.

    cross_fit : int or None, default=10
        Folds, in which training samples are scored by what the others taught; a label
        that the others lack scores as the worst one. None scores them in sample.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Of the training samples, in nats; low = at risk.

    classes_ : ndarray of shape (n_classes,)
        Labels seen in :meth:`fit`, sorted.

    centre_ : ndarray of shape (n_features,)
        Mean of the features.

    model_ : LinearDiscriminantAnalysis
        Fitted to all samples, less `centre_`, and the places of their labels.

    n_features_in_, feature_names_in_ : int, ndarray of shape (n_features,)
        Features seen in :meth:`fit`, and their names, where all are strings.

    Examples
    --------
    >>> import numpy as np
    >>> from smilearn.baselines import LDAScorer
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["ham", "spam"], 50)
    >>> X = rng.normal(size=(100, 4)) + 2.0 * (y == "spam")[:, None]
    >>> y[0] = "spam"  # a wrong label
    >>> int(LDAScorer().fit(X, y).scores_.argmin())
    0
    """

    _parameter_constraints: ClassVar[dict] = {
        "shrinkage": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both"), None],
        "cross_fit": _FOLDS,
    }

    _dense_since = _SQUARE

    def __init__(self, *, shrinkage="auto", cross_fit=10):
        self.shrinkage = shrinkage
        self.cross_fit = cross_fit

    def _learn(self, X, codes):
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=self.shrinkage)
        with warnings.catch_warnings():  # a class of one has no spread of its own
            warnings.filterwarnings("ignore", "Only one sample available")
            self.centre_ = X.mean(0)  # far from it, decisions have few digits left
            self.model_ = model.fit(X - self.centre_, codes)

    def _table(self, X):
        decisions = self.model_.decision_function(X - self.centre_)
        return log_softmax(checked_logits(decisions), axis=1)


class MahalanobisScorer(LabelScorer):
    """Minus the Mahalanobis distance from the mean of the class.

    The covariance is that of all samples around the means of their classes, shrunk
    after Ledoit and Wolf. X must be dense.

    Parameters
    ----------
    cross_fit : int or None, default=10
        As for :class:`LDAScorer`.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Of the training samples, 0 at most; low = at risk.

    classes_ : ndarray of shape (n_classes,)
        Labels seen in :meth:`fit`, sorted.

    means_ : ndarray of shape (n_classes, n_features)
        Mean of each class.

    covariance_ : LedoitWolf
        Fitted covariance within the classes.

    n_features_in_, feature_names_in_ : int, ndarray of shape (n_features,)
        Features seen in :meth:`fit`, and their names, where all are strings.

    Examples
    --------
    >>> from smilearn.baselines import MahalanobisScorer
    >>> X = [[0.0], [1.0], [2.0], [8.0], [9.0], [10.0], [6.0]]
    >>> y = [0, 0, 0, 1, 1, 1, 0]
    >>> int(MahalanobisScorer(cross_fit=None).fit(X, y).scores_.argmin())
    6
    """

    _parameter_constraints: ClassVar[dict] = {"cross_fit": _FOLDS}

    _dense_since = _SQUARE

    def __init__(self, *, cross_fit=10):
        self.cross_fit = cross_fit

    def _learn(self, X, codes):
        count = np.bincount(codes)
        self.means_ = np.zeros((len(count), X.shape[1]))
        np.add.at(self.means_, codes, X / count[codes, None])
        covariance = LedoitWolf(assume_centered=True)
        self.covariance_ = covariance.fit(X - self.means_[codes])

    def _table(self, X):
        squares = [self.covariance_.mahalanobis(X - mean) for mean in self.means_]
        return -np.sqrt(np.maximum(squares, 0)).T


def centred_rows(X, centre, scale):
    """Samples centred and scaled, with a 1 behind them, (n_samples, n_features + 1)."""
    return np.column_stack([(X - centre) / scale, np.ones(len(X))])


def softmax_inverse(rows, curvature, penalty):
    """Inverse Hessian of the penalized loss of a softmax layer, summed over samples."""
    n_outputs, width = curvature.shape[1], rows.shape[1]
    hessian = np.empty((n_outputs, width, n_outputs, width))
    for a in range(n_outputs):
        for b in range(a, n_outputs):
            block = rows.T @ (curvature[:, a, b, None] * rows)
            hessian[a, :, b], hessian[b, :, a] = block, block.T
        hessian[a, range(width - 1), a, range(width - 1)] += penalty
    if n_outputs > 1:  # equal biases for all: a direction without any curvature
        hessian[:, -1, :, -1] += len(rows)
    size = n_outputs * width
    return np.linalg.inv(hessian.reshape(size, size)).reshape(hessian.shape)


def softmax_curvature(logits):
    """Derivative of probabilities by logits, (n_samples, n_outputs, n_outputs)."""
    if logits.ndim == 1:
        p = expit(logits)
        return (p * (1 - p))[:, None, None]
    p = softmax(logits, axis=1)
    return p[:, :, None] * (np.eye(p.shape[1]) - p[:, None, :])


def traces(rows, curvature, inverse):
    """Sum over the outputs of how a prediction follows its own label."""
    leverage = np.zeros(len(rows))
    for a, b in np.ndindex(curvature.shape[1:]):
        moved = ((rows @ inverse[b, :, a]) * rows).sum(1)
        leverage += curvature[:, a, b] * moved
    return leverage


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
        self.inverse_ = softmax_inverse(rows, curvature, penalty)

    def _rows(self, X):
        return centred_rows(X, self.centre_, self.scale_)

    def _curvature(self, rows):
        if self.model_ is None:
            return np.ones((len(rows), 1, 1))
        logits = self.model_.decision_function(rows[:, :-1])
        return softmax_curvature(logits)

    def _table(self, X):
        rows = self._rows(X)
        leverage = traces(rows, self._curvature(rows), self.inverse_)
        return np.tile(-leverage[:, None], len(self.classes_))
