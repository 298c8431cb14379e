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
    """Follow the losses of a training run, and say when the early point is reached."""

    def __init__(
        self, rule="median-loss", *, loss_drop=0.5, stop_epoch=1.0, base_loss=None
    ):
        self.rule, self.loss_drop, self.stop_epoch = rule, loss_drop, stop_epoch
        self.base_loss = base_loss
        self.history, self.reached = [], False

    def update(self, step, epoch, losses, *, correct=None, validation_losses=None):
        """Take in an evaluation."""
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
        """Put an evaluation in the history without asking the rule."""
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
    """Steps after which to evaluate: evenly, at least one step apart."""
    wanted = np.arange(1, per_epoch * n_epochs + 1) * n_steps_per_epoch / per_epoch
    return {int(step) for step in np.ceil(wanted - 1e-9)}


def evaluation_plan(n_samples, per_epoch):
    """How often to evaluate how many samples, in a fifth of the training time."""
    affordable = _BUDGET / _COST * n_samples  # evaluations of a sample, in a pass
    fewest = min(_FEWEST, n_samples)
    if per_epoch == "auto":
        per_epoch = max(1, min(_OFTEN, int(affordable / fewest) - 1))
    return per_epoch, min(n_samples, max(fewest, int(affordable / (per_epoch + 1))))
