"""Fit an estimator with less weight on the samples at risk."""

from numbers import Real
from typing import ClassVar

import numpy as np
from scipy.special import expit
from sklearn.base import clone
from sklearn.model_selection._search import BaseSearchCV

from smilearn.exceptions import InvalidInputError
from smilearn.filtering._filter import RiskFilter
from smilearn.filtering._meta import MetaEstimator
from smilearn.filtering._pipelines import fit_parameter, layers, refuse_private, takes
from smilearn.utils._indexing import check_aligned, is_aligned, take_samples
from smilearn.utils._labels import one_label_each
from smilearn.utils._sklearn_compat import HasMethods, Interval, StrOptions, fit_context

_PARAMETERS = {  # of `fit`, for what a weight acts on
    "loss": "sample_weight",
    "label": "soft_labels",
    "gradient": "clip",
    "passes": "passes",
}
_LEAST = 0.01  # probability of a class that is worth a row


class RiskReweighter(MetaEstimator):
    """Fit an estimator with less weight on the samples at risk of being memorized.

    The decision of a `RiskFilter` as weights, for those who may not drop samples.

    Parameters
    ----------
    estimator : estimator
        What is fitted with the weights. May be a pipeline or a search, whose last step
        takes what `on` needs.

    filter : RiskFilter, default=None
        Says where the line is. None is ``RiskFilter()``.

    weight : {"soft", "hard"} or callable, default="soft"
        "hard": 1 for samples that the filter keeps, 0 for the others. "soft": falls
        with the risk, 1 far below the line, a half on it, 0 far above it; never 0, so
        `min_per_class` has no part in it. A function of the risks in nats, high = at
        risk, of shape (n_samples,), that gives as many weights of 0 or more.

    softness : float, default=1.0
        Of "soft": the weight is ``1 / (1 + exp((risk - line) / unit))``, where the unit
        is `softness` times half the interquartile range of the risks.

    on : {"loss", "label", "gradient", "passes"}, default="loss"
        What a weight acts on. "loss": it is the `sample_weight`. "label": the share of
        the label in what a sample is trained towards; the rest is the probability of
        the classes by all other samples. An estimator without `soft_labels` is given
        each sample once a class, weighted; steps of a pipeline before it count such a
        sample twice.
        "gradient", for `FineTunedClassifier`: the norm of the gradient of a sample is
        clipped to ``weight / (1 - weight)`` times the median of its batch: only those
        near the line, and above it, are. "passes", for `FineTunedClassifier`: the share
        of epochs in which a sample is trained on.

    Attributes
    ----------
    weights_ : ndarray of shape (n_samples,)
        Weight of each sample, in [0, 1] but for a function of one's own with
        ``on="loss"``; without the `sample_weight` that was handed in.

    soft_labels_ : ndarray of shape (n_samples, n_classes)
        For ``on="label"``: what each sample is trained towards; rows sum to 1.

    estimator_ : estimator
        The fitted estimator.

    filter_ : RiskFilter
        The fitted filter.

    classes_ : ndarray of shape (n_classes,)
        Class labels of the fitted estimator.

    n_features_in_, feature_names_in_ : int, ndarray of shape (n_features,)
        Features of the fitted estimator, and their names, where there are any.

    Notes
    -----
    Weights are not put to a mean of 1: an estimator with regularization is regularized
    as one that was fitted to that many samples.

    Probabilities of other classes are those of the risk table: that of the label is
    known, the rest goes to `most_likely_label`, or evenly to the other classes where
    that is the label itself. Less than 1 % for a class goes back to the label.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from smilearn import RiskFilter, RiskReweighter, SlicedMIScorer
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 50)
    >>> X = rng.normal(size=(100, 8)) + y[:, None]
    >>> y[0] = 1  # a wrong label
    >>> cleaner = RiskFilter(SlicedMIScorer(64, random_state=0), share=0.1)
    >>> model = RiskReweighter(LogisticRegression(), cleaner).fit(X, y)
    >>> bool(model.weights_[0] < 0.1), bool(np.median(model.weights_) > 0.9)
    (True, True)
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods("fit")],
        "filter": [RiskFilter, None],
        "weight": [StrOptions({"soft", "hard"}), callable],
        "softness": [Interval(Real, 0, None, closed="neither")],
        "on": [StrOptions(set(_PARAMETERS))],
    }

    def __init__(
        self, estimator, filter=None, *, weight="soft", softness=1.0, on="loss"
    ):
        self.estimator = estimator
        self.filter = filter
        self.weight = weight
        self.softness = softness
        self.on = on

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, **params):
        """Weight the samples, and fit the estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or sequence of str
            What both the filter and the estimator take.

        y : array-like of shape (n_samples,)
            Class labels.

        **params : dict
            For ``fit`` of the estimator. With ``on="loss"``, `sample_weight`, under the
            name that the estimator has for it, is multiplied by the weights.

        Returns
        -------
        self : RiskReweighter
            The fitted estimator.

        Raises
        ------
        InvalidInputError
            If the estimator does not take what `on` needs, a function of one's own
            gives no weights, or the filter knows no probabilities for ``on="label"``.
        """
        refuse_private(self.estimator)
        repeats = self.on == "label" and not takes(self.estimator, "soft_labels")
        if repeats and any(isinstance(e, BaseSearchCV) for e in layers(self.estimator)):
            raise InvalidInputError(
                'on="label" gives a sample once a class, and a search inside would put '
                "its copies in several folds; put the search around the RiskReweighter."
            )
        needed = "sample_weight" if repeats else _PARAMETERS[self.on]
        name = fit_parameter(self.estimator, needed)
        params = {key: each for key, each in params.items() if each is not None}
        check_aligned(X, {name: params.get(name)})
        if name in params and not (self.on == "loss" or repeats):
            raise InvalidInputError(
                f'on="{self.on}" makes {name}; leave it out of fit.'
            )
        _, of_filter = self._requested(params)
        self.filter_ = clone(self._filter())
        if self.weight == "soft":
            self.filter_.set_params(min_per_class=0)
        self.filter_.fit(X, y, **of_filter)
        codes = np.searchsorted(self.filter_.classes_, one_label_each(y, "fit"))
        self.weights_ = weights = self._weights(self.filter_, codes)
        if self.on != "loss" and not (weights <= 1).all():
            raise InvalidInputError(
                f'on="{self.on}" needs weights in [0, 1]; got up to {weights.max()}.'
            )
        if self.on == "label":
            self.soft_labels_ = _soft_labels(self.filter_, codes, weights)
        if self.on == "loss" or repeats:
            own = np.asarray(params.get(name, np.ones(len(weights))), np.float64)
        if repeats:
            rows, columns = self.soft_labels_.nonzero()
            params = {
                key: take_samples(each, rows) if is_aligned(each, len(own)) else each
                for key, each in params.items()
            }
            X, y = take_samples(X, rows), self.filter_.classes_[columns]
            given = own[rows] * self.soft_labels_[rows, columns]
        elif self.on == "label":
            given = self.soft_labels_
        elif self.on == "gradient":
            with np.errstate(divide="ignore"):
                given = weights / (1 - weights)
        else:
            given = own * weights if self.on == "loss" else weights
        wanted, _ = self._requested({**params, name: given})
        self.estimator_ = clone(self.estimator).fit(X, y, **wanted)
        return self

    def _weights(self, cleaner, codes):
        """Weight of each sample by the line of a fitted filter; (n_samples,)."""
        if self.weight == "hard":
            return cleaner.support_.astype(np.float64)
        risk = 0.0 - cleaner.scores_
        if callable(self.weight):
            return _checked(self.weight(risk.copy()), len(risk))
        finite, least = risk[np.isfinite(risk)], np.finfo(float).tiny
        low, high = np.percentile(finite, [25, 75]) if len(finite) else (0, 0)
        unit = max(self.softness * (high - low) / 2, least)
        threshold, lowest = cleaner.threshold_[codes], finite.min(initial=0.0)
        threshold = np.where(threshold == -np.inf, lowest, threshold)
        with np.errstate(over="ignore", invalid="ignore"):  # inf - inf: far above
            weights = expit((threshold - risk) / unit)
        return np.fmax(weights, least)


def _soft_labels(cleaner, codes, weights):
    """Labels, as far as their weights go, and what all other samples say; (n, K)."""
    frame, n_classes = cleaner.risk_table_.frame, len(cleaner.classes_)
    if "probability" not in frame.columns:
        raise InvalidInputError(
            'on="label" needs probabilities of the labels; the filter knows none. Use '
            "SlicedMIScorer, or a risk table with probabilities."
        )
    rows = np.arange(len(codes))
    rest = (1 - weights) * (1 - frame["probability"].to_numpy())
    soft = np.repeat(rest[:, None] / (n_classes - 1), n_classes, axis=1)
    if "most_likely_label" in frame.columns:
        code_of = dict(zip(frame["label"], codes.tolist(), strict=True))
        pairs = zip(frame["most_likely_label"], codes, strict=True)
        likely = np.array([code_of.get(label, own) for label, own in pairs])
        other = likely != codes
        soft[other] = 0.0
        soft[rows[other], likely[other]] = rest[other]
    soft[rows, codes] = 0.0
    soft[soft < _LEAST] = 0.0
    soft[rows, codes] = 1 - soft.sum(1)
    return soft


def _checked(weights, n_samples):
    """Weights of a user's own function, or an error."""
    weights = np.asarray(weights, dtype=np.float64)
    for wrong, got in (
        (weights.shape != (n_samples,), f"shape {weights.shape}"),
        (not (weights >= 0).all(), "negative ones or NaN"),
        (np.isinf(weights).any(), "infinity"),
    ):
        if wrong:
            raise InvalidInputError(
                f"weight must give {n_samples} finite weights of 0 or more, one a "
                f"sample; got {got}."
            )
    return weights
