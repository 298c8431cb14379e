"""What a fitted scorer answers about samples."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from smilearn.exceptions import InvalidInputError
from smilearn.metrics import label_contrast
from smilearn.scoring._fitted import FittedSlices
from smilearn.scoring._staging import SliceStaging
from smilearn.tables._risk_table import RiskTable


class SliceScoring(SliceStaging, FittedSlices):
    """Methods of a scorer whose slices are fitted; expects its fitted attributes."""

    def score_samples(self, X, y=None):
        """Score samples with the fitted slices; low = at risk.

        Training samples scored here are *not* left out of the moments: their own
        scores are in `scores_`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.

        y : array-like of shape (n_samples,), default=None
            Label of each sample, among `classes_`. None scores each sample under the
            label that fits it best: the largest column of :meth:`score_table`.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            PSMI in nats, at most ``-log(share of the class)`` but for a mixture.

        Raises
        ------
        ValueError
            If `y` holds a label that was not seen in :meth:`fit`.
        """
        check_is_fitted(self)
        if self._of_indicators:
            return self._indicator_table(X, y).mean(1)
        if y is None:
            return self.score_table(X).max(1)
        X, y = self._validated(X, y)
        return self._score(X, [self._encode(y)])[:, 0]

    def score_table(self, X):
        """Score each sample under each label.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.

        Returns
        -------
        table : ndarray of shape (n_samples, n_classes)
            PSMI in nats, one column for each of `classes_`: where samples have several
            labels, as if each were present.
        """
        check_is_fitted(self)
        if self._of_indicators:
            X = self._validated(X)
            return self._indicator_table(X, np.ones((X.shape[0], len(self.classes_))))
        X = self._validated(X)
        labels = range(len(self.classes_))
        return self._score(X, [np.full(X.shape[0], label) for label in labels])

    def decision_function(self, X, target=None):
        """Score minus `offset_`; negative = at risk.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.

        target : array-like of shape (n_samples,), default=None
            Label of each sample; None as in :meth:`score_samples`. By this name a
            pipeline can hand it over through metadata routing.

        Returns
        -------
        decision : ndarray of shape (n_samples,)
            In nats.
        """
        return self.score_samples(X, target) - self.offset_

    def predict(self, X, target=None):
        """Tell the samples at risk from the others.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.

        target : array-like of shape (n_samples,), default=None
            Label of each sample; None as in :meth:`score_samples`.

        Returns
        -------
        flags : ndarray of shape (n_samples,)
            -1 for a sample at risk, +1 for the others.
        """
        return np.where(self.decision_function(X, target) < 0, -1, 1)

    def score(self, X, y, sample_weight=None):
        """Label contrast: how well the slices tell labels apart; needs no truth.

        The share of (sample, wrong label) pairs in which the sample's own label scores
        higher than the wrong one, ties counting half. On samples that were not fitted,
        it is a fair guide to the better setting.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings, best of samples that were not fitted.

        y : array-like of shape (n_samples,)
            Their labels, among `classes_`.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample; None weighs all alike.

        Returns
        -------
        contrast : float
            In [0, 1]; 0.5 is chance, higher is better.

        Raises
        ------
        ValueError
            If no sample has a label that was seen in :meth:`fit`.

        Warns
        -----
        LowSupportWarning
            If some samples have labels that were not seen, as happens to classes of
            one in cross-validation; they are left out.
        """
        check_is_fitted(self)
        if self._of_indicators:
            return self._indicator_contrast(X, y, sample_weight)
        X, codes, weight = self._to_compare(X, y, sample_weight)
        return label_contrast(self.score_table(X), codes, weight)

    def fit_predict(self, X, y, sample_weight=None):
        """Fit, and tell the training samples at risk from the others.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.

        y : array-like of shape (n_samples,)
            Class labels.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample, as in :meth:`fit`.

        Returns
        -------
        flags : ndarray of shape (n_samples,)
            -1 where `scores_` is below `offset_`, else +1.
        """
        self.fit(X, y, sample_weight)
        return np.where(self.scores_ < self.offset_, -1, 1)

    def to_table(self, X=None, *, texts=None, ids=None):
        """Put the scores of the training samples in a table, riskiest last to first.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), default=None
            The training embeddings. When given, the table also names the label that
            fits each sample best (but where samples have several labels).

        texts : sequence of str, default=None
            Text of each sample.

        ids : sequence, default=None
            Name of each sample. None takes the index of `texts` or of `X` where they
            are of pandas, and else numbers them from 0.

        Returns
        -------
        table : RiskTable
            One row a sample, in the order of the training data.
        """
        check_is_fitted(self)
        if not hasattr(self, "scores_"):
            raise InvalidInputError(
                "There are no scores_ to put in a table after partial_fit, which keeps "
                "no samples. Use score_training_samples(X, y) and RiskTable."
            )
        most_likely, labels = None, self.labels_
        ids = _pandas_index(texts, X) if ids is None else ids
        if self._of_indicators:
            X, labels = None, self._joined_names()
        if X is not None:
            columns = self.score_table(X)
            if len(columns) != len(self.scores_):
                raise InvalidInputError(
                    f"X must be the {len(self.scores_)} training samples; got "
                    f"{len(columns)}. For new samples use score_samples(X, y)."
                )
            own = np.searchsorted(self.classes_, self.labels_)
            columns[np.arange(len(own)), own] = self.scores_
            most_likely = self.classes_[columns.argmax(1)]
        return RiskTable(
            psmi=self.scores_,
            label=labels,
            std=self.scores_std_,
            most_likely_label=most_likely,
            text=texts,
            id=ids,
        )


def _pandas_index(*given):
    """Index of the first pandas object; None where there is none."""
    for each in given:
        if type(each).__module__.partition(".")[0] == "pandas":
            return each.index
    return None
