"""Samples with several labels at once, one column of 0 and 1 a label."""

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.utils import check_consistent_length
from sklearn.utils.multiclass import is_multilabel

from smilearn.exceptions import InvalidInputError
from smilearn.utils._callbacks import silent_clone
from smilearn.utils._validation import is_tensor
from smilearn.utils._weights import checked_weights


class IndicatorLabels:
    """The part of a scorer that takes an indicator matrix for `y`."""

    @property
    def _of_indicators(self):
        return hasattr(self, "label_scorers_")

    def _fit_indicators(self, X, y, sample_weight):
        self._forget()
        Y, names = self._checked_indicators(y, X)
        X = self._validated(X, reset=True)
        weight = checked_weights(sample_weight, X)
        used = Y if weight is None else Y[weight > 0]
        varies = used.any(0) & ~used.all(0)
        if not varies.any():
            raise InvalidInputError(
                "Each column of y is all 0 or all 1, so there is nothing to tell "
                "samples apart by; at least 1 label must be present in some samples "
                "and absent from others."
            )
        one = silent_clone(self)
        one.set_params(random_state=self._fixed_seed(), contamination=None)
        scorers = [None] * len(varies)
        with self._fit_task(X, Y, sample_weight=weight):
            for column in np.flatnonzero(varies):
                fitted = clone(one).fit(X, Y[:, column], sample_weight=weight)
                scorers[column] = fitted
            self.label_scorers_ = scorers
            self._join_fitted(X, Y, names, weight)
        return self

    def _join_fitted(self, X, Y, names, weight):
        self.classes_, self.labels_ = names, Y
        self.class_count_ = Y.sum(0) if weight is None else weight @ Y
        self.class_prior_ = np.average(Y, axis=0, weights=weight)
        self._join_labels(weight)
        self._set_offset(
            lambda null, labels: null.fit(X, labels, sample_weight=weight), Y, weight
        )

    def _join_labels(self, weight):
        """Set what holds for a sample, from what its labels say."""
        fitted = [scorer for scorer in self.label_scorers_ if scorer is not None]
        n_samples, n_labels = self.labels_.shape
        self.label_scores_ = np.zeros((n_samples, n_labels))
        for column, scorer in enumerate(self.label_scorers_):
            if scorer is not None:
                self.label_scores_[:, column] = scorer.scores_
        self.scores_ = self.label_scores_.mean(1)
        # slices are shared, so that errors may add up: these are upper bounds
        self.scores_std_ = sum(one.scores_std_ for one in fitted) / n_labels
        noise = sum(
            np.sqrt((1 - one.reliability_) * np.cov(one.scores_, aweights=weight))
            for one in fitted
        )
        spread = np.cov(self.scores_, aweights=weight) * n_labels**2
        self.reliability_ = max(0.0, float(1 - noise**2 / spread)) if spread else 1.0
        self.far_ = np.any([one.far_ for one in fitted], axis=0)
        self.n_slices_ = max(one.n_slices_ for one in fitted)

    def _indicator_table(self, X, y=None):
        """Score of each sample under its value of each label, (n, n_labels)."""
        Y = None if y is None else self._checked_indicators(y, X)[0]
        X = self._validated(X)
        table = np.zeros((X.shape[0], len(self.label_scorers_)))
        for column, scorer in enumerate(self.label_scorers_):
            if scorer is not None:
                values = None if Y is None else Y[:, column]
                table[:, column] = scorer.score_samples(X, values)
        return table

    def _indicator_contrast(self, X, y, sample_weight):
        """Share of labels whose own value scores higher than the other, ties half."""
        Y = self._checked_indicators(y, X)[0]
        X = self._validated(X)
        weight = checked_weights(sample_weight, X)
        apart = self._indicator_table(X, Y) - self._indicator_table(X, 1 - Y)
        wins = (apart > 0) + 0.5 * (apart == 0)
        return float(np.average(wins.mean(1), weights=weight))

    def _checked_indicators(self, y, X):
        """Indicators (n, n_labels) of 0 and 1, and the names of the labels."""
        names = getattr(y, "columns", None)
        if is_tensor(y):
            y = y.cpu().numpy()
        Y = y.toarray() if issparse(y) else np.asarray(y)
        if Y.ndim != 2 or not np.isin(Y, (0, 1)).all():
            raise InvalidInputError(
                "This y must be an indicator matrix of 0 and 1, of shape (n_samples, "
                f"n_labels); got shape {Y.shape}."
            )
        check_consistent_length(X, Y)
        if self._of_indicators and Y.shape[1] != len(self.label_scorers_):
            raise InvalidInputError(
                f"y has {Y.shape[1]} labels where fit saw {len(self.label_scorers_)}."
            )
        names = np.arange(Y.shape[1]) if names is None else np.array(list(names))
        return Y.astype(np.int64), names

    def _joined_names(self):
        """Labels of each training sample as one text, such as ``"fear, joy"``."""
        names = np.array([str(name) for name in self.classes_])
        return [", ".join(names[row]) or "none" for row in self.labels_ == 1]


def holds_indicators(y):
    """Tell whether y says of each of several labels whether a sample has it."""
    return is_multilabel(y.cpu().numpy() if is_tensor(y) else y)
