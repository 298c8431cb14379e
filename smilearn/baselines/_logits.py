"""What the logits of one checkpoint say about each sample and its label."""

import numpy as np
from scipy.special import log_softmax, softmax, xlogy
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.validation import check_consistent_length

from smilearn.exceptions import InvalidInputError
from smilearn.utils._inputs import as_numpy

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
    y = column_or_1d(as_numpy(y))
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
