"""How far a sample moves its own prediction."""

from numbers import Real
from typing import ClassVar

import numpy as np
from sklearn.linear_model import LogisticRegression

from smilearn.baselines._base import LabelScorer
from smilearn.utils._sklearn_compat import Interval, StrOptions


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
        self.inverse_ = _inverse_hessian(rows, self._curvature(rows), penalty)

    def _rows(self, X):
        """Samples centred and scaled, with a 1 behind; (n_samples, n_features + 1)."""
        return np.column_stack([(X - self.centre_) / self.scale_, np.ones(len(X))])

    def _curvature(self, rows):
        """Derivative of predictions by logits, (n_samples, n_outputs, n_outputs)."""
        if self.model_ is None:
            return np.ones((len(rows), 1, 1))
        p = self.model_.predict_proba(rows[:, :-1])
        if p.shape[1] == 2:
            return p.prod(1)[:, None, None]
        return p[:, :, None] * (np.eye(p.shape[1]) - p[:, None, :])

    def _table(self, X):
        rows = self._rows(X)
        curvature, leverage = self._curvature(rows), np.zeros(len(rows))
        for a, b in np.ndindex(curvature.shape[1:]):
            moved = ((rows @ self.inverse_[b, :, a]) * rows).sum(1)
            leverage += curvature[:, a, b] * moved
        return np.tile(-leverage[:, None], len(self.classes_))


def _inverse_hessian(rows, curvature, penalty):
    """Inverse of the second derivatives of the penalized loss, summed over samples."""
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
