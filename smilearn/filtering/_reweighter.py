"""Fit an estimator with less weight on the samples at risk."""

from numbers import Real
from typing import ClassVar

import numpy as np
from scipy.special import expit
from sklearn.base import clone

from smilearn.exceptions import InvalidInputError
from smilearn.filtering._filter import RiskFilter
from smilearn.filtering._meta import MetaEstimator
from smilearn.filtering._pipelines import name_of_weights
from smilearn.utils._indexing import check_aligned
from smilearn.utils._sklearn_compat import (
    HasMethods,
    Interval,
    StrOptions,
    fit_context,
)


class RiskReweighter(MetaEstimator):
    """Fit an estimator with less weight on the samples at risk of being memorized.

    The decision of a `RiskFilter` as `sample_weight`, for those who may not drop
    samples. The estimator must take weights.

    Parameters
    ----------
    estimator : estimator
        What is fitted with the weights. May be a pipeline or a search, whose last step
        takes `sample_weight`.

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

    Attributes
    ----------
    weights_ : ndarray of shape (n_samples,)
        Weight of each sample, in [0, 1] but for a function of one's own; without the
        `sample_weight` that was handed in, by which it is multiplied.

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
    }

    def __init__(self, estimator, filter=None, *, weight="soft", softness=1.0):
        self.estimator = estimator
        self.filter = filter
        self.weight = weight
        self.softness = softness

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
            For ``fit`` of the estimator. `sample_weight`, under the name that the
            estimator has for it, is multiplied by the weights.

        Returns
        -------
        self : RiskReweighter
            The fitted estimator.

        Raises
        ------
        InvalidInputError
            If the estimator takes no weights, or a function of one's own gives none.
        """
        name = name_of_weights(self.estimator)
        own = params.get(name)
        if own is None:
            params.pop(name, None)
        check_aligned(X, {name: own})
        _, of_filter = self._requested(params)
        self.filter_ = clone(self._filter())
        if self.weight == "soft":
            self.filter_.set_params(min_per_class=0)
        self.weights_ = self._weights(self.filter_.fit(X, y, **of_filter))
        own = np.asarray(1.0 if own is None else own, dtype=np.float64)
        wanted, _ = self._requested({**params, name: own * self.weights_})
        self.estimator_ = clone(self.estimator).fit(X, y, **wanted)
        return self

    def _weights(self, cleaner):
        """Weight of each sample by the line of a fitted filter; (n_samples,)."""
        if self.weight == "hard":
            return cleaner.support_.astype(np.float64)
        risk = 0.0 - cleaner.scores_
        if callable(self.weight):
            return _checked(self.weight(risk.copy()), len(risk))
        codes = np.searchsorted(cleaner.classes_, cleaner.risk_table_["label"])
        finite, least = risk[np.isfinite(risk)], np.finfo(float).tiny
        low, high = np.percentile(finite, [25, 75]) if len(finite) else (0, 0)
        unit = max(self.softness * (high - low) / 2, least)
        threshold, lowest = cleaner.threshold_[codes], finite.min(initial=0.0)
        threshold = np.where(threshold == -np.inf, lowest, threshold)
        with np.errstate(over="ignore", invalid="ignore"):  # inf - inf: far above
            weights = expit((threshold - risk) / unit)
        return np.fmax(weights, least)


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
