"""Choosing settings without ground truth, and auditing them with it."""

from functools import partial
from numbers import Real

import numpy as np
from sklearn import get_config
from sklearn.metrics import roc_auc_score
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import check_consistent_length

from smilearn.audit._bootstrap import checked_truth
from smilearn.exceptions import InvalidInputError, LowSupportWarning
from smilearn.filtering._pipelines import layers, score_samples
from smilearn.metrics import fpr_at_tpr
from smilearn.utils._sklearn_compat import take
from smilearn.utils._warnings import warn


class MemorizedScorer:
    """Metric of `memorized` and risk; a class, so that a search can be pickled."""

    def __init__(self, metric, greater_is_better, training):
        self._metric = metric
        self._greater_is_better = bool(greater_is_better)
        self._training = bool(training)
        self._request = True

    def __repr__(self):
        metric = getattr(self._metric.func, "__name__", repr(self._metric.func))
        settings = self._metric.keywords | {
            "greater_is_better": self._greater_is_better,
            "training": self._training,
        }
        listed = ", ".join(f"{name}={value!r}" for name, value in settings.items())
        return f"memorized_scorer({metric}, {listed})"

    def __call__(self, estimator, X, y, *, memorized=None):
        memorized = _checked_truth(memorized, y)
        scorer = layers(estimator)[-1]
        if not hasattr(scorer, "score_samples"):
            raise InvalidInputError(
                "The estimator, or the last step of the pipeline, must have "
                f"score_samples(X, y), as SlicedMIScorer has; got {scorer!r}."
            )
        if self._training:
            scores = _training_scores(scorer, y)
        else:
            rows = _rows_of_seen_labels(scorer, y)
            X, y, memorized = take(X, rows), take(y, rows), memorized[rows]
            scores = score_samples(estimator, X, y)
        if memorized.all() or not memorized.any():
            raise InvalidInputError(
                f"The {len(memorized)} samples to score must hold memorized ones and "
                f"others; {memorized.sum()} are memorized. Deal both out to all folds: "
                "cv=list(StratifiedKFold(5).split(X, memorized))."
            )
        value = float(self._metric(memorized, -scores))
        return value if self._greater_is_better else -value

    def set_score_request(self, *, memorized):
        """Ask for `memorized` (True) or not (False), or for it by another name."""
        self._routing_of(memorized)  # raises if it is no such thing
        self._request = memorized
        return self

    def get_metadata_routing(self):
        """What this scorer asks a search for."""
        return self._routing_of(self._request)

    def _routing_of(self, request):
        routing = MetadataRequest(owner=repr(self))
        routing.score.add_request(param="memorized", alias=request)
        return routing


def _checked_truth(memorized, y):
    if memorized is None:
        raise InvalidInputError(
            "memorized is missing: whether each sample is memorized. Hand it to the "
            "search, fit(X, y, memorized=...), or to cross_validate, "
            "params={'memorized': ...}, with enable_metadata_routing=True."
        )
    check_consistent_length(memorized, y)
    return checked_truth(memorized)


def _rows_of_seen_labels(scorer, y):
    seen = np.isin(np.asarray(y), scorer.classes_)
    if not seen.all():
        warn(
            f"{(~seen).sum()} of {len(seen)} samples have labels that were not seen "
            "in fit; they are left out of the audit.",
            LowSupportWarning,
        )
    return np.flatnonzero(seen)


def _training_scores(scorer, y):
    if not np.array_equal(scorer.labels_, np.asarray(y)):
        raise InvalidInputError(
            "training=True judges scores_, so the samples to score must be the "
            f"{len(scorer.labels_)} that were fitted, in their order; got {len(y)}. "
            "Take rows = np.arange(len(y)) and cv=[(rows, rows)]."
        )
    return scorer.scores_


def memorized_scorer(
    metric=roc_auc_score, *, greater_is_better=None, training=False, **settings
):
    """Make a `scoring` that compares risk with the ground truth of an audit.

    It is called with an estimator, `X`, `y` and `memorized`, whether each sample is
    memorized. It asks a search for `memorized` by scikit-learn's metadata routing; the
    request can be changed by its `set_score_request`. In a pipeline the last step
    scores what the steps before it make of `X`.

    Parameters
    ----------
    metric : callable, default=roc_auc_score
        Called with `memorized` and the risk (minus the score, high = at risk), such as
        the functions of :mod:`smilearn.metrics`.

    greater_is_better : bool, default=None
        False turns the sign of the metric, as a search takes the largest score. None
        is False for :func:`~smilearn.metrics.fpr_at_tpr` and True for all others.

    training : bool, default=False
        Whether to judge `scores_`, those of the samples that were fitted, instead of
        scores of the samples that a split has held out. See Notes.

    **settings : dict
        More arguments for the metric, such as ``tpr=0.5``.

    Returns
    -------
    scorer : callable
        Scorer for the `scoring` of `GridSearchCV`, `cross_validate` and their like.

    Raises
    ------
    InvalidInputError
        If metadata routing is off; on call, if `memorized` is missing, is not 0 or 1,
        or holds one kind only, or if the estimator has no `score_samples`.

    Warns
    -----
    LowSupportWarning
        On call, if some samples have labels that were not seen in `fit`; they are left
        out.

    Notes
    -----
    A search turns an error of a scorer into NaN and a warning with the message;
    ``error_score="raise"`` lets it through. Folds that follow `y` may hold no memorized
    sample: take ``cv=list(StratifiedKFold(5).split(X, memorized))``.

    A split judges scores of samples that were not fitted, which is fair to settings
    that learn from labels. With ``training=True`` it is `scores_` that is judged, and
    the samples scored must be those fitted: with ``rows = np.arange(len(y))`` take
    ``cv=[(rows, rows)]``. Either way, the figure of a setting that was chosen with
    the truth is too good; confirm it with a truth of other samples.

    Examples
    --------
    >>> import numpy as np
    >>> import sklearn
    >>> from sklearn.model_selection import StratifiedKFold, cross_val_score
    >>> from smilearn import SlicedMIScorer
    >>> from smilearn.audit import memorized_scorer
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 150)
    >>> X = rng.normal(size=(300, 8)) + 2.0 * y[:, None]
    >>> memorized = np.arange(300) % 10 == 0
    >>> y[memorized] = 1 - y[memorized]  # wrong labels are learnt by heart
    >>> with sklearn.config_context(enable_metadata_routing=True):
    ...     found = cross_val_score(
    ...         SlicedMIScorer(64, random_state=0),
    ...         X,
    ...         y,
    ...         scoring=memorized_scorer(),
    ...         cv=list(StratifiedKFold(3).split(X, memorized)),
    ...         params={"memorized": memorized},
    ...     )
    >>> bool(found.min() > 0.95)
    True
    """
    if not get_config()["enable_metadata_routing"]:
        raise InvalidInputError(
            "memorized_scorer needs scikit-learn's metadata routing, which hands it "
            "`memorized`, and routing is off. Call "
            "sklearn.set_config(enable_metadata_routing=True) first."
        )
    if not callable(metric):
        raise InvalidInputError(
            "metric must be a function of memorized and risk, such as "
            f"smilearn.metrics.tpr_at_fpr; got {metric!r}."
        )
    if greater_is_better is None:
        greater_is_better = metric is not fpr_at_tpr
    return MemorizedScorer(partial(metric, **settings), greater_is_better, training)


def smallest_within(tolerance=0.005, *, parameter="n_slices"):
    """Make a `refit` that takes the cheapest candidate about as good as the best.

    `score` grows with the number of slices and then stays flat; what is beyond is time
    for nothing.

    Parameters
    ----------
    tolerance : float, default=0.005
        How far below the best mean test score a candidate may lie, in its unit: nats
        for `score` of :class:`~smilearn.SlicedMIScorer`.

    parameter : str, default="n_slices"
        Parameter whose smallest value is wanted. The name of a step may stand before
        it (``"scorer__n_slices"``); without one, any step's parameter of that name is
        meant. Ties go to the better score.

    Returns
    -------
    refit : callable
        From `cv_results_` to the index of the candidate.

    Raises
    ------
    InvalidInputError
        If `tolerance` is negative or no number; on refit, if no score is finite or if
        not exactly one parameter has the name.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV, StratifiedKFold
    >>> from smilearn import SlicedMIScorer
    >>> from smilearn.audit import smallest_within
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 150)
    >>> X = rng.normal(size=(300, 8)) + y[:, None]
    >>> search = GridSearchCV(
    ...     SlicedMIScorer(random_state=0),
    ...     {"n_slices": [4, 16, 64, 256]},
    ...     cv=StratifiedKFold(3),
    ...     refit=smallest_within(0.01),
    ... ).fit(X, y)
    >>> search.best_params_["n_slices"] < 256
    True
    """
    if not (isinstance(tolerance, Real) and tolerance >= 0):
        raise InvalidInputError(
            f"tolerance must be a number that is not negative; got {tolerance!r}."
        )
    return partial(_smallest_within, tolerance=tolerance, parameter=parameter)


def _smallest_within(cv_results, tolerance, parameter):
    """Index of the candidate; a function of the module, so that it can be pickled."""
    score = np.asarray(cv_results["mean_test_score"], float)
    if not np.isfinite(score).any():
        raise InvalidInputError(
            "No candidate has a finite mean test score; look at the warnings of "
            "the search, or pass error_score='raise' to it."
        )
    names = [n.removeprefix("param_") for n in cv_results if n.startswith("param_")]
    matches = [n for n in names if n == parameter or n.endswith(f"__{parameter}")]
    if len(matches) != 1:
        raise InvalidInputError(
            f"Exactly one searched parameter must be named {parameter!r}; the search "
            f"is over {sorted(names)}."
        )
    values = list(cv_results[f"param_{matches[0]}"])
    if not all(isinstance(value, Real) for value in values):
        raise InvalidInputError(
            f"{parameter!r} must be a number in every candidate; got "
            f"{sorted({str(value) for value in values})}."
        )
    size = np.asarray(values, float)
    eligible = np.flatnonzero(score >= np.nanmax(score) - tolerance)
    return int(eligible[np.lexsort((-score[eligible], size[eligible]))[0]])
