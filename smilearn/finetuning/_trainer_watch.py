"""Follow a user's own Trainer from within, up to its early point."""

import math
import warnings
from collections.abc import Iterator, Mapping

import numpy as np
from transformers import TrainerCallback

from smilearn.exceptions import EarlyPointWarning, InvalidInputError
from smilearn.finetuning._early_point import (
    NEW_HEAD_DROP,
    EarlyPoint,
    evaluation_plan,
    evaluation_steps,
)
from smilearn.finetuning._network import losses_and_correct
from smilearn.finetuning._trainer_record import TrainerRecord
from smilearn.finetuning._trainer_samples import TrainerSamples, texts_of, untouched
from smilearn.utils._random import subsample
from smilearn.utils._validation import check_texts


class TrainerWatch(TrainerCallback):
    """The hooks of the callback: when to look, what to read, and when to act."""

    def on_train_begin(self, args, state, control, **kwargs):
        """Check what there is to follow, and measure the loss before the first step.

        Parameters
        ----------
        args : TrainingArguments
            Of the Trainer.

        state : TrainerState
            Of the Trainer.

        control : TrainerControl
            Of the Trainer.

        **kwargs : dict
            What the Trainer tells its callbacks.
        """
        self._validate_params()
        model, loader = kwargs["model"], kwargs["train_dataloader"]
        self._samples = self._training_samples(args, model, loader)
        self._plan(args, state, loader)
        with untouched(model):
            self._samples.check(model, layer=self.layer, pooling=self.pooling)
        if state.is_world_process_zero:
            self._try_to_write(args)
        self._take_up(state)
        if self.rule != "gap" and self._record.found is None:
            self._evaluate(state, model)
            self._act(args, state, control, model)

    def on_step_end(self, args, state, control, **kwargs):
        """Measure the loss where that is due, and act at the early point.

        Parameters
        ----------
        args : TrainingArguments
            Of the Trainer.

        state : TrainerState
            Of the Trainer.

        control : TrainerControl
            Of the Trainer.

        **kwargs : dict
            What the Trainer tells its callbacks.
        """
        if self.rule == "gap" or self._point is None:
            return
        if state.global_step in self._steps and not self._point.reached:
            self._evaluate(state, kwargs["model"])
        self._act(args, state, control, kwargs["model"])

    def on_evaluate(self, args, state, control, **kwargs):
        """Compare training and held-out loss, where the rule is "gap".

        Parameters
        ----------
        args : TrainingArguments
            Of the Trainer.

        state : TrainerState
            Of the Trainer.

        control : TrainerControl
            Of the Trainer.

        **kwargs : dict
            What the Trainer tells its callbacks.
        """
        following = self.rule == "gap" and getattr(self, "_point", None) is not None
        looked = following and self._point.history
        if not following or (looked and looked[-1]["step"] == state.global_step):
            return  # not in training, or one more of several evaluation sets
        model, loader = kwargs["model"], kwargs["eval_dataloader"]
        if not self._point.reached:
            held_out = self._samples_of(loader.dataset, args, model, loader)
            self._evaluate(state, model, held_out)
        self._act(args, state, control, model)

    def on_train_end(self, args, state, control, **kwargs):
        """Score at the end, where the early point was not reached, and warn.

        Parameters
        ----------
        args : TrainingArguments
            Of the Trainer.

        state : TrainerState
            Of the Trainer.

        control : TrainerControl
            Of the Trainer.

        **kwargs : dict
            What the Trainer tells its callbacks.
        """
        best, reached = None, self._point.reached
        if not self._acted:
            if args.load_best_model_at_end and state.best_model_checkpoint is not None:
                best = state.best_global_step  # its weights are in the model by now
            self._finish(args, state, control, kwargs["model"], best)
        self._point = None
        if not reached:
            which = ", the best checkpoint" if best is not None else ""
            warnings.warn(
                f"The training ended after {state.global_step} steps and before the "
                f'early point (rule="{self.rule}"); the scores are those of step '
                f"{self.early_step_}{which}. Train longer, or take another rule.",
                EarlyPointWarning,
                stacklevel=2,
            )

    def _plan(self, args, state, loader):
        """Settle which samples are looked at after which steps."""
        if self.rule == "gap" and str(getattr(args.eval_strategy, "value", "")) == "no":
            raise InvalidInputError(
                'rule="gap" compares with evaluation data: give the Trainer an '
                'eval_dataset and eval_strategy="epoch" or "steps", or another rule.'
            )
        labels = self._samples.labels
        per_epoch, n_evaluated = evaluation_plan(
            len(labels), self.evaluations_per_epoch
        )
        self._rows = _some(labels, n_evaluated)
        self._sized = True
        try:
            n_batches = len(loader)
        except TypeError:  # a stream: a pass over it is one over the samples given
            self._sized = False
            size = args.train_batch_size * args.world_size
            n_batches = math.ceil(len(labels) / size)
        n_steps = max(1, math.ceil(n_batches / args.gradient_accumulation_steps))
        n_epochs = math.ceil(state.max_steps / n_steps)
        self._steps = {*evaluation_steps(n_steps, per_epoch, n_epochs)}
        self._n_steps, self._stop_step = n_steps, None
        if self.rule == "epochs":
            self._stop_step = math.ceil(self.stop_epoch * n_steps - 1e-9)
            self._steps.add(self._stop_step)
        self._point = EarlyPoint(
            self.rule,
            loss_drop=NEW_HEAD_DROP if self.loss_drop == "auto" else self.loss_drop,
            stop_epoch=self.stop_epoch,
            base_loss=math.log(len(np.unique(labels))) if state.global_step else None,
        )
        self.history_, self.reached_, self._acted = self._point.history, False, False

    def _training_samples(self, args, model, loader):
        dataset, texts, given = loader.dataset, None, self.texts_or_dataset
        if isinstance(given, (Mapping, Iterator)):
            texts = check_texts(given)
        elif given is not None and not hasattr(given, "column_names"):
            if isinstance(next(iter(given), None), Mapping):
                dataset = given
            else:
                texts = check_texts(given)
        elif given is not None:
            dataset = given
        samples = self._samples_of(dataset, args, model, loader)
        if texts is not None and len(texts) != len(samples):
            raise InvalidInputError(
                f"There are {len(texts)} texts for {len(samples)} training samples."
            )
        texts = texts_of(dataset) if texts is None else texts
        trainer = getattr(self, "_trainer", None)
        if texts is None and given is None and trainer is not None:
            texts = texts_of(trainer.train_dataset)  # the loader's has lost the column
        self._texts = texts
        return samples

    def _take_up(self, state):
        self._record = TrainerRecord(self, state)
        found = self._record.found
        self._resumed_blind = found is None and state.global_step > 0
        if found is None:
            return  # nothing was kept by the checkpoint, or there is none
        self._point.base_loss = found["base_loss"]
        self._point.history.extend(found["history"])
        scored = found.get("scored")
        if scored is not None:
            self._point.reached = self._acted = True
            self.reached_, self.early_step_ = scored["reached"], scored["early_step"]
            self._load(scored)
            if not self.reached_:
                _warn_of_passed(self.early_step_)

    def _samples_of(self, dataset, args, model, loader):
        batch_size = max(
            args.per_device_train_batch_size, args.per_device_eval_batch_size
        )
        return TrainerSamples(
            dataset,
            loader.collate_fn,
            model,
            batch_size=batch_size,
            only_accepted=args.remove_unused_columns,
        )

    def _evaluate(self, state, model, held_out=None):
        with untouched(model):
            losses, correct = _measure(self._samples, model, self._rows)
            validation = None
            if held_out is not None:
                rows = np.flatnonzero(held_out.usable(self._samples.n_classes))
                rows = rows[_some(held_out.labels[rows], len(self._rows))]
                validation = _measure(held_out, model, rows)[0]
        self._point.update(
            state.global_step,
            self._epoch(state.global_step, state),
            losses,
            correct=correct,
            validation_losses=validation,
        )
        self._record.keep(self._point)

    def _epoch(self, step, state):
        """Passes over the data after a step; a Trainer counts no passes of a stream."""
        if self._sized and step == state.global_step:
            return state.epoch or 0.0
        return step / self._n_steps

    def _act(self, args, state, control, model):
        """Score once: at the early point, or after the last step."""
        last = state.global_step >= state.max_steps
        if not self._acted and (self._point.reached or last):
            self._finish(args, state, control, model)

    def _finish(self, args, state, control, model, step=None):
        """Score; `step` is the one that the model is of, where it is not the last."""
        late = self._is_late(state.global_step)
        self._acted, self.reached_ = True, bool(self._point.reached and not late)
        self.early_step_ = step = state.global_step if step is None else step
        with untouched(model):
            rows = np.arange(len(self._samples))
            X, logits = self._samples.read(
                model, rows, layer=self.layer, pooling=self.pooling
            )
            labels = self._samples.labels
            losses, correct = losses_and_correct(logits, labels)
            whole = {"step": step, "n_evaluated": len(rows)}
            if not any(whole.items() <= h.items() for h in self._point.history[-1:]):
                self._point.note(step, self._epoch(step, state), losses, correct)
            self._score(X, labels, losses, correct)
        self._report(args, state, control)
        self._record.keep(self._point, self)
        if self.stop and self._point.reached:
            control.should_training_stop = True
        if self._point.reached and late:
            _warn_of_passed(step)

    def _is_late(self, step):
        """Whether the early point was passed before the first look at a resumed run."""
        if self.rule == "epochs":
            return step > self._stop_step
        return self._resumed_blind and len(self._point.history) == 1


def _warn_of_passed(step):
    warnings.warn(
        f"The training was resumed past its early point; the scores are those of step "
        f"{step}, where it was first looked at. Train from the start, or resume from a "
        "checkpoint that is not past it.",
        EarlyPointWarning,
        stacklevel=3,
    )


def _some(labels, n_rows):
    """Rows of a subsample that is the same in each run."""
    return subsample(labels, n_rows, np.random.default_rng([0, n_rows]))


def _measure(samples, model, rows):
    """Loss in nats, and whether it is classified as labelled, of some samples."""
    return losses_and_correct(samples.read(model, rows)[1], samples.labels[rows])
