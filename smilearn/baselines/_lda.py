"""Log probability of the label by linear discriminant analysis."""

import warnings
from numbers import Real
from typing import ClassVar

from scipy.special import log_softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from smilearn.baselines._base import COVARIANCE, FOLDS, LabelScorer
from smilearn.baselines._training import checked_logits
from smilearn.utils._sklearn_compat import Interval, StrOptions


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
        "cross_fit": FOLDS,
    }

    _dense_since = COVARIANCE

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
