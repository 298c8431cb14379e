"""What all baselines that are estimators have in common."""

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from smilearn.exceptions import InvalidInputError
from smilearn.scoring._checks import encoded
from smilearn.utils._documentation import Documented, documentation_url, page_template
from smilearn.utils._labels import check_labels, class_labels
from smilearn.utils._sklearn_compat import fit_context
from smilearn.utils._validation import as_numpy, numbers_expected

COVARIANCE = "it needs a covariance, a dense matrix of n_features rows."


class LabelScorer(Documented, BaseEstimator):
    """A score of each sample under each label; the base of a new baseline.

    A subclass has `_learn(X, codes)`, which learns from checked samples and the places
    of their labels in `classes_`, and `_table(X)`, scores of (n_samples, n_classes).
    `_training_table(X, codes)` may leave out each training sample.
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
        return validate_data(self, as_numpy(X), y, reset=reset, **checks)

    def _training_table(self, X, codes):
        """Scores of the training samples under each label."""
        return self._table(X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = self._dense_since is None
        return tags
