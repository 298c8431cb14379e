"""The early point of a training run: learnt the task, not yet the samples."""

import math

import numpy as np

from smilearn.exceptions import InvalidInputError

RULES = ("median-loss", "gap", "epochs")
NEW_HEAD_DROP = 0.5
GAP = 0.8  # of mean training loss to mean held-out loss
_BUDGET = 0.2  # time spent on evaluations, as a share of the time spent on training
_COST = 0.4  # of evaluating a sample, as a share of a training step with it
_FEWEST = 100  # samples whose median still tells something
_OFTEN = 5


class EarlyPoint:
    """Follow the losses of a training run, and say when the early point is reached.

    The early point is the first evaluation after the first step at which a rule holds:

    - "median-loss", the rule of arXiv:2409.18858: the median training loss is at most
      ``1 - loss_drop`` of the median before the first step;
    - "gap": the mean training loss is below 0.8 of the mean loss of held-out samples;
    - "epochs": `stop_epoch` passes over the data are done; 0 is before the first step.

    Parameters
    ----------
    rule : {"median-loss", "gap", "epochs"} or None, default="median-loss"
        The rule; None is never reached.

    loss_drop : float, default=0.5
        Relative fall of the median loss, in (0, 1).

    stop_epoch : float, default=1.0
        Passes over the data.

    base_loss : float, default=None
        Median loss before the first step, in nats; None takes that of the first update.
    """

    def __init__(
        self, rule="median-loss", *, loss_drop=0.5, stop_epoch=1.0, base_loss=None
    ):
        self.rule, self.loss_drop, self.stop_epoch = rule, loss_drop, stop_epoch
        self.base_loss = base_loss
        self.history, self.reached = [], False

    def update(self, step, epoch, losses, *, correct=None, validation_losses=None):
        """Take in an evaluation.

        Parameters
        ----------
        step : int
            Optimizer steps so far; 0 before training.

        epoch : float
            Passes over the data so far.

        losses : ndarray of shape (n_samples,)
            Cross-entropy of training samples in nats, model in eval mode.

        correct : ndarray of shape (n_samples,), default=None
            Whether the model already predicts each label.

        validation_losses : ndarray of shape (n_held_out,), default=None
            Cross-entropy of held-out samples; "gap" needs it.

        Returns
        -------
        reached : bool
            Whether this or an evaluation before it is the early point.

        Raises
        ------
        InvalidInputError
            If a loss is not finite: training diverged.
        """
        for kind, values in (("training", losses), ("validation", validation_losses)):
            if values is not None and not np.isfinite(values).all():
                raise InvalidInputError(
                    f"The {kind} loss is not a number after {step} steps: training "
                    "diverged. Lower learning_rate."
                )
        self.note(step, epoch, losses, correct, validation_losses)
        self.reached = self.reached or self._holds(self.history[-1])
        return self.reached

    def note(self, step, epoch, losses, correct=None, validation_losses=None):
        """Put an evaluation in the history without asking the rule.

        Parameters
        ----------
        step, epoch, losses, correct, validation_losses : object
            As in :meth:`update`.
        """
        entry = {
            "step": int(step),
            "epoch": float(epoch),
            "median_loss": float(np.median(losses)),
            "mean_loss": float(np.mean(losses)),
            "n_evaluated": len(losses),
        }
        if correct is not None:
            entry["share_fitted"] = float(np.mean(correct))
        if validation_losses is not None:
            entry["validation_loss"] = float(np.mean(validation_losses))
        self.history.append(entry)

    def _holds(self, entry):
        if self.rule == "epochs":
            return entry["epoch"] >= self.stop_epoch - 1e-9
        if self.rule is None or not entry["step"]:
            return False
        if self.rule == "gap":
            return entry["mean_loss"] < GAP * entry["validation_loss"]
        return entry["median_loss"] <= self.threshold

    @property
    def threshold(self):
        """Median loss at which "median-loss" holds, in nats; NaN of other rules."""
        if self.rule != "median-loss":
            return math.nan
        first = self.base_loss
        if first is None:
            first = self.history[0]["median_loss"]
        return (1 - self.loss_drop) * first


def evaluation_steps(n_steps_per_epoch, per_epoch, n_epochs):
    """Steps after which to evaluate: evenly, at least one step apart.

    Parameters
    ----------
    n_steps_per_epoch : int
        Optimizer steps in a pass over the data.

    per_epoch : int
        Evaluations wanted in a pass.

    n_epochs : int
        Passes at most.

    Returns
    -------
    steps : set of int
        The steps, the end of each epoch among them.
    """
    wanted = np.arange(1, per_epoch * n_epochs + 1) * n_steps_per_epoch / per_epoch
    return {int(step) for step in np.ceil(wanted - 1e-9)}


def evaluation_plan(n_samples, per_epoch):
    """How often to evaluate how many samples, in a fifth of the training time.

    A forward pass is taken to cost 0.4 of a training step, which is more than was
    measured, and the evaluation before the first step counts as well. Fewer than 100
    samples are not worth an evaluation: where 100 a time are more than the fifth,
    "auto" evaluates less often, and a given number costs more.

    Parameters
    ----------
    n_samples : int
        Training samples.

    per_epoch : int or "auto"
        Evaluations in a pass over the data; "auto" takes 5, or as many as there is time
        for, and 1 at least.

    Returns
    -------
    per_epoch : int
        Evaluations in a pass.

    n_evaluated : int
        Samples in an evaluation.
    """
    affordable = _BUDGET / _COST * n_samples  # evaluations of a sample, in a pass
    fewest = min(_FEWEST, n_samples)
    if per_epoch == "auto":
        per_epoch = max(1, min(_OFTEN, int(affordable / fewest) - 1))
    return per_epoch, min(n_samples, max(fewest, int(affordable / (per_epoch + 1))))
