"""Scores that a small audit is shrunk towards, from whatever they are given as."""

import numpy as np
from sklearn.base import clone

from smilearn.exceptions import InvalidInputError
from smilearn.filtering._pipelines import layers
from smilearn.utils._random import seed_where_none


def prior_scores(prior, X, labels, seed):
    """One finite score a sample, low = at risk, or None without a prior."""
    if prior is None:
        return None
    scores = prior
    if hasattr(prior, "fit"):
        scorer = layers(prior)[-1]
        if not hasattr(scorer, "scores_"):
            prior = clone(prior)
            seed_where_none(prior, seed)
            scorer = layers(prior.fit(X, labels))[-1]
        scores = getattr(scorer, "scores_", None)
        if scores is None:
            raise InvalidInputError(
                "prior must have scores_ after fit, one for each sample; "
                f"{type(scorer).__name__} has none. Use SlicedMIScorer, or a pipeline "
                "that ends in it."
            )
        own = getattr(scorer, "labels_", labels)
        if not np.array_equal(_codes(own), _codes(labels)):
            raise InvalidInputError(
                "prior is fitted to other labels than these, in this order. Give one "
                "that is not fitted: clone(scorer)."
            )
    scores = np.asarray(scores)
    if scores.dtype.kind not in "fiub" or scores.shape != labels.shape:
        raise InvalidInputError(
            f"prior must give one score for each of the {len(labels)} samples; got "
            f"{scores.dtype} of shape {scores.shape}."
        )
    scores = scores.astype(np.float64)
    if not np.isfinite(scores).all():
        raise InvalidInputError(
            f"Scores of prior must be finite; {np.sum(~np.isfinite(scores))} are not."
        )
    return scores


def _codes(labels):
    return np.unique(labels, return_inverse=True)[1]
