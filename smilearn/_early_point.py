"""The early point of a training run: learnt the task, not yet the samples (floor 1)."""

import numpy as np

from smilearn.exceptions import InvalidInputError


class EarlyPoint:
    """Follow the median training loss, and say when it has fallen far enough.

    The rule of arXiv:2409.18858: the first evaluation at which the median per-sample
    loss is at most ``1 - loss_drop`` of the median before the first step.

    Parameters
    ----------
    loss_drop : float
        Relative fall of the median loss, in (0, 1).
    """

    def __init__(self, loss_drop):
        self.loss_drop = loss_drop
        self.history = []

    def update(self, step, epoch, losses, correct):
        """Take in an evaluation of all training samples.

        Parameters
        ----------
        step : int
            Optimizer steps so far; 0 before training, which must come first.

        epoch : float
            Passes over the data so far.

        losses : ndarray of shape (n_samples,)
            Cross-entropy of each sample in nats, model in eval mode.

        correct : ndarray of shape (n_samples,)
            Whether the model already predicts each training label.

        Returns
        -------
        reached : bool
            Whether this evaluation is at or past the early point.

        Raises
        ------
        InvalidInputError
            If a loss is not finite: training diverged.
        """
        if not np.isfinite(losses).all():
            raise InvalidInputError(
                f"The training loss is not a number after {step} steps: training "
                "diverged. Lower learning_rate."
            )
        median = float(np.median(losses))
        self.history.append(
            {
                "step": int(step),
                "epoch": float(epoch),
                "median_loss": median,
                "share_fitted": float(np.mean(correct)),
            }
        )
        return step > 0 and median <= self.threshold

    @property
    def threshold(self):
        """Median loss at which the early point is reached, in nats."""
        return (1 - self.loss_drop) * self.history[0]["median_loss"]


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
