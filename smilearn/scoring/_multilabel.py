"""Samples with several labels: a scorer for each label, present or absent."""

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.utils import check_consistent_length
from sklearn.utils.multiclass import is_multilabel

from smilearn.exceptions import InvalidInputError
from smilearn.scoring._checks import validated
from smilearn.scoring._recipe import fixed_seed
from smilearn.scoring._threshold import set_threshold
from smilearn.utils._callbacks import silent_clone
from smilearn.utils._validation import is_tensor
from smilearn.utils._weights import checked_weights


def holds_indicators(y):
    """Tell whether y says of each of several labels whether a sample has it."""
    y = y.cpu().numpy() if is_tensor(y) else y
    rows = isinstance(y, (list, tuple)) and len(y) and isinstance(y[0], (list, tuple))
    return bool(rows or len(getattr(y, "shape", ())) == 2) and is_multilabel(y)


def fit_labels(scorer, X, y, sample_weight):
    """Fit a scorer of each label, and join what they say of the samples."""
    Y, names = _indicators(y, X)
    X = validated(scorer, X, reset=True)
    weight = checked_weights(sample_weight, X)
    used = Y if weight is None else Y[weight > 0]
    varies = used.any(0) & ~used.all(0)
    if not varies.any():
        raise InvalidInputError(
            "Each column of y is all 0 or all 1, so there is nothing to tell "
            "samples apart by; at least 1 label must be present in some samples "
            "and absent from others."
        )
    one = silent_clone(scorer).set_params(contamination=None)
    one.set_params(random_state=fixed_seed(scorer.random_state))
    scorers = [
        clone(one).fit(X, column, sample_weight=weight) if has_both else None
        for column, has_both in zip(Y.T, varies, strict=True)
    ]
    fitted = [each for each in scorers if each is not None]
    scorer.label_scorers_, scorer.classes_, scorer.labels_ = scorers, names, Y
    scorer.class_count_ = Y.sum(0) if weight is None else weight @ Y
    scorer.class_prior_ = np.average(Y, axis=0, weights=weight)
    scorer.n_slices_ = max(each.n_slices_ for each in fitted)
    scorer.label_scores_ = _each_label(scorers, lambda one, _: one.scores_)
    scorer.scores_ = scorer.label_scores_.mean(1)
    scorer.psmi_ = _each_label(scorers, lambda one, _: one.psmi_).mean(1)
    if scorer.pooled:
        scorer.probability_ = np.exp(scorer.scores_)  # geometric mean over the labels
    # slices are shared, so that errors may add up: these are upper bounds
    scorer.scores_std_ = sum(each.scores_std_ for each in fitted) / len(scorers)
    noise = sum(
        np.sqrt((1 - each.reliability_) * np.cov(each.psmi_, aweights=weight))
        for each in fitted
    )
    spread = np.cov(scorer.psmi_, aweights=weight) * len(scorers) ** 2
    scorer.reliability_ = max(0.0, float(1 - noise**2 / spread)) if spread else 1.0
    scorer.outliers_ = np.any([each.outliers_ for each in fitted], axis=0)
    with scorer._fit_task(X, Y, sample_weight=weight):
        set_threshold(scorer, lambda null, Y: null.fit(X, Y, weight), Y, weight)
    return scorer


def label_scores(scorer, X, y=None):
    """Mean over the labels of the scores of new samples, (n,)."""
    Y = None if y is None else _indicators(y, X, len(scorer.label_scorers_))[0]
    X = validated(scorer, X)

    def scores_of(one, column):
        return one.score_samples(X, None if Y is None else Y[:, column])

    return _each_label(scorer.label_scorers_, scores_of).mean(1)


def log_probabilities(scorer, X):
    """Log probability that each label is present, (n, n_labels)."""
    X = validated(scorer, X)
    certain = np.where(scorer.labels_.all(0), 0.0, -np.inf)  # where none was fitted
    columns = [
        np.full(X.shape[0], value) if one is None else one._log_probability(X)[:, 1]
        for one, value in zip(scorer.label_scorers_, certain, strict=True)
    ]
    return np.stack(columns, 1)


def label_score(scorer, X, y, sample_weight=None):
    """Mean over labels and samples of the log probability of a label's own value."""
    Y, _ = _indicators(y, X, len(scorer.label_scorers_))
    scores = [
        one.score(X, Y[:, column], sample_weight)
        for column, one in enumerate(scorer.label_scorers_)
        if one is not None
    ]
    return float(sum(scores) / Y.shape[1])


def refuse_labels(scorer, method):
    """Refuse what only a scorer of one label has."""
    if hasattr(scorer, "label_scorers_"):
        raise InvalidInputError(
            f"Samples had several labels, and {method} is of one label. Look at one of "
            "them, as in scorer.label_scorers_[0]."
        )


def names_of(scorer):
    """Label of each training sample; of several one text, such as ``"fear, joy"``."""
    if not hasattr(scorer, "label_scorers_"):
        return scorer.labels_
    names = np.array([str(name) for name in scorer.classes_])
    return [", ".join(names[row]) or "none" for row in scorer.labels_ == 1]


def _each_label(scorers, scores_of):
    """Scores by each label, (n_samples, n_labels); 0 where none was fitted."""
    columns = [
        0.0 if one is None else scores_of(one, column)
        for column, one in enumerate(scorers)
    ]
    return np.stack(np.broadcast_arrays(*columns), 1)


def _indicators(y, X, n_labels=None):
    """Indicators (n, n_labels) of 0 and 1, and the names of the labels."""
    names = getattr(y, "columns", None)
    if is_tensor(y):
        y = y.cpu().numpy()
    Y = y.toarray() if issparse(y) else np.asarray(y)
    if Y.ndim != 2 or not np.isin(Y, (0, 1)).all():
        raise InvalidInputError(
            "This y must be an indicator matrix of 0 and 1, of shape (n_samples, "
            f"n_labels); got shape {Y.shape}."
        )
    check_consistent_length(X, Y)
    if n_labels not in (None, Y.shape[1]):
        raise InvalidInputError(f"y has {Y.shape[1]} labels where fit saw {n_labels}.")
    names = np.arange(Y.shape[1]) if names is None else np.array(list(names))
    return Y.astype(np.int64), names
