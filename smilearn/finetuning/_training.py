"""One fine-tune on transformers.Trainer, watched for the early point; its texts."""

import math
import random
import time
import warnings
from contextlib import ExitStack, contextmanager
from functools import partial
from numbers import Real
from threading import RLock

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn.utils.rnn import pad_sequence
from transformers import PrinterCallback, Trainer, TrainerCallback, set_seed

from smilearn.embedding._batches import read_in_batches
from smilearn.embedding._tokens import own_tokenizer, pad, tokenize, unread
from smilearn.exceptions import InvalidInputError
from smilearn.finetuning._limits import LimitedTrainer
from smilearn.finetuning._network import losses_and_correct, read
from smilearn.utils._indexing import large_array
from smilearn.utils._random import subsample
from smilearn.utils._validation import warn_unread

_BATCH = 64
_MOST_IN_MEMORY = 2**30  # bytes of stored states


class TextSamples:
    """Texts as tokens; `labels` of a training are its codes, weights and held_out."""

    def __init__(self, texts, tokenizer, max_length, n_rows=None, **labels):
        tokens, longer = tokenize(texts, own_tokenizer(tokenizer), max_length)
        warn_unread(int(unread(texts, tokens, tokenizer, n_rows).sum()), len(texts))
        self.n_truncated = int(longer.sum())
        empty = [tokenizer.pad_token_id]  # decoders give no token for an empty text
        self.input_ids = [list(ids) or empty for ids in tokens]
        self.pad_token_id = tokenizer.pad_token_id
        self.lengths = np.array([len(ids) for ids in self.input_ids])
        self.stored = None  # states of the tokens of each text
        vars(self).update(labels)

    def __len__(self):
        return len(self.input_ids)

    def batch(self, rows, device=None):
        """Right-padded tensors of a batch: `input_ids`, `attention_mask`, `hidden`."""
        tokens, mask = pad([self.input_ids[row] for row in rows], self.pad_token_id)
        batch = {"input_ids": tokens, "attention_mask": mask}
        if self.stored is not None:
            states = [torch.from_numpy(self.stored[row]) for row in rows]
            batch["hidden"] = pad_sequence(states, batch_first=True)
        return {name: tensor.to(device=device) for name, tensor in batch.items()}

    def collate(self, features):
        """Make a training batch of rows; of none, one that weighs nothing."""
        rows = np.array([feature["row"] for feature in features] or [0])
        batch = {
            **self.batch(rows),
            "labels": torch.from_numpy(self.targets[rows]),
            "weights": torch.from_numpy(self.weights[rows] * bool(features)).float(),
        }
        if self.clip is not None:
            batch["clip"] = torch.from_numpy(self.clip[rows]).float()
        return batch

    def store(self, network):
        """Run the frozen layers of a network once, and keep the states of tokens."""
        stored = large_array(
            (int(self.lengths.sum()), network.width),
            np.float32,
            limit=_MOST_IN_MEMORY,
            advice="lower max_length, or take freeze_layers=0, which stores no rows",
        )

        def forward(rows):
            batch = self.batch(rows, network.device)
            states = network.frozen.states(network.backbone, **batch)
            return states.float().cpu().numpy()

        stored = np.split(stored, np.cumsum(self.lengths)[:-1])
        options = {"batch_size": _BATCH, "device": network.device}
        for rows, states in read_in_batches(self.lengths, forward, **options):
            for row, text in zip(rows, states, strict=True):
                stored[row][:] = text[: self.lengths[row]]
        self.stored = stored


class Watcher(TrainerCallback):
    """Measure losses of a fixed subsample; stop training at the early point."""

    def __init__(self, network, samples, point, arguments, per_epoch, folder=None):
        self.network, self.samples, self.point = network, samples, point
        self.folder, self.seconds = folder, 0.0
        held_out = np.flatnonzero(samples.held_out)
        trained = np.flatnonzero(~samples.held_out)
        n_batches = math.ceil(len(trained) / arguments.per_device_train_batch_size)
        n_steps = math.ceil(n_batches / arguments.gradient_accumulation_steps)
        n_evaluated, self.steps = point.plan(
            len(trained), per_epoch, n_steps, arguments.num_train_epochs
        )
        n_held_out = len(held_out)
        if n_evaluated < len(trained):
            n_held_out = min(n_held_out, n_evaluated // 2)
            n_evaluated -= n_held_out
        codes, rng = samples.codes, np.random.default_rng([arguments.seed, 1])
        self.held_out = held_out[subsample(codes[held_out], n_held_out, rng)]
        self.rows = trained[subsample(codes[trained], n_evaluated, rng)]

    def on_step_end(self, args, state, control, **kwargs):
        """Evaluate where due, and stop at the early point."""
        if state.global_step in self.steps:
            self.evaluate(state.global_step, state.epoch)
            control.should_save |= self.folder is not None
            control.should_training_stop |= self.point.reached

    def on_save(self, args, state, control, **kwargs):
        """Note that the checkpoint is whole."""
        progress = {"history": self.point.history, "reached": self.point.reached}
        self.folder.finish_checkpoint(state.global_step, progress)

    def evaluate(self, step, epoch):
        """Measure the subsample, and ask the rule."""
        start = time.perf_counter()
        losses, correct = self._measure(self.rows)
        held_out = self._measure(self.held_out)[0] if len(self.held_out) else None
        self.point.update(step, epoch, losses, correct, held_out)
        self.seconds += time.perf_counter() - start

    def _measure(self, rows):
        logits = read(self.network, self.samples, rows)[1]
        return losses_and_correct(logits, self.samples.codes[rows])


class EpochTasks(TrainerCallback):
    """Report each epoch, or its part before the early point, to a `FitTask`."""

    def __init__(self, fit_task, network):
        self.fit_task, self.epoch = fit_task, ExitStack()
        logits = np.empty((0, network.n_classes), np.float32)
        self.fitted = {"_network": network, "logits_": logits}
        self.fitted["n_features_out_"] = network.width

    def on_epoch_begin(self, args, state, control, **kwargs):
        """Begin the task of an epoch."""
        facts = {"X": self.fit_task.X, "y": self.fit_task.y}
        facts["reconstruction_attributes"] = self.fitted
        self.epoch.enter_context(self.fit_task.part("epoch", **facts))

    def on_epoch_end(self, args, state, control, **kwargs):
        """End it."""
        self.epoch.close()


def train(
    network, samples, point, arguments, per_epoch, folder, callbacks, privacy=None
):
    """Train up to the early point or the last epoch; share of time for evaluations."""
    watcher = Watcher(network, samples, point, arguments, per_epoch, folder)
    checkpoint, progress = folder.latest() if folder else (None, None)
    if checkpoint is None:
        watcher.evaluate(0, 0.0)
    else:
        point.history, point.reached = progress["history"], progress["reached"]
    if point.reached:
        if checkpoint is not None:
            file, device = checkpoint / "model.safetensors", str(network.device)
            network.load_state_dict(load_file(file, device=device), strict=False)
        return 0.0
    before, start = watcher.seconds, time.perf_counter()
    kind = Trainer
    if privacy or samples.clip is not None:
        kind = partial(LimitedTrainer, privacy=privacy)
    trainer = kind(
        model=network,
        args=arguments,
        train_dataset=[{"row": row} for row in np.flatnonzero(~samples.held_out)],
        data_collator=samples.collate,
        callbacks=[watcher, *callbacks],
    )
    trainer.remove_callback(PrinterCallback)
    with _naming(folder), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Full backward hook")  # of frozen layers
        trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    for wrapper in ("forward", "_original_forward"):  # of mixed precision
        vars(network).pop(wrapper, None)
    training = time.perf_counter() - start - (watcher.seconds - before)
    return watcher.seconds / training


@contextmanager
def _naming(folder):
    """Make errors of libraries that cannot write a checkpoint name its folder."""
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        reason = str(error)
        if folder and ("I/O error" in reason or "PytorchStreamWriter" in reason):
            raise OSError(0, reason, str(folder.path)) from error
        raise


def loss_weights(class_weight, classes, codes, sample_weight, *, private=False):
    """Weight of each sample in a loss, 1 on average; private ones as they are given."""
    weights = np.ones(len(codes)) if sample_weight is None else sample_weight
    by_class = np.ones(len(classes))
    if isinstance(class_weight, dict):
        labels = classes.tolist()
        for label, weight in class_weight.items():
            if label not in labels:
                raise InvalidInputError(
                    f"class_weight has {label!r}, which is no label; labels are: "
                    f"{', '.join(map(repr, labels))}."
                )
            if not isinstance(weight, Real) or not np.isfinite(weight):
                raise InvalidInputError(
                    f"class_weight of {label!r} must be a number; got {weight!r}."
                )
        by_class = np.array([class_weight.get(label, 1.0) for label in labels], float)
    elif class_weight == "balanced":
        total = np.bincount(codes, weights)
        by_class = np.divide(1.0, total, out=np.zeros(len(total)), where=total > 0)
    weights = weights * by_class[codes]
    if not (weights >= 0).all() or not weights.sum() > 0:
        raise InvalidInputError(
            "class_weight and sample_weight must be 0 or more, and not 0 for all "
            f"texts; got class_weight={class_weight!r}."
        )
    return weights if private else weights * (len(weights) / weights.sum())


@contextmanager
def seeded(seed):
    """Seed torch, NumPy and Python, and put their streams back afterwards."""
    with streams_kept():
        set_seed(seed)
        yield


_STREAMS = RLock()  # of a process: threads that draw from them do so in turn


@contextmanager
def streams_kept():
    """Put the random streams of torch, NumPy and Python back as they were."""
    devices = range(torch.cuda.device_count())  # named: no warning
    with _STREAMS, torch.random.fork_rng(devices):
        python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
