"""What all baselines that are estimators have in common."""

from numbers import Integral

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from smilearn.exceptions import InvalidInputError
from smilearn.scoring._checks import encoded
from smilearn.utils._documentation import Documented, documentation_url, page_template
from smilearn.utils._labels import check_labels, class_labels
from smilearn.utils._random import generator_from
from smilearn.utils._sklearn_compat import Interval, fit_context
from smilearn.utils._validation import as_numpy, numbers_expected

FOLDS = [Interval(Integral, 2, None, closed="left"), None]  # of `cross_fit`
COVARIANCE = "it needs a covariance, a dense matrix of n_features rows."


class LabelScorer(Documented, BaseEstimator):
    """A score of each sample under each label; the base of a new baseline.

    A subclass has `_learn(X, codes)`, which learns from checked samples and the places
    of their labels in `classes_`, and `_table(X)`, scores of (n_samples, n_classes). A
    parameter `cross_fit` has training samples scored in so many folds.
    """

    _dense_since = None  # why X must be dense

    _doc_link_template = page_template(documentation_url(), "smilearn.baselines")

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Learn from labelled samples and score them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features, 2 samples or more. Scorers that need a covariance refuse sparse
            ones.

        y : array-like of shape (n_samples,)
            Class labels, 2 classes or more.

        Returns
        -------
        self : estimator
            The fitted scorer.

        Raises
        ------
        ValueError
            If `X` holds NaN or infinity, or is sparse where it must be dense, if `y` is
            not made of labels of 2 classes or more, or if folds cannot be left out.
        """
        y = class_labels(y, type(self).__name__)
        X, y = self._validated(X, y, reset=True, ensure_min_samples=2)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InvalidInputError(
                "y must hold 2 classes or more, as the score compares labels; "
                f"got 1 class: {self.classes_.tolist()[0]!r} for all {len(y)} samples."
            )
        self._learn(X, codes)
        self.scores_ = self._training_table(X, codes)[np.arange(len(codes)), codes]
        return self

    def score_samples(self, X, y=None):
        """Score samples by all that was learnt; low = at risk.

        Training samples are not left out; their own scores are in `scores_`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        y : array-like of shape (n_samples,), default=None
            Label of each sample, among `classes_`. None scores each sample under the
            label that fits it best.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            The scores.

        Raises
        ------
        ValueError
            If `y` holds a label that was not seen in :meth:`fit`.
        """
        check_is_fitted(self)
        if y is None:
            return self.score_table(X).max(1)
        X, y = self._validated(X, check_labels(y, type(self).__name__))
        return self._table(X)[np.arange(len(y)), encoded(self.classes_, y)]

    def score_table(self, X):
        """Score each sample under each label.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        table : ndarray of shape (n_samples, n_classes)
            One column for each of `classes_`.
        """
        check_is_fitted(self)
        return self._table(self._validated(X))

    def _validated(self, X, y="no_validation", *, reset=False, **checks):
        """Samples, and labels if there are any, as arrays of float64 or csr."""
        if issparse(X) and self._dense_since:
            raise InvalidInputError(
                f"{type(self).__name__} takes no sparse X: {self._dense_since} Reduce "
                "it to a few hundred dense features first, with "
                "sklearn.decomposition.TruncatedSVD."
            )
        numbers_expected(X)
        checks |= {"dtype": np.float64, "accept_sparse": "csr"}
        checked = validate_data(self, as_numpy(X), y, reset=reset, **checks)
        if isinstance(checked, tuple):
            return _narrow(checked[0]), checked[1]
        return _narrow(checked)

    def _training_table(self, X, codes):
        """Scores of the training samples under each label."""
        if getattr(self, "cross_fit", None) is None:
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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = self._dense_since is None
        return tags


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


def _narrow(X):
    """Sparse samples with indices of 32 bits, where they suffice: some metrics ask."""
    if not issparse(X) or max(*X.shape, X.nnz) > np.iinfo(np.int32).max:
        return X
    places = (X.indices.astype(np.int32), X.indptr.astype(np.int32))
    return type(X)((X.data, *places), shape=X.shape)
