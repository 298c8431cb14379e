"""What the course of a training says about each sample."""

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import check_consistent_length

from smilearn.baselines._logits import checked_logits, codes_of, log_probability, margin
from smilearn.exceptions import InvalidInputError
from smilearn.utils._inputs import as_numpy

KINDS = ("aum", "cumulative_loss", "forgetting", "loss_iqr")


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
    if kind not in KINDS:
        raise InvalidInputError(f"kind must be one of {', '.join(KINDS)}; got {kind}.")
    by_margin = kind in ("aum", "forgetting")
    history = as_numpy(history)
    if y is None:
        trace = _checked_trace(history, kind)
    else:
        logits = _checked_run(history)
        codes = codes_of(y, logits.shape[-1], classes)
        check_consistent_length(logits[0], codes)
        trace = margin(logits, codes) if by_margin else -log_probability(logits, codes)
    return _FORMULAS[kind](trace)


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


def _checked_run(history):
    if np.ndim(history) == 2:
        raise InvalidInputError(
            "With y, history must hold logits of shape (n_epochs, n_samples, "
            f"n_classes); got {np.shape(history)}. Of losses or margins, leave out y. "
            "Of single logits z of two classes, give np.stack([np.zeros_like(z), z], "
            "-1)."
        )
    return checked_logits(history, ndim=3)


def _area(margins):
    return margins.mean(0)


def _cumulative(losses):
    return -losses.sum(0)


def _forgetting(margins):
    right = margins > 0
    events = (right[:-1] & ~right[1:]).sum(0)
    return -np.where(right.any(0), events, len(margins)).astype(np.float64)


def _spread(losses):
    upper, lower = np.quantile(losses, [0.75, 0.25], axis=0)
    return lower - upper


_FORMULAS = {
    "aum": _area,
    "cumulative_loss": _cumulative,
    "forgetting": _forgetting,
    "loss_iqr": _spread,
}
