"""Epochs of a fine-tune that scikit-learn's callbacks are told of."""

from contextlib import ExitStack

from transformers import TrainerCallback


class EpochTasks(TrainerCallback):
    """Tell of each epoch, or of the part of one before the early point."""

    def __init__(self, follow, fitted):
        self.follow, self.fitted, self.epoch = follow, fitted, ExitStack()

    def on_epoch_begin(self, args, state, control, **kwargs):
        """Begin the task of an epoch."""
        facts = {"X": self.follow.X, "y": self.follow.y}
        part = self.follow.part("epoch", **facts, reconstruction_attributes=self.fitted)
        self.epoch.enter_context(part)

    def on_epoch_end(self, args, state, control, **kwargs):
        """End it."""
        self.epoch.close()
