"""The early point of a user's own transformers.Trainer."""

import os
import warnings
from numbers import Integral, Real
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator

from smilearn.embedding._pooling import POOLINGS
from smilearn.exceptions import EarlyPointWarning
from smilearn.filtering._filter import RiskFilter
from smilearn.finetuning._early_point import RULES
from smilearn.finetuning._trainer_watch import TrainerWatch
from smilearn.scoring._scorer import SlicedMIScorer
from smilearn.tables._io import write_frame
from smilearn.tables._risk_table import RiskTable
from smilearn.utils._documentation import Documented
from smilearn.utils._sklearn_compat import HasMethods, Interval, StrOptions

__all__ = ["MemorizationCallback"]


class MemorizationCallback(TrainerWatch, Documented, BaseEstimator):
    """Score the training samples of a ``transformers.Trainer`` at its early point.

    For a sequence classification model, with adapters or without. Now and then the
    losses of training samples are measured, on a loader of the callback's own: in
    data-set order, with the Trainer's collator, padded on the right, in eval mode. At
    the early point the hidden states of all training samples are read and scored, and
    the table is written. The training is not touched: neither its data nor a random
    stream; with and without the callback the losses of the Trainer are the same bits.

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
    Checkpoints keep what was measured and found, in `trainer_state.json`: a run that is
    resumed goes on from there, and takes the table of an early point it is past from
    `file_`. Where the checkpoint knows nothing, the log of the number of classes stands
    for the loss before the first step. If the rule then holds at the first look, the
    early point has been passed: the samples are scored at once, with an
    EarlyPointWarning, and `reached_` is False.

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
        "rule": [StrOptions(set(RULES))],
        "loss_drop": [Interval(Real, 0, 1, closed="neither"), StrOptions({"auto"})],
        "stop_epoch": [Interval(Real, 0, None, closed="left")],
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

    def _score(self, X, labels, losses, correct):
        """Set the table, the scores, and which samples to keep."""
        scorer = self.scorer
        if scorer is None:
            scorer = SlicedMIScorer(random_state=0)
        cleaner = RiskFilter(scorer, share=self.share).fit(X, labels)
        self.kept_indices_, self.scores_ = cleaner.sample_indices_, cleaner.scores_
        if hasattr(cleaner.scorer_, "to_table"):
            self.table_ = cleaner.scorer_.to_table(X, texts=self._texts)
        else:
            self.table_ = RiskTable(self.scores_, labels, text=self._texts)
        self._facts = {
            "risk/median": float(-np.median(self.scores_)),
            "risk/highest": float(-self.scores_.min()),
            "risk/n_left_out": len(labels) - len(self.kept_indices_),
            "risk/share_fitted": float(correct.mean()),
            "risk/median_loss": float(np.median(losses)),
        }

    def _try_to_write(self, args):
        """Fail now, not at the early point, if no table can be written."""
        probe = self._folder(args) / f".risk-probe.{self.file_format}"
        write_frame(pl.DataFrame({"psmi": [0.0]}), probe)
        probe.unlink(missing_ok=True)

    def _folder(self, args):
        return Path(args.output_dir if self.folder is None else self.folder)

    def _load(self, found):
        """Take the table of an early point that was reached before a resumption."""
        n_samples = len(self._samples)
        self.file_ = Path(found["file"])
        self.kept_indices_ = np.setdiff1d(np.arange(n_samples), found["left_out"])
        try:
            self.scores_ = RiskTable.read(self.file_)["psmi"]
        except (OSError, ValueError) as error:
            warnings.warn(
                f"The early point was reached at step {self.early_step_}, before this "
                f"training was resumed, but its table cannot be read: {error}. There "
                "are kept_indices_ and no scores_.",
                EarlyPointWarning,
                stacklevel=4,
            )
            return
        self.table_ = RiskTable(self.scores_, self._samples.labels, text=self._texts)

    def _report(self, args, state, control):
        """Write the table, and log the summary."""
        name = f"risk-step-{self.early_step_}.{self.file_format}"
        self.file_ = self._folder(args) / name
        if state.is_world_process_zero:
            getattr(self.table_, f"to_{self.file_format}")(self.file_)
        trainer = getattr(self, "_trainer", None)
        if trainer is None:
            entry = {**self._facts, "epoch": state.epoch, "step": self.early_step_}
            state.log_history.append(entry)
            return
        due = control.should_log  # logging takes back the Trainer's own wish to log
        trainer.log(dict(self._facts))
        control.should_log = due
