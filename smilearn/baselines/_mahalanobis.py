"""Distance from the mean of the class."""

from numbers import Integral
from typing import ClassVar

import numpy as np
from sklearn.base import clone
from sklearn.covariance import LedoitWolf

from smilearn.baselines._base import COVARIANCE, LabelScorer
from smilearn.exceptions import InvalidInputError
from smilearn.utils._random import generator_from
from smilearn.utils._sklearn_compat import Interval


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

    _parameter_constraints: ClassVar[dict] = {
        "cross_fit": [Interval(Integral, 2, None, closed="left"), None]
    }

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

    def _training_table(self, X, codes):
        if self.cross_fit is None:
            return self._table(X)
        folds = folds_of(X, codes, self.cross_fit)
        table = np.empty((len(codes), len(self.classes_)))
        for fold in range(folds.max() + 1):
            table[folds == fold] = self._held_out(X, codes, folds == fold)
        return table

    def _held_out(self, X, codes, held):
        """Scores of some samples by a scorer that learnt from the others."""
        seen, inner = np.unique(codes[~held], return_inverse=True)
        if len(seen) < 2:
            raise InvalidInputError(
                f"cross_fit={self.cross_fit} leaves samples of {len(seen)} class to "
                "learn from, and 2 are needed. Give more distinct samples of each "
                "class, or cross_fit=None."
            )
        scorer = clone(self)
        scorer._learn(X[~held], inner)
        scores = scorer._table(X[held])
        table = np.tile(scores.min(1, keepdims=True), len(self.classes_))
        table[:, seen] = scores
        return table


def folds_of(X, codes, n_folds):
    """Deal the samples of each class out to folds, evenly; equal samples together."""
    line = generator_from(0, "folds").standard_normal(X.shape[1])
    line /= 1024 * np.linalg.norm(line)  # so that no sum overflows
    # row after row, not a product: that rounds by where a row stands
    keys = np.array([(row * line).sum() for row in X - X.min(0)])
    first = np.full(codes.max() + 1, np.inf)
    np.minimum.at(first, codes, keys)
    place = np.argsort(np.argsort(first))[codes]  # of the class, by its smallest key
    order = np.lexsort((keys, place))
    differs = (np.diff(keys[order]) != 0) | (np.diff(codes[order]) != 0)
    fold = np.empty(len(codes), np.int64)
    # dealing on from class to class keeps the folds of one size
    fold[order] = np.concatenate([[0], np.cumsum(differs)]) % n_folds
    return fold
