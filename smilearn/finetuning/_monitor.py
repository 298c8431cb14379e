"""The early point for people with a training loop of their own."""

import math
from numbers import Integral
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator

from smilearn.exceptions import InvalidInputError
from smilearn.finetuning._early_point import POINT_CONSTRAINTS, EarlyPoint
from smilearn.utils._documentation import Documented
from smilearn.utils._sklearn_compat import Interval


class EarlyPointMonitor(Documented, BaseEstimator):
    """Tell, from the losses of a training loop, when its early point is reached.

    The early point is when the task is learnt and most samples are not yet learnt by
    heart: the moment to take hidden states for the score. What you hand over are the
    losses of the training samples (or always the same ones of them), model in eval
    mode, every now and then; first of all before the first training step.

    Parameters
    ----------
    rule : {"median-loss", "gap", "epochs"}, default="median-loss"
        "median-loss": the median loss has fallen by `loss_drop` since the first update.
        "gap": the mean loss is below 0.8 of that of held-out samples. "epochs": so many
        epochs as `stop_epoch` are over.

    loss_drop : float in (0, 1) or "auto", default="auto"
        For "median-loss"; "auto" is 0.5, which suits a new head.

    stop_epoch : float, default=1.0
        For "epochs".

    n_classes : int, default=None
        With it, "median-loss" starts from its log, the loss of a new head, and no
        update before the first step is needed.

    Attributes
    ----------
    history : list of dict
        One entry an update: `step` (the number of updates before; with `n_classes` one
        more, as 0 is before the first step), `epoch`, `median_loss` and `mean_loss` in
        nats, `n_evaluated`, and what else was given: `share_fitted`, `validation_loss`.

    reached : bool
        Whether the early point has been reached.

    Examples
    --------
    >>> from smilearn import EarlyPointMonitor
    >>> monitor = EarlyPointMonitor()
    >>> for losses in [[0.7, 0.7, 0.6], [0.5, 0.6, 0.4], [0.2, 0.3, 0.5]]:
    ...     print(monitor.update(losses))
    False
    False
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **POINT_CONSTRAINTS,
        "n_classes": [Interval(Integral, 2, None, closed="left"), None],
    }

    def __init__(
        self, *, rule="median-loss", loss_drop="auto", stop_epoch=1.0, n_classes=None
    ):
        self.rule = rule
        self.loss_drop = loss_drop
        self.stop_epoch = stop_epoch
        self.n_classes = n_classes

    def update(self, losses, *, validation_losses=None, correct=None, epoch=None):
        """Take in the losses of an evaluation.

        Parameters
        ----------
        losses : array-like or Tensor of shape (n_samples,)
            Cross-entropy of training samples, in nats.

        validation_losses : array-like or Tensor of shape (n_held_out,), default=None
            Cross-entropy of held-out samples; "gap" needs them.

        correct : array-like or Tensor of shape (n_samples,), default=None
            Whether each sample is classified as labelled.

        epoch : float, default=None
            Passes over the data so far; "epochs" needs it.

        Returns
        -------
        reached : bool
            Whether the early point has been reached, now or before.

        Raises
        ------
        InvalidInputError
            If losses of either kind are not one column of finite numbers, or what the
            rule needs is not given.
        """
        if not hasattr(self, "_point"):
            self._validate_params()
            base = None if self.n_classes is None else math.log(self.n_classes)
            settings = self.loss_drop, self.stop_epoch, base
            self._point = EarlyPoint(self.rule, *settings)
            self._first = self.n_classes is not None
        if self._point.rule == "gap" and validation_losses is None:
            raise InvalidInputError("rule='gap' needs validation_losses=; got None.")
        if self._point.rule == "epochs" and epoch is None:
            raise InvalidInputError("rule='epochs' needs epoch=; got None.")
        return self._point.update(
            len(self.history) + self._first,
            math.nan if epoch is None else epoch,
            _column(losses, "losses"),
            _column(correct, "correct"),
            _column(validation_losses, "validation_losses"),
        )

    @property
    def history(self):
        """One entry an update; see the attributes of the class."""
        return self._point.history if hasattr(self, "_point") else []

    @property
    def reached(self):
        """Whether the early point has been reached."""
        return hasattr(self, "_point") and self._point.reached


def _column(values, name):
    if values is None and name != "losses":
        return None
    if hasattr(values, "detach"):
        values = values.detach().float().cpu().numpy()
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise InvalidInputError(
            f"{name} must be one number a sample; got shape {values.shape}."
        )
    return values
