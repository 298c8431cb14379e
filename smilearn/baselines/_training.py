"""What the logits of one checkpoint say about each sample and its label."""

import numpy as np
from scipy.special import log_softmax, softmax, xlogy
from scipy.stats import rankdata
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.validation import check_consistent_length

from smilearn.exceptions import InvalidInputError
from smilearn.utils._labels import check_labels
from smilearn.utils._validation import as_numpy

KINDS = ("loss", "margin", "el2n", "entropy", "grand")


def logit_scores(logits, y, *, kind="loss", classes=None, features=None):
    """Score labelled samples by the logits of one checkpoint; low = at risk.

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_classes) or (n_samples,)
        Logits or log probabilities, one column a class; of two classes the one column
        that ``decision_function`` gives will do, positive for the second.

    y : array-like of shape (n_samples,)
        Label of each sample.

    kind : {"loss", "margin", "el2n", "entropy", "grand"}, default="loss"
        "loss": log probability of the label, minus the cross-entropy, in nats.
        "margin": logit of the label minus the largest other one (the logit gap).
        "el2n": minus the norm of the error, probabilities minus one-hot label.
        "entropy": minus the entropy of the probabilities, in nats; needs no label.
        "grand": minus the norm of the gradient of the loss in the weights and the bias
        of the last layer, which is that of "el2n" times that of the features and a 1.

    classes : array-like of shape (n_classes,), default=None
        Label of each column. None: `y` holds the numbers of the columns, from 0, or as
        many labels as there are columns, which are then sorted. Labels that may be
        meant either way, such as 1, 2 and 3 of three columns, need `classes`.

    features : array-like of shape (n_samples, n_features), default=None
        Inputs of the last layer, for "grand" alone.

    Returns
    -------
    scores : ndarray of shape (n_samples,)
        Low = at risk.

    Raises
    ------
    InvalidInputError
        If logits, labels and columns do not fit together, if labels may be meant in two
        ways, or if "grand" has no features.

    Examples
    --------
    >>> from smilearn.baselines import logit_scores
    >>> logits = [[2.0, 0.0, -1.0], [0.5, 1.0, 0.0]]
    >>> logit_scores(logits, ["a", "c"], kind="margin", classes=["a", "b", "c"])
    array([ 2., -1.])
    """
    logits = checked_logits(logits)
    codes = codes_of(y, logits.shape[-1], classes)
    check_consistent_length(logits, codes)
    if kind not in KINDS:
        raise InvalidInputError(f"kind must be one of {', '.join(KINDS)}; got {kind}.")
    if kind != "grand":
        return FORMULAS[kind](logits, codes)
    if features is None:
        raise InvalidInputError(
            'kind="grand" needs features, inputs of the last layer.'
        )
    features = check_array(as_numpy(features), dtype=np.float64, input_name="features")
    check_consistent_length(logits, features)
    norm = np.sqrt(1 + (features**2).sum(1))
    return el2n(logits, codes) * norm


def checked_logits(logits, ndim=2):
    """Check logits, and give a single column of two classes its second one."""
    logits = check_array(
        as_numpy(logits),
        dtype=np.float64,
        ensure_2d=False,
        allow_nd=True,
        input_name="logits",
    )
    if logits.ndim == ndim - 1:
        logits = np.stack([np.zeros_like(logits), logits], -1)
    if logits.ndim != ndim or logits.shape[-1] < 2:
        raise InvalidInputError(
            f"logits must have {ndim} dimensions, the last one for 2 classes or more; "
            f"got shape {logits.shape}."
        )
    return logits


def codes_of(y, n_columns, classes=None):
    """Find the column of each label."""
    y = check_labels(y, "The formula")
    if classes is None:
        classes = _classes_in(np.unique(y), n_columns)
    classes = column_or_1d(as_numpy(classes))
    if len(classes) != n_columns or len(np.unique(classes)) != n_columns:
        raise InvalidInputError(
            f"classes must name each of the {n_columns} columns, once; got "
            f"{classes[:10].tolist()}."
        )
    places = {label: column for column, label in enumerate(classes.tolist())}
    unknown = [label for label in dict.fromkeys(y.tolist()) if label not in places]
    if unknown:
        raise InvalidInputError(
            f"y holds labels that are no column of the logits: {unknown[:5]}. Say by "
            f"classes= which label each of the {n_columns} columns has."
        )
    return np.array([places[label] for label in y.tolist()], dtype=np.intp)


def _classes_in(seen, n_columns):
    """Label of each column, by the labels that are there."""
    numbers = np.arange(n_columns)
    columns = set(numbers.tolist())
    if columns.issuperset(seen.tolist()) or len(seen) != n_columns:
        return numbers
    for place, label in enumerate(seen.tolist()):
        if label in columns and label != place:
            raise InvalidInputError(
                f"y holds the labels {seen[:5].tolist()}, and {label} may be column "
                f"{label}, counted from 0, or column {place}, by its place among the "
                f"sorted labels. Say by classes= which label each of the {n_columns} "
                "columns has."
            )
    return seen


def own(table, codes):
    """Take the column of each sample, (..., n_samples) of (..., n_samples, K)."""
    return np.take_along_axis(
        table, np.broadcast_to(codes, table.shape[:-1])[..., None], -1
    )[..., 0]


def margin(logits, codes):
    """Logit of the label minus the largest other one, (..., n_samples)."""
    columns = np.arange(logits.shape[-1])
    others = np.where(columns == np.asarray(codes)[..., None], -np.inf, logits)
    return own(logits, codes) - others.max(-1)


def log_probability(logits, codes):
    """Log probability of the label, in nats, (..., n_samples)."""
    return own(log_softmax(logits, axis=-1), codes)


def el2n(logits, codes):
    """Minus the norm of probabilities minus one-hot label, (n_samples,)."""
    error = softmax(logits, axis=-1)
    error[np.arange(len(error)), codes] = 0  # one minus it would cancel
    own_error = error.sum(-1)
    return -np.sqrt(own_error**2 + (error**2).sum(-1))


def negative_entropy(logits, codes):
    """Minus the entropy of the probabilities, in nats, (n_samples,)."""
    probability = softmax(logits, axis=-1)
    return xlogy(probability, probability).sum(-1)


FORMULAS = {
    "loss": log_probability,
    "margin": margin,
    "el2n": el2n,
    "entropy": negative_entropy,
}


TRACE_KINDS = ("aum", "cumulative_loss", "forgetting", "loss_iqr")


def trace_scores(history, y=None, *, kind="aum", classes=None):
    """Score samples by what a training run recorded of them; low = at risk.

    Parameters
    ----------
    history : array-like of shape (n_epochs, n_samples[, n_classes])
        With `y`: logits at each epoch, in order, one column a class. Single logits z of
        two classes are ``np.stack([np.zeros_like(z), z], -1)``. Without `y`, two
        dimensions: losses in nats for "cumulative_loss" and "loss_iqr", margins for
        "aum" and "forgetting" (of the latter also booleans: classified as labelled or
        not).

    y : array-like of shape (n_samples,), default=None
        Label of each sample, where `history` holds logits, and only there.

    kind : str, default="aum"
        "aum": mean margin over the epochs, the area under the margin.
        "cumulative_loss": minus the sum of the losses.
        "forgetting": minus the number of times that a sample was classified as labelled
        at an epoch and not at the next; one that never was counts `n_epochs` times.
        "loss_iqr": minus the distance between the quartiles of the losses of a sample;
        it needs a whole run.

    classes : array-like of shape (n_classes,), default=None
        Label of each column, as in :func:`logit_scores`.

    Returns
    -------
    scores : ndarray of shape (n_samples,)
        Low = at risk.

    Raises
    ------
    InvalidInputError
        If `history` is not of a shape that `kind` can use, or has no classes where `y`
        is given.

    Examples
    --------
    >>> from smilearn.baselines import trace_scores
    >>> losses = [[1.0, 0.9], [0.1, 0.8], [0.1, 0.3]]  # 3 epochs, 2 samples
    >>> trace_scores(losses, kind="cumulative_loss")
    array([-1.2, -2. ])
    """
    if kind not in TRACE_KINDS:
        raise InvalidInputError(
            f"kind must be one of {', '.join(TRACE_KINDS)}; got {kind}."
        )
    history = as_numpy(history)
    if y is None:
        trace = _checked_trace(history, kind)
    elif np.ndim(history) == 2:
        raise InvalidInputError(
            "With y, history must hold logits of shape (n_epochs, n_samples, "
            f"n_classes); got {np.shape(history)}. Of losses or margins, leave out y. "
            "Of single logits z of two classes, give np.stack([np.zeros_like(z), z], "
            "-1)."
        )
    else:
        logits = checked_logits(history, ndim=3)
        codes = codes_of(y, logits.shape[-1], classes)
        check_consistent_length(logits[0], codes)
        by_margin = kind in ("aum", "forgetting")
        trace = margin(logits, codes) if by_margin else -log_probability(logits, codes)
    if kind == "aum":
        return trace.mean(0)
    if kind == "cumulative_loss":
        return -trace.sum(0)
    if kind == "forgetting":
        right = trace > 0
        events = (right[:-1] & ~right[1:]).sum(0)
        return -np.where(right.any(0), events, len(trace)).astype(np.float64)
    upper, lower = np.quantile(trace, [0.75, 0.25], axis=0)
    return lower - upper


def _checked_trace(history, kind):
    history = np.asarray(history)
    if kind == "forgetting" and history.dtype == bool:
        history = np.where(history, 1.0, -1.0)
    history = check_array(
        history, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name="history"
    )
    if history.ndim != 2:
        raise InvalidInputError(
            "history must be of shape (n_epochs, n_samples), or hold logits of shape "
            f"(n_epochs, n_samples, n_classes) together with y; got {history.shape}."
        )
    return history


def rank_mean(*scores):
    """Mean rank of each sample over several scores; low = at risk.

    Ranks know no units, so that nats may be put beside logits. PSMI with minus the loss
    is the usual pair.

    Parameters
    ----------
    *scores : array-like of shape (n_samples,)
        Two scores or more, each low = at risk.

    Returns
    -------
    scores : ndarray of shape (n_samples,)
        Mean of the ranks, divided by n_samples: in (0, 1]. Ties share their mean rank.

    Raises
    ------
    InvalidInputError
        If there is only one score, or none.

    Examples
    --------
    >>> from smilearn.baselines import rank_mean
    >>> rank_mean([-0.5, 0.1, 0.2, 0.3], [-9.0, -1.0, -2.0, -0.1])
    array([0.25 , 0.625, 0.625, 1.   ])
    """
    if len(scores) < 2:
        raise InvalidInputError(f"Give 2 scores or more to fuse; got {len(scores)}.")
    checked = [
        column_or_1d(check_array(as_numpy(each), dtype=np.float64, ensure_2d=False))
        for each in scores
    ]
    check_consistent_length(*checked)
    return np.mean([rankdata(each) for each in checked], axis=0) / len(checked[0])
