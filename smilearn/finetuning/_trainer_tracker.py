"""When the losses of a user's own Trainer are measured, and what they show."""

import math

import numpy as np

from smilearn.exceptions import InvalidInputError
from smilearn.utils._random import subsample


class TrainerTracker:
    """Steps at which losses of a Trainer are measured, and its early point."""

    def __init__(self, point, labels, per_epoch, args, state, loader):
        self.point, self.is_sized, self.resumed_blind = point, True, False
        try:
            n_batches = len(loader)
        except TypeError:  # a stream: a pass over it is one over the samples to score
            self.is_sized = False
            n_batches = math.ceil(
                len(labels) / (args.train_batch_size * args.world_size)
            )
        self.n_steps = max(1, math.ceil(n_batches / args.gradient_accumulation_steps))
        n_epochs = math.ceil(state.max_steps / self.n_steps)
        n_rows, self.steps = point.plan(len(labels), per_epoch, self.n_steps, n_epochs)
        self.rows = _fixed_rows(labels, n_rows)

    def resume(self, record, n_classes):
        """Go on from the record of a checkpoint; without one, as a new head starts."""
        self.resumed_blind = record is None
        self.point.base_loss = math.log(n_classes)
        if record is not None:
            self.point.base_loss = record["base_loss"]
            self.point.history.extend(record["history"])
            self.point.reached = "scored" in record

    def is_due(self, step):
        """Whether to measure after a step."""
        return step in self.steps and not self.point.reached

    def measure(self, samples, model, state, held_out=None):
        """Measure losses, and ask the rule."""
        losses, correct = samples.losses(model, self.rows)
        validation = None
        if held_out is not None:
            rows = np.flatnonzero(held_out.usable(samples.n_classes))
            if not len(rows):
                raise InvalidInputError(
                    "No sample of the evaluation data has a label that is a class of "
                    'the model. Give others, or another rule than "gap".'
                )
            rows = rows[_fixed_rows(held_out.labels[rows], len(self.rows))]
            validation = held_out.losses(model, rows)[0]
        self.point.update(
            state.global_step,
            self._epoch(state.global_step, state),
            losses,
            correct=correct,
            validation_losses=validation,
        )

    def note(self, step, state, losses, correct):
        """Put the losses of all samples in the history, unless they are there."""
        entry = {"step": step, "n_evaluated": len(losses)}
        if not any(entry.items() <= last.items() for last in self.point.history[-1:]):
            self.point.note(step, self._epoch(step, state), losses, correct)

    def _epoch(self, step, state):
        """Passes over the data after a step; a Trainer counts no passes of a stream."""
        if self.is_sized and step == state.global_step:
            return state.epoch or 0.0
        return step / self.n_steps

    def is_late(self, step):
        """Whether the early point was passed before the first look at a resumed run."""
        if self.point.rule == "epochs":
            return step > self.point.stop_step(self.n_steps)
        return self.resumed_blind and len(self.point.history) == 1


def _fixed_rows(labels, n_rows):
    """Rows of a subsample that is the same in each run."""
    return subsample(labels, n_rows, np.random.default_rng([0, n_rows]))
