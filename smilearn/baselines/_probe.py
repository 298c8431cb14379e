"""Scores of a label by a classifier of the features, in folds."""

from typing import ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilearn.baselines._base import FOLDS, LabelScorer
from smilearn.baselines._training import (
    FORMULAS,
    checked_logits,
    decisions_of,
    from_decisions,
    log_probabilities,
    log_probabilities_as_told,
)
from smilearn.exceptions import InvalidInputError
from smilearn.utils._sklearn_compat import HasMethods, StrOptions

_LOG_ZERO = np.log(5e-324)  # what a probability of 0 is taken as: the least above it
_TRIED = 256  # training samples on which it is seen how a classifier answers
_RANKED = 0.75  # share of them that must be predicted as their largest decision


class ProbeScorer(LabelScorer):
    """What a cheap classifier of the features makes of the label.

    A probe is fitted in folds and asked about samples that it has not seen. Of these
    out-of-fold probabilities, ``kind="loss"`` is the log of what confident learning
    calls *self-confidence*, its usual score of a label: the ranking is the same.

    Parameters
    ----------
    estimator : classifier, default=None
        Has `predict_proba`, or for "margin" alone a `decision_function` of one column a
        class. None is logistic regression of standardized features, those of sparse X
        not centred. X may be sparse where the classifier takes it so.

    kind : {"margin", "loss", "el2n", "entropy"}, default="margin"
        Formulas as in :func:`logit_scores`, of log probabilities, or of decisions where
        there are no probabilities.

        - "margin": logit gap, log probability of the label minus the largest other one.
          The *normalized margin* of confident learning is the difference of the two
          probabilities themselves; with two classes it ranks alike.
        - "loss": log of *self-confidence*, minus the held-out cross-entropy.
        - "el2n": minus the *error L2 norm*, of probabilities minus one-hot label.
        - "entropy": minus the *predictive entropy* of uncertainty sampling. It does not
          look at the label, and is not confidence-weighted.

    cross_fit : int or None, default=5
        As for :class:`MahalanobisScorer`; None is how well the probe has learnt a
        sample.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Of the training samples; low = at risk.

    classes_ : ndarray of shape (n_classes,)
        Labels seen in :meth:`fit`, sorted.

    model_ : classifier
        Fitted to all samples and the places of their labels.

    by_decisions_ : bool
        Whether scores are made from `decision_function` of `model_`: where its softmax,
        or with two classes the logistic function, is `predict_proba`, as it is more
        exact near 0 and 1, and where there are no probabilities.

    n_features_in_, feature_names_in_ : int, ndarray of shape (n_features,)
        Features seen in :meth:`fit`, and their names, where all are strings.

    Examples
    --------
    >>> import numpy as np
    >>> from smilearn.baselines import ProbeScorer
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["ham", "spam"], 50)
    >>> X = rng.normal(size=(100, 4)) + 2.0 * (y == "spam")[:, None]
    >>> y[0] = "spam"  # a wrong label
    >>> int(ProbeScorer().fit(X, y).scores_.argmin())
    0
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [
            HasMethods(["fit", "decision_function"]),
            HasMethods(["fit", "predict_proba"]),
            None,
        ],
        "kind": [StrOptions(set(FORMULAS))],
        "cross_fit": FOLDS,
    }

    def __init__(self, estimator=None, *, kind="margin", cross_fit=5):
        self.estimator = estimator
        self.kind = kind
        self.cross_fit = cross_fit

    def _learn(self, X, codes):
        scaler = StandardScaler(with_mean=not issparse(X))
        plain = make_pipeline(scaler, LogisticRegression(max_iter=1000))
        model = plain if self.estimator is None else clone(self.estimator)
        self.model_ = model.fit(X, codes)
        self._kind = self.kind
        rows = np.unique(np.linspace(0, len(codes) - 1, _TRIED).astype(int))
        self.by_decisions_ = self._asks_decisions(X[rows], codes.max() + 1)

    def _asks_decisions(self, X, n_classes):
        """Find out once what to ask: another batch must not change the meaning."""
        if not hasattr(self.model_, "predict_proba"):
            self._check_decisions(X, n_classes)
            return True
        log_probabilities(self.model_, X, np.arange(n_classes))  # refuses what is none
        return from_decisions(self.model_, X, n_classes) is not None

    def _check_decisions(self, X, n_classes):
        name = type(self.model_).__name__
        if self.kind != "margin":
            raise InvalidInputError(
                f'kind="{self.kind}" is made of probabilities, and {name} has no '
                "predict_proba. Wrap it in sklearn.calibration.CalibratedClassifierCV, "
                'or take kind="margin", of its decision function.'
            )
        decisions = decisions_of(self.model_, X)
        ranked = decisions.shape == (X.shape[0], n_classes)
        if n_classes > 2 and ranked:
            agree = decisions.argmax(1) == self.model_.predict(X)
            ranked = agree.mean() >= _RANKED and not _declared_by_pairs(self.model_)
        if not ranked:
            raise InvalidInputError(
                f"The decision function of {name} must have one column for each of the "
                f"{n_classes} classes, the largest for the class that it predicts; got "
                f"shape {decisions.shape} with other columns, such as one a pair of "
                'classes ("ovo"). Set decision_function_shape="ovr", or give a '
                "classifier with predict_proba."
            )

    def _table(self, X):
        if self.by_decisions_:
            logits = self.model_.decision_function(X)
        else:
            logits = log_probabilities_as_told(self.model_, X)
            logits = np.where(np.isneginf(logits), _LOG_ZERO, logits)
        logits, formula = checked_logits(logits), FORMULAS[self._kind]
        labels = range(logits.shape[1])
        return np.stack([formula(logits, np.full(len(logits), c)) for c in labels], 1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = getattr(self.estimator, "__sklearn_tags__", None)
        tags.input_tags.sparse = inner is None or inner().input_tags.sparse
        return tags


def _declared_by_pairs(model):
    """Whether a classifier says of itself that it decides between pairs."""
    parameters = getattr(model, "best_estimator_", model).get_params(deep=True)
    return any(
        name.rpartition("__")[2] == "decision_function_shape" and value == "ovo"
        for name, value in parameters.items()
    )
