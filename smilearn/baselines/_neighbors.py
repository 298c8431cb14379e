"""Share of the nearest neighbours that have the label."""

from numbers import Integral
from typing import ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.neighbors import KNeighborsClassifier

from smilearn.baselines._base import LabelScorer
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
        model = KNeighborsClassifier(
            min(self.n_neighbors, len(codes) - 1),
            weights=self.weights,
            metric=self.metric,
        )
        self.model_ = model.fit(self._shifted(X), codes)

    def _shifted(self, X):
        if self.centre_ is None:
            return _narrow(X)
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


def _narrow(X):
    """Sparse samples with indices of 32 bits, where they suffice: some metrics ask."""
    if not issparse(X) or max(*X.shape, X.nnz) > np.iinfo(np.int32).max:
        return X
    places = (X.indices.astype(np.int32), X.indptr.astype(np.int32))
    return type(X)((X.data, *places), shape=X.shape)
