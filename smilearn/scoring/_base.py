"""What all scorers of training samples have in common."""

import numpy as np
from sklearn.utils.validation import _num_samples, check_is_fitted

from smilearn.exceptions import InvalidInputError
from smilearn.tables._risk_table import RiskTable
from smilearn.utils._documentation import Documented
from smilearn.utils._indexing import index_of


class RiskScorer(Documented):
    """A scorer of labelled samples; low = at risk.

    A subclass has `fit`, which sets `scores_` (n_samples,), `labels_` and `offset_`;
    and `score_samples(X, y=None)` for new samples. Where `fit` sets `probability_`,
    `psmi_`, `scores_std_` or `likely_labels_`, tables show them. `_log_probability(X)`
    gives the log probability of each label, (n_samples, n_classes).
    """

    def predict_proba(self, X):
        """Probability of each label.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.

        Returns
        -------
        probability : ndarray of shape (n_samples, n_classes)
            One column for each of `classes_`. Where samples have several labels, the
            probability that each is present; else rows sum to 1. With ``pooled=False``
            the mean log density over the slices stands for that of the sample.
        """
        check_is_fitted(self)
        return np.exp(self._log_probability(X))

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
        """Put the scores of the training samples in a table.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), default=None
            The training samples, of which only the index of a frame is used.

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
        n_samples = len(self.scores_)
        if X is not None and _num_samples(X) != n_samples:
            raise InvalidInputError(
                f"X must be the {n_samples} training samples; got {_num_samples(X)}. "
                "For new samples use score_samples(X, y)."
            )
        for each in (texts, X):
            ids = index_of(each) if ids is None else ids
        labels, columns = self._label_names(), table_columns(self)
        return RiskTable(self.scores_, labels, text=texts, id=ids, **columns)

    def _label_names(self):
        """Label of each training sample, as a table shows it."""
        return self.labels_


def table_columns(scorer):
    """Columns of a risk table that a fitted scorer has; None for those it lacks."""
    columns = {
        "probability": "probability_",
        "psmi": "psmi_",
        "std": "scores_std_",
        "most_likely_label": "likely_labels_",
    }
    return {name: getattr(scorer, its, None) for name, its in columns.items()}
