"""What a fitted classifier answers: log probabilities, as exact as can be known."""

import numpy as np
from scipy.special import log_softmax

from smilearn.exceptions import InvalidInputError
from smilearn.utils._indexing import take_samples

_TRIED = 64  # samples on which a decision function is compared with probabilities

_ALIKE = 1e-5  # how far its softmax may be from them


def log_probabilities(model, X, classes):
    """Log probability of each class, as exact as the model lets it be known."""
    seen = getattr(model, "classes_", classes)
    if not np.array_equal(seen, classes):
        raise InvalidInputError(
            f"{type(model).__name__} must know the classes {classes.tolist()}, in this "
            f"order; its classes_ are {np.asarray(seen).tolist()}."
        )
    table = from_decisions(model, X, len(classes))
    if table is None:
        table = log_probabilities_as_told(model, X)
    if table.ndim != 2 or table.shape[1] != len(classes) or np.isnan(table).any():
        raise InvalidInputError(
            f"{type(model).__name__} must give a probability for each of "
            f"{len(classes)} classes; got shape {table.shape}, with "
            f"{np.isnan(table).sum()} NaN."
        )
    return table


def log_probabilities_as_told(model, X):
    """Log of what a model gives as probabilities, where 0 gives minus infinity."""
    with np.errstate(divide="ignore"):
        if hasattr(model, "predict_log_proba"):
            return np.array(model.predict_log_proba(X), np.float64)
        return np.log(np.asarray(model.predict_proba(X), np.float64))


def from_decisions(model, X, n_classes):
    """Log probabilities from a decision function, or None where it does not serve."""
    if not hasattr(model, "decision_function"):
        return None
    decisions = np.asarray(model.decision_function(X), np.float64)
    if decisions.ndim == 1:  # of two classes
        decisions = np.stack([np.zeros_like(decisions), decisions], 1)
    n_samples = X.shape[0] if hasattr(X, "shape") else len(X)
    if decisions.shape != (n_samples, n_classes) or not np.isfinite(decisions).all():
        return None
    table = log_softmax(decisions, axis=1)
    rows = np.unique(np.linspace(0, n_samples - 1, _TRIED).astype(int))
    p = np.asarray(model.predict_proba(take_samples(X, rows)), np.float64)
    return table if np.abs(np.exp(table[rows]) - p).max() <= _ALIKE else None
