"""The early point of a user's own transformers.Trainer."""

import math
import os
from numbers import Integral, Real
from pathlib import Path
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from transformers import TrainerCallback

from smilearn.embedding._pooling import POOLINGS
from smilearn.exceptions import EarlyPointWarning, InvalidInputError
from smilearn.filtering._filter import RiskFilter
from smilearn.finetuning._early_point import POINT_CONSTRAINTS, EarlyPoint
from smilearn.finetuning._trainer_samples import (
    TrainerSamples,
    dataset_and_texts,
    texts_of,
    untouched,
)
from smilearn.scoring._scorer import SlicedMIScorer
from smilearn.tables._risk_table import RiskTable
from smilearn.utils._documentation import Documented
from smilearn.utils._random import subsample
from smilearn.utils._sklearn_compat import HasMethods, Interval, StrOptions
from smilearn.utils._warnings import warn


class TrainerTracker:
    """Steps at which losses of a Trainer are measured, and its early point."""

    def __init__(self, point, labels, per_epoch, args, state, loader):
        self.point, self.is_sized, self.resumed_blind = point, True, False
        try:
            n_batches = len(loader)
        except TypeError:  # a stream: a pass over it is one over the samples to score
            self.is_sized, size = False, args.train_batch_size * args.world_size
            n_batches = math.ceil(len(labels) / size)
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
        epoch = self._epoch(state.global_step, state)
        self.point.update(state.global_step, epoch, losses, correct, validation)

    def note(self, step, state, losses, correct):
        """Put the losses of all samples in the history, unless they are there."""
        last = (self.point.history or [{"step": None}])[-1]
        if last["step"] != step or last["n_evaluated"] != len(losses):
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


# parameters that a record in a checkpoint depends on
_DECIDING = ("rule", "loss_drop", "stop_epoch", "layer", "pooling", "share")


class MemorizationCallback(TrainerCallback, Documented, BaseEstimator):
    """Score the training samples of a ``transformers.Trainer`` at its early point.

    For a sequence classification model, with adapters or without. Now and then the
    losses of training samples are measured, in data-set order, with the Trainer's
    collator, padded on the right, in eval mode. At the early point the hidden states of
    all training samples are read and scored, and the table is written. With and without
    the callback the losses of the Trainer are the same bits.

    Parameters
    ----------
    texts_or_dataset : sequence of str or Dataset, default=None
        Texts of the training samples, for the table; or the (tokenized) data set to
        score, where that is not the Trainer's or is a stream. None takes the Trainer's
        data set, and its column `text` if there is one. With ``remove_unused_columns``,
        the default of a Trainer, that column of a `datasets.Dataset` is gone by then:
        give the texts here, or use :meth:`attach`.

    scorer : estimator, default=None
        Has `scores_` after ``fit(X, y)``, low = at risk; None is
        ``SlicedMIScorer(random_state=0)``.

    rule : {"median-loss", "gap", "epochs"}, default="median-loss"
        "median-loss": the median loss has fallen by `loss_drop` since before the first
        step. "gap": the mean training loss is below 0.8 of the mean loss of the
        Trainer's evaluation data, looked at whenever the Trainer evaluates. "epochs":
        `stop_epoch` epochs are over.

    loss_drop : float in (0, 1) or "auto", default="auto"
        For "median-loss"; "auto" is 0.5, which suits a new head.

    stop_epoch : float, default=1.0
        For "epochs"; 0 scores before the first step.

    evaluations_per_epoch : int or "auto", default=4
        How often losses are measured, on a random subsample of each class of such a
        size that this costs a fifth of the training time; of 100 samples at least.

    layer : int, default=-1
        Hidden states to score: 0 are the embeddings, -1 is the last layer.

    pooling : {"auto", "mean", "cls", "last"}, default="auto"
        One vector a text: "auto" takes the last real token of decoders and the first
        one of encoders, as their heads do.

    stop : bool, default=False
        Whether to end the training at the early point.

    share : float in [0, 1), default=None
        Share of samples that `kept_indices_` leaves out; None leaves out those that
        score below the `offset_` of the scorer (0 nats, if it has none).

    folder : str or path-like, default=None
        Where the table is written; None takes the `output_dir` of the Trainer.

    file_format : {"csv", "parquet"}, default="csv"
        Of the table, ``risk-step-N.csv`` for step N.

    Attributes
    ----------
    table_ : RiskTable
        One row a training sample, in data-set order.

    scores_ : ndarray of shape (n_samples,)
        Score of each training sample, in nats; low = at risk.

    kept_indices_ : ndarray of int
        Samples to keep, for ``Dataset.select``.

    history_ : list of dict
        One entry an evaluation: `step`, `epoch`, `median_loss` and `mean_loss` in nats,
        `share_fitted`, `n_evaluated`, and for "gap" `validation_loss`.

    early_step_ : int
        Optimizer steps after which the samples were scored: at the early point, or at
        the end of a training that did not reach it; of the best checkpoint, where the
        Trainer has loaded that at the end.

    reached_ : bool
        Whether the scores are those of the early point; False where the training ended
        before it, or was resumed past it.

    file_ : Path
        Where the table was written.

    See Also
    --------
    EarlyPointMonitor : The same for a training loop without Trainer.

    Notes
    -----
    A summary goes to ``trainer.state.log_history`` (`risk/median`, `risk/highest`,
    `risk/n_left_out`, `risk/share_fitted`, `risk/median_loss`). A Trainer does not tell
    its callbacks who it is, so for its reporters as well (TensorBoard, W&B and so on)
    add the callback by ``callback.attach(trainer)``, not ``callbacks=[callback]``.
    A run that is resumed goes on from what its checkpoint keeps of the measurements,
    and takes the table of an early point that it is past from `file_`. Without them,
    the log of the number of classes stands for the loss before the first step; if the
    rule then holds at the first look, the early point has been passed: the samples are
    scored at once, with an EarlyPointWarning, and `reached_` is False.

    Examples
    --------
    >>> from smilearn import MemorizationCallback
    >>> callback = MemorizationCallback(rule="epochs", stop_epoch=0.5, share=0.05)
    >>> callback.get_params()["layer"]
    -1

    It is handed to a Trainer as ``Trainer(..., callbacks=[callback])``; afterwards
    ``dataset.select(callback.kept_indices_)`` is the cleaner training set.
    """

    _parameter_constraints: ClassVar[dict] = {
        "texts_or_dataset": "no_validation",
        "scorer": [HasMethods("fit"), None],
        **POINT_CONSTRAINTS,
        "evaluations_per_epoch": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "layer": [Integral],
        "pooling": [StrOptions({"auto", *POOLINGS})],
        "stop": ["boolean"],
        "share": [Interval(Real, 0, 1, closed="left"), None],
        "folder": [str, os.PathLike, None],
        "file_format": [StrOptions({"csv", "parquet"})],
    }
    _trainer = _tracker = None  # a tracker during a training

    def __init__(
        self,
        texts_or_dataset=None,
        *,
        scorer=None,
        rule="median-loss",
        loss_drop="auto",
        stop_epoch=1.0,
        evaluations_per_epoch=4,
        layer=-1,
        pooling="auto",
        stop=False,
        share=None,
        folder=None,
        file_format="csv",
    ):
        self.texts_or_dataset = texts_or_dataset
        self.scorer = scorer
        self.rule = rule
        self.loss_drop = loss_drop
        self.stop_epoch = stop_epoch
        self.evaluations_per_epoch = evaluations_per_epoch
        self.layer = layer
        self.pooling = pooling
        self.stop = stop
        self.share = share
        self.folder = folder
        self.file_format = file_format

    def attach(self, trainer):
        """Add the callback to a Trainer, so that its reporters get the summary too.

        Parameters
        ----------
        trainer : Trainer
            The Trainer.

        Returns
        -------
        self : MemorizationCallback
            The callback.
        """
        self._trainer = trainer
        if self not in trainer.callback_handler.callbacks:
            trainer.add_callback(self)
        return self

    def on_train_begin(self, args, state, control, **kwargs):
        """Check what there is to follow, and measure the loss before the first step.

        Parameters
        ----------
        args, state, control, **kwargs : object
            What a Trainer hands to its callbacks.
        """
        self._validate_params()
        model, loader = kwargs["model"], kwargs["train_dataloader"]
        dataset, texts = dataset_and_texts(self.texts_or_dataset, loader.dataset)
        self._samples = TrainerSamples(dataset, loader.collate_fn, model, args)
        self._texts = texts_of(dataset) if texts is None else texts
        if self._texts is None and self.texts_or_dataset is None and self._trainer:
            self._texts = texts_of(self._trainer.train_dataset)  # as it was handed in
        if texts is not None and len(texts) != len(dataset):
            raise InvalidInputError(
                f"There are {len(texts)} texts for {len(dataset)} training samples."
            )
        if self.rule == "gap" and str(getattr(args.eval_strategy, "value", "")) == "no":
            raise InvalidInputError(
                'rule="gap" compares with evaluation data: give the Trainer an '
                'eval_dataset and eval_strategy="epoch" or "steps", or another rule.'
            )
        point = EarlyPoint(self.rule, self.loss_drop, self.stop_epoch)
        labels, per_epoch = self._samples.labels, self.evaluations_per_epoch
        self._tracker = TrainerTracker(point, labels, per_epoch, args, state, loader)
        with untouched(model):
            self._samples.check_labels(model, layer=self.layer, pooling=self.pooling)
        self._folder = Path(args.output_dir if self.folder is None else self.folder)
        probe = self._write(RiskTable([0.0], [0]), ".risk-probe", state)
        probe.unlink(missing_ok=True)  # a folder that takes no table fails here
        self.history_, self.reached_, self._scored = point.history, False, False
        record = None
        if state.global_step:
            record = state.stateful_callbacks.get(self._record_name())
            if record is not None and record["n_samples"] != len(labels):
                record = None
            self._tracker.resume(record, len(np.unique(labels)))
        if record is not None and "scored" in record:
            self._load(**record["scored"])
        if record is None and self.rule != "gap":
            self._measure(state, model)
            self._score_if_due(args, state, control, model)

    def on_step_end(self, args, state, control, **kwargs):
        """Measure the loss where that is due, and score at the early point.

        Parameters
        ----------
        args, state, control, **kwargs : object
            What a Trainer hands to its callbacks.
        """
        if self.rule != "gap":
            is_due = state.global_step in self._tracker.steps
            if is_due and not self._tracker.point.reached:
                self._measure(state, kwargs["model"])
            self._score_if_due(args, state, control, kwargs["model"])

    def on_evaluate(self, args, state, control, **kwargs):
        """Compare training and held-out loss, where the rule is "gap".

        Parameters
        ----------
        args, state, control, **kwargs : object
            What a Trainer hands to its callbacks.
        """
        if self.rule != "gap" or self._tracker is None:
            return  # not in training
        if self.history_ and self.history_[-1]["step"] == state.global_step:
            return  # one more of several evaluation sets
        model, loader = kwargs["model"], kwargs["eval_dataloader"]
        if not self._tracker.point.reached:
            collate = loader.collate_fn
            held_out = TrainerSamples(loader.dataset, collate, model, args)
            self._measure(state, model, held_out)
        self._score_if_due(args, state, control, model)

    def on_train_end(self, args, state, control, **kwargs):
        """Score at the end, where the early point was not reached, and warn.

        Parameters
        ----------
        args, state, control, **kwargs : object
            What a Trainer hands to its callbacks.
        """
        best, which, point = None, "", self._tracker.point
        if not self._scored:
            if args.load_best_model_at_end and state.best_model_checkpoint is not None:
                best = state.best_global_step  # its weights are in the model by now
                which = ", the best checkpoint"
            self._score(args, state, control, kwargs["model"], best)
        self._tracker = None
        if not point.reached:
            _warn(
                f"The training ended after {state.global_step} steps and before the "
                f'early point (rule="{self.rule}"): {point.shortfall()}. The scores '
                f"are those of step {self.early_step_}{which}. Train longer, or take "
                "another rule."
            )

    def _write(self, table, name, state):
        file = self._folder / f"{name}.{self.file_format}"
        if state.is_world_process_zero:
            getattr(table, f"to_{self.file_format}")(file)
        return file

    def _record_name(self):
        settings = [f"{name}={getattr(self, name)!r}" for name in _DECIDING]
        return f"{type(self).__name__}({', '.join(settings)})"

    def _keep(self, state, **scored):
        """Record losses for the next checkpoint, and scores of an early point."""
        point = self._tracker.point
        record = {"n_samples": len(self._samples), "base_loss": point.first_loss}
        record["history"] = list(point.history)
        if scored:
            record["scored"] = scored
        state.stateful_callbacks[self._record_name()] = record

    def _measure(self, state, model, held_out=None):
        with untouched(model):
            self._tracker.measure(self._samples, model, state, held_out)
        self._keep(state)

    def _score_if_due(self, args, state, control, model):
        """Score once: at the early point, or after the last step."""
        is_last = state.global_step >= state.max_steps
        if not self._scored and (self._tracker.point.reached or is_last):
            self._score(args, state, control, model)

    def _score(self, args, state, control, model, best_step=None):
        """Score all samples by the model as it is, and leave table, log and record."""
        tracker, samples = self._tracker, self._samples
        reached, late = tracker.point.reached, tracker.is_late(state.global_step)
        self._scored, self.reached_ = True, bool(reached and not late)
        self.early_step_ = state.global_step if best_step is None else best_step
        scorer = self.scorer
        scorer = SlicedMIScorer(random_state=0) if scorer is None else scorer
        with untouched(model):
            X, losses, correct = samples.embed(model, self.layer, self.pooling)
            tracker.note(self.early_step_, state, losses, correct)
            cleaner = RiskFilter(scorer, share=self.share).fit(X, samples.labels)
            self.kept_indices_, self.scores_ = cleaner.sample_indices_, cleaner.scores_
            if hasattr(cleaner.scorer_, "to_table"):
                self.table_ = cleaner.scorer_.to_table(X, texts=self._texts)
            else:
                self.table_ = RiskTable(self.scores_, samples.labels, text=self._texts)
        summary = {
            "risk/median": float(-np.median(self.scores_)),
            "risk/highest": float(-self.scores_.min()),
            "risk/n_left_out": len(samples) - len(self.kept_indices_),
            "risk/share_fitted": float(correct.mean()),
            "risk/median_loss": float(np.median(losses)),
        }
        self.file_ = self._write(self.table_, f"risk-step-{self.early_step_}", state)
        if self._trainer is None:
            place = {"epoch": state.epoch, "step": self.early_step_}
            state.log_history.append({**summary, **place})
        else:
            due = control.should_log  # logging takes back the Trainer's wish to log
            self._trainer.log(summary)
            control.should_log = due
        scored = {"reached": self.reached_, "early_step": int(self.early_step_)}
        left_out = np.setdiff1d(np.arange(len(samples)), self.kept_indices_)
        scored |= {"file": str(self.file_), "left_out": left_out.tolist()}
        self._keep(state, **(scored if reached else {}))
        control.should_training_stop |= bool(self.stop and reached)
        if reached and late:
            self._warn_of_passed_point()

    def _load(self, *, reached, early_step, file, left_out):
        """Take the table of an early point that was reached before a resumption."""
        self._scored, self.reached_, self.early_step_ = True, reached, early_step
        self.file_ = Path(file)
        self.kept_indices_ = np.setdiff1d(np.arange(len(self._samples)), left_out)
        try:
            read = RiskTable.read(self.file_)
            names = {"probability", "psmi", "std"} & {*read.columns}
            known = {name: read[name] for name in names} | {"text": self._texts}
            scores = 0.0 - read["risk"]
            self.table_ = RiskTable(scores, self._samples.labels, **known)
            self.scores_ = scores
        except (OSError, KeyError, ValueError) as error:
            _warn(
                f"The early point was reached at step {early_step}, before this "
                f"training was resumed, but its table cannot be read: {error}. There "
                "are kept_indices_ and no scores_."
            )
        if not reached:
            self._warn_of_passed_point()

    def _warn_of_passed_point(self):
        _warn(
            f"The training was resumed past its early point; the scores are those of "
            f"step {self.early_step_}, where it was first looked at. Train from the "
            "start, or resume from a checkpoint that is not past it."
        )


def _warn(message):
    warn(message, EarlyPointWarning)
