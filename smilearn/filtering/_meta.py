"""Meta-estimators that answer as the estimator which they fitted."""

from copy import deepcopy

from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from smilearn.filtering._filter import RiskFilter
from smilearn.utils._documentation import Documented
from smilearn.utils._sklearn_compat import routing_enabled, safe_set_output

_ANSWERS = (
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "transform",
    "inverse_transform",
)


def _has(name):
    """Whether the estimator has a method: the fitted one, if there is one."""
    return lambda self: callable(
        getattr(getattr(self, "estimator_", self.estimator), name)
    )


def _answer(name):
    """A method that asks the fitted estimator."""

    def method(self, X, **params):
        return self._ask(name, X, **params)

    method.__name__ = name
    method.__doc__ = f"""Ask the fitted estimator: its ``{name}``.

        Parameters
        ----------
        X : array-like or sequence of str
            What the estimator takes.

        **params : dict
            What else its ``{name}`` takes; with metadata routing, what it requests.

        Returns
        -------
        answer : object
            What it gives. No sample is left out.
        """
    return available_if(_has(name))(method)


def _attribute(name, doc):
    def get(self):
        return getattr(self.estimator_, name)

    return property(get, doc=doc)


class MetaEstimator(Documented, MetaEstimatorMixin, BaseEstimator):
    """Base of what has an `estimator`, a `filter`, and `estimator_` after `fit`."""

    @available_if(_has("score"))
    def score(self, X, y=None, **params):
        """Ask the fitted estimator: its ``score``.

        Parameters
        ----------
        X : array-like or sequence of str
            What the estimator takes.

        y : array-like of shape (n_samples,), default=None
            Class labels.

        **params : dict
            What else its ``score`` takes; with metadata routing, what it requests.

        Returns
        -------
        score : float
            What it gives. No sample is left out.
        """
        return self._ask("score", X, y, **params)

    @available_if(_has("transform"))
    def fit_transform(self, X, y, **params):
        """Fit to the samples that are kept, and transform all of them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or sequence of str
            As in ``fit``.

        y : array-like of shape (n_samples,)
            Class labels.

        **params : dict
            As in ``fit``.

        Returns
        -------
        X_new : array-like of shape (n_samples, n_features_out)
            All samples, transformed; a pipeline needs a row for each.
        """
        return self.fit(X, y, **params).transform(X)

    def _ask(self, name, X, *y, **params):
        """What a method of the fitted estimator gives."""
        check_is_fitted(self)
        if routing_enabled():
            params = process_routing(self, name, **params).estimator[name]
        return getattr(self.estimator_, name)(X, *y, **params)

    @available_if(_has("score_samples"))
    def score_samples(self, X, y=None):
        """Ask the fitted estimator: its ``score_samples``.

        Parameters
        ----------
        X : array-like or sequence of str
            What the estimator takes.

        y : array-like of shape (n_samples,), default=None
            Labels, if it takes any.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            What it gives. No sample is left out.
        """
        check_is_fitted(self)
        labels = () if y is None else (y,)
        return self.estimator_.score_samples(X, *labels)

    @available_if(_has("transform"))
    def set_output(self, *, transform=None):
        """Choose the container of what the estimator transforms.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            The container; None leaves it as it is.

        Returns
        -------
        self : MetaEstimator
            The estimator.
        """
        for each in (self.estimator, getattr(self, "estimator_", None)):
            if each is not None:
                safe_set_output(each, transform=transform)
        return self

    @available_if(_has("get_feature_names_out"))
    def get_feature_names_out(self, input_features=None):
        """Ask the fitted estimator for the names of what it gives.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of what goes in.

        Returns
        -------
        names : ndarray of str
            Names of what comes out.
        """
        check_is_fitted(self)
        return self.estimator_.get_feature_names_out(input_features)

    classes_ = _attribute("classes_", "Class labels of the fitted estimator.")
    n_features_in_ = _attribute(
        "n_features_in_", "Features that the fitted estimator has seen."
    )
    feature_names_in_ = _attribute("feature_names_in_", "Their names.")

    def get_metadata_routing(self):
        """Say what the estimator and the scorer of the filter request.

        Returns
        -------
        routing : MetadataRouter
            What is requested in `fit` is cut with the samples.
        """
        fit, answers = MethodMapping().add(caller="fit", callee="fit"), MethodMapping()
        for name in ("fit", *_ANSWERS, "score"):
            answers.add(caller=name, callee=name)
        router = MetadataRouter(owner=self)
        router.add(estimator=self.estimator, method_mapping=answers)
        return router.add(filter=self._filter(), method_mapping=fit)

    def _filter(self):
        return RiskFilter() if self.filter is None else self.filter

    def _requested(self, params):
        """What of the parameters of `fit` goes to the estimator, and to the filter."""
        if not routing_enabled():
            return params, {}
        routed = process_routing(self, "fit", **params)
        return routed.estimator.fit, routed.filter.fit

    def __sklearn_tags__(self):
        tags = deepcopy(get_tags(self.estimator))
        tags.target_tags.required = True
        of_filter = get_tags(self._filter()).input_tags
        tags.input_tags.sparse &= of_filter.sparse
        tags.input_tags.allow_nan &= of_filter.allow_nan
        return tags


for _name in _ANSWERS:
    setattr(MetaEstimator, _name, _answer(_name))
