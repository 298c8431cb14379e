"""A short fine-tune on transformers.Trainer, watched for the early point (floor 3)."""

import random
import tempfile
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from smilearn._early_point import evaluation_steps


class PooledClassifier(nn.Module):
    """An encoder, the mean of its last hidden states over real tokens, a linear head.

    Parameters
    ----------
    encoder : PreTrainedModel
        Gives `last_hidden_state` (B, T, d).

    n_classes : int
        Classes K.
    """

    def __init__(self, encoder, n_classes):
        super().__init__()
        config = encoder.config
        rate = getattr(config, "hidden_dropout_prob", getattr(config, "dropout", 0.1))
        self.encoder = encoder
        self.dropout = nn.Dropout(rate)
        self.head = nn.Linear(config.hidden_size, n_classes)

    def pooled(self, input_ids, attention_mask):
        """Mean-pooled last hidden states, (B, d)."""
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask
        ).last_hidden_state  # (B, T, d)
        weight = attention_mask[..., None].to(hidden.dtype)
        return (hidden * weight).sum(1) / weight.sum(1).clamp_min(1)

    def forward(self, input_ids, attention_mask, labels):
        """Loss and logits, as the Trainer expects them."""
        logits = self.head(self.dropout(self.pooled(input_ids, attention_mask)))
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


@torch.inference_mode()
def embed(model, tokens, batch_size=64):
    """Pooled hidden states and logits of each text, model in eval mode.

    Parameters
    ----------
    model : PooledClassifier
        Left in the mode it was in.

    tokens : TokenBatches
        Texts.

    batch_size : int, default=64
        Texts in a forward pass.

    Returns
    -------
    pooled : ndarray of shape (n_texts, n_features)
        Embeddings, float32.

    logits : ndarray of shape (n_texts, n_classes)
        Logits, float32.
    """
    training, device = model.training, model.head.weight.device
    model.eval()
    pooled = np.empty((len(tokens), model.head.in_features), np.float32)
    logits = np.empty((len(tokens), model.head.out_features), np.float32)
    for rows, input_ids, mask in tokens.batches(batch_size, device):
        hidden = model.pooled(input_ids, mask)
        pooled[rows] = hidden.float().cpu().numpy()
        logits[rows] = model.head(hidden).float().cpu().numpy()
    model.train(training)
    return pooled, logits


def cross_entropy(logits, codes):
    """Cross-entropy of each sample in nats, (n_samples,), float64."""
    logs = torch.log_softmax(torch.from_numpy(logits).double(), 1)
    return -logs[torch.arange(len(codes)), torch.as_tensor(codes)].numpy()


class EarlyPointCallback(TrainerCallback):
    """Evaluate all training samples now and then; stop training at the early point.

    Parameters
    ----------
    point : EarlyPoint
        The rule, and the history.

    tokens : TokenBatches
        Training texts.

    codes : ndarray of shape (n_samples,)
        Their classes.

    steps : set of int
        Optimizer steps after which to evaluate.
    """

    def __init__(self, point, tokens, codes, steps):
        self.point, self.tokens, self.codes, self.steps = point, tokens, codes, steps
        self.reached = False

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        """Measure the loss that the fall is relative to."""
        self._evaluate(model, state)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        """Evaluate where due, and stop at the early point."""
        if state.global_step in self.steps and not self.reached:
            self.reached = self._evaluate(model, state)
            control.should_training_stop = control.should_training_stop or self.reached

    def _evaluate(self, model, state):
        self.pooled, self.logits = embed(model, self.tokens)
        self.losses = cross_entropy(self.logits, self.codes)
        correct = self.logits.argmax(1) == self.codes
        return self.point.update(state.global_step, state.epoch, self.losses, correct)


def train_to_early_point(
    model, tokens, codes, point, *, schedule, seed, device, verbose
):
    """Train until the early point, or to the end of the schedule.

    Parameters
    ----------
    model : PooledClassifier
        Trained in place.

    tokens : TokenBatches
        Training texts.

    codes : ndarray of shape (n_samples,)
        Their classes.

    point : EarlyPoint
        The rule; its history is filled in.

    schedule : dict
        `max_epochs`, `evaluations_per_epoch`, `learning_rate`, `batch_size`.

    seed : int
        Seed of the order of the samples and of dropout.

    device : torch.device
        Where to train.

    verbose : bool
        Whether to show the Trainer's progress bar.

    Returns
    -------
    callback : EarlyPointCallback
        With `pooled`, `logits` and `losses` of the last evaluation, and `reached`.
    """
    per_epoch = -(-len(tokens) // schedule["batch_size"])
    steps = evaluation_steps(
        per_epoch, schedule["evaluations_per_epoch"], schedule["max_epochs"]
    )
    callback = EarlyPointCallback(point, tokens, codes, steps)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=schedule["max_epochs"],
            per_device_train_batch_size=schedule["batch_size"],
            learning_rate=schedule["learning_rate"],
            seed=seed,
            use_cpu=device.type == "cpu",
            disable_tqdm=not verbose,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            remove_unused_columns=False,
            label_names=["labels"],
            dataloader_pin_memory=device.type == "cuda",
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=tokens.examples(codes),
            data_collator=tokens.collate,
            callbacks=[callback],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return callback


@contextmanager
def seeded(seed):
    """Seed torch, NumPy and Python, and put their streams back afterwards."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
