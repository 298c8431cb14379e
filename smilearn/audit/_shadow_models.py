"""What a shadow model says of all samples."""

import numpy as np
from sklearn.base import clone

from smilearn.audit._estimator_facts import params_named
from smilearn.baselines._log_probabilities import log_probabilities
from smilearn.exceptions import InvalidInputError
from smilearn.filtering._delegating import is_aligned
from smilearn.utils._containers import take_samples


def shadow_answers(estimator, seed, X, y, kept, params, classes, statistic):
    """Fit a shadow model, and ask it of each sample."""
    model = seeded_clone(estimator, seed)
    cut = {
        name: take_samples(values, kept) if is_aligned(values, len(y)) else values
        for name, values in params.items()
    }
    model.fit(take_samples(X, kept), y[kept], **cut)
    codes = np.searchsorted(classes, y)
    table = log_probabilities(model, X, classes)
    rows = np.arange(len(codes))
    correct = table.argmax(1) == codes
    lowest = table.min(where=np.isfinite(table), initial=0.0)
    own = table[rows, codes]
    table[rows, codes] = -np.inf
    answers = {
        "log_p": own,
        "log_other": table.max(1),
        "correct": correct,
        "lowest": np.array(lowest),
    }
    if callable(statistic):
        answers["told"] = checked_statistic(statistic(model, X, y), len(y))
    return answers


def answer_names(statistic):
    """Names of what :func:`shadow_answers` gives."""
    names = "log_p", "log_other", "correct", "lowest"
    return (*names, "told") if callable(statistic) else names


def comparable_answers(found, n_trained, statistic):
    """Give all models one stand-in for a probability of 0, and form the statistic."""
    of = {name: np.stack([each[name] for each in found]) for name in found[0]}
    own, other = of["log_p"], of["log_other"]
    infinite = np.isneginf(own) | np.isneginf(other)
    stand_in = min(of["lowest"].min(), -np.log(n_trained)) - np.log(2)
    own, other = (np.where(np.isneginf(p), stand_in, p) for p in (own, other))
    if callable(statistic):
        told = of["told"]
    else:
        told = own - other if statistic == "logit_gap" else own
    return {
        "statistic": told,
        "log_p": own,
        "correct": of["correct"],
        "n_infinite": infinite.sum(1),
    }


def seeded_clone(estimator, seed):
    """Clone an estimator, with seeds of its own in each `random_state`."""
    model = clone(estimator)
    names = params_named(model, "random_state")
    seeds = np.random.SeedSequence(seed).generate_state(len(names))
    seeds = (seeds >> 1).tolist()  # some want 31 bits
    return model.set_params(**dict(zip(names, seeds, strict=True)))


def checked_statistic(values, n_samples):
    """Check what a statistic of the user's own gives."""
    values = np.array(values, dtype=np.float64)
    if values.shape != (n_samples,) or not np.isfinite(values).all():
        raise InvalidInputError(
            f"statistic must give one finite number for each of the {n_samples} "
            f"samples; got shape {values.shape}, {np.sum(~np.isfinite(values))} of "
            "the values not finite."
        )
    return values
