"""Distance from the mean of the class."""

from typing import ClassVar

import numpy as np
from sklearn.covariance import LedoitWolf

from smilearn.baselines._base import COVARIANCE, FOLDS, LabelScorer


class MahalanobisScorer(LabelScorer):
    """Minus the Mahalanobis distance from the mean of the class.

    The covariance is that of all samples around the means of their classes, shrunk
    after Ledoit and Wolf. X must be dense.

    Parameters
    ----------
    cross_fit : int or None, default=10
        Folds, in which training samples are scored by what the others taught; a label
        that the others lack scores as the worst one. None scores them in sample.

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

    _parameter_constraints: ClassVar[dict] = {"cross_fit": FOLDS}

    _dense_since = COVARIANCE

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
