"""A scorer that asks for the ground truth of an audit."""

import warnings

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import check_consistent_length

from smilearn.exceptions import InvalidInputError, LowSupportWarning
from smilearn.utils._sklearn_compat import take


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
        told = ", ".join(f"{name}={value!r}" for name, value in settings.items())
        return f"memorized_scorer({metric}, {told})"

    def __call__(self, estimator, X, y, *, memorized=None):
        memorized = _checked_truth(memorized, y)
        estimator, X = _unwrapped(estimator, X)
        if self._training:
            scores = _training_scores(estimator, y)
        else:
            known = _seen(estimator, y)
            X, y, memorized = take(X, known), take(y, known), memorized[known]
            scores = estimator.score_samples(X, y)
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
    memorized = column_or_1d(memorized)
    check_consistent_length(memorized, y)
    if not np.isin(memorized, (0, 1)).all():
        raise InvalidInputError(
            "memorized must be 0 or 1; got "
            f"{sorted({str(value) for value in memorized})[:5]}."
        )
    return memorized.astype(bool)


def _unwrapped(estimator, X):
    """What scores, and samples as it gets them."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "steps"):
            *steps, (_, estimator) = estimator.steps
            for _, step in steps:
                X = step.transform(X) if hasattr(step, "transform") else X
        else:
            break
    if not hasattr(estimator, "score_samples"):
        raise InvalidInputError(
            "The estimator, or the last step of the pipeline, must have "
            f"score_samples(X, y), as SlicedMIScorer has; got {estimator!r}."
        )
    return estimator, X


def _seen(estimator, y):
    """Rows whose labels were seen in fit."""
    known = np.isin(np.asarray(y), estimator.classes_)
    if not known.all():
        warnings.warn(
            f"{(~known).sum()} of {len(known)} samples have labels that were not seen "
            "in fit; they are left out of the audit.",
            LowSupportWarning,
            stacklevel=3,
        )
    return np.flatnonzero(known)


def _training_scores(estimator, y):
    if not np.array_equal(estimator.labels_, np.asarray(y)):
        raise InvalidInputError(
            "training=True judges scores_, so the samples to score must be the "
            f"{len(estimator.labels_)} that were fitted, in their order; got {len(y)}. "
            "Take rows = np.arange(len(y)) and cv=[(rows, rows)]."
        )
    return estimator.scores_
