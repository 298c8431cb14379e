"""Where the early point of a training is: the task is learnt, not yet the samples."""

import math
from numbers import Real

import numpy as np

from smilearn.exceptions import InvalidInputError
from smilearn.utils._sklearn_compat import Interval, StrOptions

POINT_CONSTRAINTS = {
    "rule": [StrOptions({"median-loss", "gap", "epochs"})],
    "loss_drop": [Interval(Real, 0, 1, closed="neither"), StrOptions({"auto"})],
    "stop_epoch": [Interval(Real, 0, None, closed="left")],
}
GAP = 0.8  # of mean training loss to mean held-out loss
_NEW_HEAD_DROP = 0.5  # loss_drop="auto"
_BUDGET = 0.2  # time spent on evaluations, as a share of the time spent on training
_COST = 0.4  # of evaluating a sample, as a share of a training step with it
_FEWEST_SAMPLES = 100  # whose median is a usable estimate
_EVALUATIONS = 5  # in an epoch


class EarlyPoint:
    """Follow the losses of a training run, and say when the early point is reached."""

    def __init__(self, rule, loss_drop="auto", stop_epoch=1.0, base_loss=None):
        self.rule, self.stop_epoch, self.base_loss = rule, stop_epoch, base_loss
        self.loss_drop = _NEW_HEAD_DROP if loss_drop == "auto" else loss_drop
        self.history, self.reached = [], False

    def update(self, step, epoch, losses, correct=None, validation_losses=None):
        """Add an evaluation, and tell whether the early point is reached."""
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
    def first_loss(self):
        """Median loss before the first step, in nats; None if not measured yet."""
        if self.base_loss is None and self.history:
            return self.history[0]["median_loss"]
        return self.base_loss

    @property
    def threshold(self):
        """Median loss at which "median-loss" holds, in nats; NaN of other rules."""
        if self.rule != "median-loss":
            return math.nan
        return (1 - self.loss_drop) * self.first_loss

    def shortfall(self):
        """What the last evaluation gave, and what the rule asks for, in words."""
        last = self.history[-1]
        if self.rule == "epochs":
            return f"{last['epoch']:.2f} epochs, early point after {self.stop_epoch:g}"
        if self.rule == "gap":
            last = next((e for e in self.history[::-1] if "validation_loss" in e), None)
            if last is None:
                return "no loss of held-out samples was measured"
            goal = f"below {GAP * last['validation_loss']:.3f} ({GAP:g} of held-out)"
            return f"mean loss {last['mean_loss']:.3f}, early point {goal}"
        median = last["median_loss"]
        return f"median loss {median:.3f}, early point at {self.threshold:.3f}"

    def stop_step(self, n_steps):
        """Step after which "epochs" holds, at so many steps an epoch."""
        return math.ceil(self.stop_epoch * n_steps - 1e-9)

    def plan(self, n_samples, per_epoch, n_steps, n_epochs):
        """Number of samples to evaluate, and steps to do it after."""
        if per_epoch == "auto" and self.rule is None:
            per_epoch = 1
        per_epoch, n_evaluated = evaluation_plan(n_samples, per_epoch)
        steps = evaluation_steps(n_steps, per_epoch, n_epochs)
        if self.rule == "epochs":
            steps.add(self.stop_step(n_steps))
        return n_evaluated, steps


def evaluation_steps(n_steps_per_epoch, per_epoch, n_epochs):
    """Steps after which to evaluate: evenly, at least one step apart."""
    steps = np.arange(1, per_epoch * n_epochs + 1) * n_steps_per_epoch / per_epoch
    return {int(step) for step in np.ceil(steps - 1e-9)}


def evaluation_plan(n_samples, per_epoch):
    """How often to evaluate how many samples, in a fifth of the training time."""
    affordable = _BUDGET / _COST * n_samples  # evaluations of a sample, in a pass
    fewest = min(_FEWEST_SAMPLES, n_samples)
    if per_epoch == "auto":
        per_epoch = max(1, min(_EVALUATIONS, int(affordable / fewest) - 1))
    return per_epoch, min(n_samples, max(fewest, int(affordable / (per_epoch + 1))))
