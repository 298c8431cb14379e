"""Scores of samples with their labels through a whole pipeline."""

import inspect

from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils.metadata_routing import get_routing_for_object

from smilearn.exceptions import InvalidInputError
from smilearn.utils._sklearn_compat import routing_enabled


def score_samples(estimator, X, y=None):
    """Score labelled samples through a fitted pipeline or search; low = at risk.

    `Pipeline.score_samples` and `GridSearchCV.score_samples` take no labels, without
    which the score of a sample is that of the label which fits it best.

    Parameters
    ----------
    estimator : estimator
        Fitted. A scorer; a pipeline that ends in one; a search, whose best estimator is
        taken; a frozen or filtered estimator; or what these wrap in one another.
        Samplers of a pipeline let samples pass.

    X : array-like or sequence of str
        What the estimator takes.

    y : array-like of shape (n_samples,), default=None
        Label of each sample. None scores each sample under the label that fits it best.

    Returns
    -------
    scores : ndarray of shape (n_samples,)
        In the unit of the scorer. Training samples are *not* left out of what was
        fitted; their own scores are in `scores_` of the scorer.

    Raises
    ------
    InvalidInputError
        If the last step does not score samples, or takes no labels.

    sklearn.exceptions.NotFittedError
        If something is not fitted.

    Examples
    --------
    >>> import numpy as np
    >>> import smilearn
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 50)
    >>> X = rng.normal(size=(100, 8)) + 2.0 * y[:, None]
    >>> scorer = smilearn.SlicedMIScorer(64, random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), scorer).fit(X, y)
    >>> right = smilearn.score_samples(pipeline, X, y)
    >>> wrong = smilearn.score_samples(pipeline, X, 1 - y)
    >>> bool((right > wrong).mean() > 0.9)
    True
    """
    *around, last = layers(estimator)
    for _, step in (
        step for each in around for step in getattr(each, "steps", ())[:-1]
    ):
        acts = step is not None and step != "passthrough"
        if acts and (hasattr(step, "transform") or not hasattr(step, "fit_resample")):
            X = step.transform(X)
    name = type(last).__name__
    if not hasattr(last, "score_samples"):
        raise InvalidInputError(
            f"score_samples needs an estimator that ends in a scorer such as "
            f"SlicedMIScorer; got one that ends in {name}, which has no score_samples."
        )
    if y is None:
        return last.score_samples(X)
    if len(inspect.signature(last.score_samples).parameters) < 2:
        raise InvalidInputError(
            f"{name}.score_samples takes no labels; leave out y, or end the pipeline "
            "in a scorer that does."
        )
    return last.score_samples(X, y)


def layers(estimator):
    """Go from a pipeline, search, frozen or filtered estimator to what is inside."""
    inside = [estimator]
    while True:
        last = inside[-1]
        if hasattr(last, "steps"):
            inside.append(last.steps[-1][1])
        elif isinstance(last, FrozenEstimator):
            inside.append(last.estimator)
        elif isinstance(last, BaseSearchCV):
            inside.append(getattr(last, "best_estimator_", last.estimator))
        elif hasattr(last, "estimator") and hasattr(last, "filter"):
            inside.append(getattr(last, "estimator_", last.estimator))
        else:
            return inside


def scored(scorer, name):
    """The last step of a fitted scorer, which must have `scores_`."""
    last = layers(scorer)[-1]
    if not hasattr(last, "scores_"):
        raise InvalidInputError(
            f"{name} must have scores_ after fit, one for each training sample; "
            f"{type(last).__name__} has none. Give a scorer such as SlicedMIScorer, or "
            "a pipeline that ends in one."
        )
    return last


def fit_parameter(estimator, name="sample_weight"):
    """Name under which `fit` takes a parameter, such as ``svc__sample_weight``."""
    if routing_enabled():
        routing = get_routing_for_object(estimator)
        if not routing.consumes("fit", [name]):
            raise InvalidInputError(
                f"The estimator does not request {name} under this name; call "
                f"set_fit_request({name}=True) of it or of its last step."
            )
        return name
    inside = layers(estimator)
    if not takes(inside[-1], name):
        raise InvalidInputError(
            f"{type(inside[-1]).__name__}.fit takes no {name}. Use an estimator that "
            "takes it, or go without."
        )
    prefix = [f"{each.steps[-1][0]}__" for each in inside if hasattr(each, "steps")]
    return "".join(prefix) + name


def refuse_private(estimator):
    """Refuse to make weights or a filter of data whose model is to be private."""
    if getattr(layers(estimator)[-1], "privacy", None) is not None:
        raise InvalidInputError(
            "Which samples are risky is read from all of them, without noise: no "
            "guarantee of privacy is left. Fit the private estimator without a filter."
        )


def takes(estimator, name):
    """Whether the `fit` of an estimator, or of what is inside it, has a parameter."""
    parameters = inspect.signature(layers(estimator)[-1].fit).parameters
    by_name = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return name in parameters or (by_name and name == "sample_weight")
