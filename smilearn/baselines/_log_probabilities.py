"""What a classifier says of each class, as exactly as it can."""

import numpy as np
from scipy.special import log_softmax

from smilearn.exceptions import InvalidInputError
from smilearn.utils._containers import take_samples

_TRIED = 64  # samples on which a decision function is compared with probabilities
_ALIKE = 1e-5  # how far its softmax may be from them


def log_probabilities(model, X, classes):
    """Log probability of each class, as exact as the model lets it be known."""
    known = getattr(model, "classes_", classes)
    if not np.array_equal(known, classes):
        raise InvalidInputError(
            f"{type(model).__name__} must know the classes {classes.tolist()}, in this "
            f"order; its classes_ are {np.asarray(known).tolist()}."
        )
    table = _from_decisions(model, X, len(classes))
    if table is None and hasattr(model, "predict_log_proba"):
        with np.errstate(divide="ignore"):
            table = np.array(model.predict_log_proba(X), np.float64)
    elif table is None:
        with np.errstate(divide="ignore"):
            table = np.log(np.asarray(model.predict_proba(X), np.float64))
    if table.ndim != 2 or table.shape[1] != len(classes) or np.isnan(table).any():
        raise InvalidInputError(
            f"{type(model).__name__} must give a probability for each of "
            f"{len(classes)} classes; got shape {table.shape}, with "
            f"{np.isnan(table).sum()} NaN."
        )
    return table


def _from_decisions(model, X, n_classes):
    """Log probabilities from a decision function, or None where it does not serve."""
    if not hasattr(model, "decision_function"):
        return None
    few = np.unique(np.linspace(0, _length(X) - 1, _TRIED).astype(int))
    some = take_samples(X, few)
    tried = _softmax_of(model, some, n_classes)
    if tried is None:
        return None
    apart = np.abs(np.exp(tried) - np.asarray(model.predict_proba(some), np.float64))
    return _softmax_of(model, X, n_classes) if apart.max() <= _ALIKE else None


def _softmax_of(model, X, n_classes):
    decisions = np.asarray(model.decision_function(X), np.float64)
    if decisions.ndim == 1 and n_classes == 2:
        decisions = np.stack([np.zeros(len(decisions)), decisions], 1)
    if decisions.ndim != 2 or decisions.shape[1] != n_classes:
        return None
    return log_softmax(decisions, axis=1) if np.isfinite(decisions).all() else None


def _length(X):
    return X.shape[0] if hasattr(X, "shape") else len(X)
