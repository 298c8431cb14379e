"""One fine-tune on transformers.Trainer, watched for the early point."""

import math
import random
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from smilearn.embedding._tokens import own_tokenizer, pad, tokenize, unread
from smilearn.finetuning._early_point import (
    EarlyPoint,
    evaluation_plan,
    evaluation_steps,
)
from smilearn.finetuning._network import (
    PooledClassifier,
    StoredStates,
    losses_and_correct,
    read,
)
from smilearn.utils._files import RunFolder
from smilearn.utils._random import subsample
from smilearn.utils._validation import warn_unread

_BATCH = 64


class TextSamples:
    """Texts as tokens, and what frozen layers give for them."""

    def __init__(self, texts, tokenizer, max_length, n_rows=None):
        tokens, longer = tokenize(texts, own_tokenizer(tokenizer), max_length)
        warn_unread(int(unread(texts, tokens, tokenizer, n_rows).sum()), len(texts))
        self.n_truncated = int(longer.sum())
        nothing = [tokenizer.pad_token_id]  # decoders give no token for an empty text
        self.input_ids = [list(ids) or nothing for ids in tokens]
        self.pad_token_id = tokenizer.pad_token_id
        self.lengths = np.array([len(ids) for ids in self.input_ids])
        self.stored = None

    def __len__(self):
        return len(self.input_ids)

    def batch(self, rows):
        """Right-padded tensors of a batch: `input_ids`, `attention_mask`, `hidden`."""
        tokens, mask = pad([self.input_ids[row] for row in rows], self.pad_token_id)
        batch = {"input_ids": tokens, "attention_mask": mask}
        if self.stored is not None:
            batch["hidden"] = self.stored.get(rows, mask.shape[1])
        return batch

    def by_length(self, rows, batch_size):
        """Yield places among the rows, a batch of like length at a time."""
        order = np.argsort(-self.lengths[rows], kind="stable")
        for start in range(0, len(order), batch_size):
            yield order[start : start + batch_size]

    def store(self, network):
        """Compute once what the frozen layers of a network give, and keep it."""
        device = network.head.weight.device
        stored = StoredStates(self.lengths, network.head.in_features)
        for rows in self.by_length(np.arange(len(self)), _BATCH):
            tensors = {name: t.to(device) for name, t in self.batch(rows).items()}
            stored.put(rows, network.lower.states(network.backbone, **tensors))
        self.stored = stored


@dataclass
class Task:
    """Labelled texts, and which of them are trained on."""

    texts: TextSamples
    codes: np.ndarray
    weights: np.ndarray
    held_out: np.ndarray

    def collate(self, features):
        """Make a training batch of rows."""
        rows = np.array([feature["row"] for feature in features])
        return {
            **self.texts.batch(rows),
            "labels": torch.from_numpy(self.codes[rows]),
            "weights": torch.from_numpy(self.weights[rows]).float(),
        }


@dataclass
class Schedule:
    """How long and how fast to train."""

    max_epochs: int
    evaluations_per_epoch: int | str
    learning_rate: float
    batch_size: int
    accumulation: int
    precision: str | None


class Watcher(TrainerCallback):
    """Evaluate a fixed subsample now and then; stop training at the early point."""

    def __init__(self, network, task, point, *, steps, n_evaluated, rng, folder):
        self.network, self.task, self.point = network, task, point
        self.steps, self.folder, self.seconds = steps, folder, 0.0
        held_out, trained = (np.flatnonzero(task.held_out == side) for side in (1, 0))
        n_held_out = len(held_out)
        if n_evaluated < len(trained):
            n_held_out = min(n_held_out, n_evaluated // 2)
            n_evaluated -= n_held_out
        codes = task.codes
        self.held_out = held_out[subsample(codes[held_out], n_held_out, rng)]
        self.rows = trained[subsample(codes[trained], n_evaluated, rng)]

    def on_step_end(self, args, state, control, **kwargs):
        """Evaluate where due, and stop at the early point."""
        if state.global_step in self.steps:
            self.evaluate(state.global_step, state.epoch)
            control.should_save = control.should_save or self.folder is not None
            stop = control.should_training_stop or self.point.reached
            control.should_training_stop = stop

    def on_save(self, args, state, control, **kwargs):
        """Note that the checkpoint is whole."""
        self.folder.finish_checkpoint(
            state.global_step,
            {"history": self.point.history, "reached": self.point.reached},
        )

    def evaluate(self, step, epoch):
        """Measure the subsample, and ask the rule."""
        start = time.perf_counter()
        losses, correct = self._measure(self.rows)
        held_out = self._measure(self.held_out)[0] if len(self.held_out) else None
        self.point.update(
            step, epoch, losses, correct=correct, validation_losses=held_out
        )
        self.seconds += time.perf_counter() - start

    def _measure(self, rows):
        logits = read(self.network, self.task.texts, rows)[1]
        return losses_and_correct(logits, self.task.codes[rows])


def train_to_early_point(
    network: PooledClassifier,
    task: Task,
    point: EarlyPoint,
    schedule: Schedule,
    *,
    seed,
    device,
    verbose,
    folder: RunFolder | None,
    others=(),
):
    """Train until the early point, or to the end of the schedule."""
    watcher = _watcher(network, task, point, schedule, seed, folder)
    checkpoint, progress = folder.latest() if folder else (None, None)
    if checkpoint is None:
        watcher.evaluate(0, 0.0)
    else:
        point.history, point.reached = progress["history"], progress["reached"]
    if point.reached:
        if checkpoint is not None:
            state = load_file(checkpoint / "model.safetensors", device=str(device))
            network.load_state_dict(state, strict=False)
        return 0.0
    before, start = watcher.seconds, time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        arguments = _arguments(
            str(folder.path if folder else temporary), schedule, seed, device, verbose
        )
        trainer = Trainer(
            model=network,
            args=arguments,
            train_dataset=[{"row": row} for row in np.flatnonzero(~task.held_out)],
            data_collator=task.collate,
            callbacks=[watcher, *others],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
        for wrapper in ("forward", "_original_forward"):  # of mixed precision
            vars(network).pop(wrapper, None)
    training = time.perf_counter() - start - (watcher.seconds - before)
    return watcher.seconds / training


def _watcher(network, task, point, schedule, seed, folder):
    n_trained = int((~task.held_out).sum())
    per_epoch, n_evaluated = evaluation_plan(n_trained, schedule.evaluations_per_epoch)
    n_steps = math.ceil(
        math.ceil(n_trained / schedule.batch_size) / schedule.accumulation
    )
    steps = evaluation_steps(n_steps, per_epoch, schedule.max_epochs)
    if point.rule == "epochs":
        steps.add(math.ceil(point.stop_epoch * n_steps - 1e-9))
    return Watcher(
        network,
        task,
        point,
        steps=steps,
        n_evaluated=n_evaluated,
        rng=np.random.default_rng([seed, 1]),
        folder=folder,
    )


def _arguments(path, schedule, seed, device, verbose):
    arguments = TrainingArguments(
        output_dir=path,
        num_train_epochs=schedule.max_epochs,
        per_device_train_batch_size=schedule.batch_size,
        gradient_accumulation_steps=schedule.accumulation,
        learning_rate=schedule.learning_rate,
        bf16=schedule.precision == "bf16",
        fp16=schedule.precision == "fp16",
        seed=seed,
        use_cpu=device.type == "cpu",
        disable_tqdm=not verbose,
        save_strategy="no",
        save_total_limit=2,
        logging_strategy="no",
        report_to="none",
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=device.type == "cuda",
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # stored states go to one device
    return arguments


@contextmanager
def seeded(seed):
    """Seed torch, NumPy and Python, and put their streams back afterwards."""
    with streams_kept():
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        yield


@contextmanager
def streams_kept():
    """Put the random streams of torch, NumPy and Python back as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(range(torch.cuda.device_count())):  # named: no warning
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
