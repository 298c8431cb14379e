"""Trainers and data sets as their owners write them."""

import random

import numpy as np
import torch
from finetuning_data import TEXTS, Y, data
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from smilearn import MemorizationCallback, SlicedMIScorer


class TextSet(torch.utils.data.Dataset):
    """A torch data set as people write them."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, row):
        return self.rows[row]


class Columns(TextSet):
    """What the callback needs of `datasets.Dataset`, and no more."""

    @property
    def column_names(self):
        return list(self.rows[0])

    def __getitem__(self, key):
        return (
            [row[key] for row in self.rows] if isinstance(key, str) else self.rows[key]
        )


class Stream(torch.utils.data.IterableDataset):
    """Read once, from the start to the end."""

    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


def rows_of(folder, texts=TEXTS, y=Y, **more):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(texts, truncation=True, max_length=30)["input_ids"]
    return [
        {"input_ids": each, "label": int(label), **more}
        for each, label in zip(ids, y, strict=True)
    ]


def make_trainer(folder, out, callback=None, *, rows=None, model=None, **changed):
    """A run of 2 epochs of 5 steps, with dropout and shuffling, logged at each step."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if model is None:
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
        model.config.pad_token_id = tokenizer.pad_token_id
    settings = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "seed": 3}
    settings |= {"learning_rate": 1e-2, "logging_steps": 1, "report_to": "none"}
    settings |= {"save_strategy": "no", "disable_tqdm": True, "use_cpu": True}
    rows = TextSet(rows_of(folder)) if rows is None else rows
    return Trainer(
        model=model,
        args=TrainingArguments(output_dir=str(out), **{**settings, **changed}),
        train_dataset=rows,
        eval_dataset=rows_of(folder, *data(24, seed=5)),
        data_collator=DataCollatorWithPadding(tokenizer),
        callbacks=[] if callback is None else [callback],
    )


def early(**changed):
    settings = {"rule": "epochs", "stop_epoch": 1, "scorer": SlicedMIScorer(64)}
    return MemorizationCallback(**{**settings, **changed})


def catching():
    """A scorer, and a list that gets the embeddings and labels that it is fitted to."""
    caught = []

    class Catching(SlicedMIScorer):
        def fit(self, X, y, sample_weight=None):
            caught.append((X.copy(), np.array(y)))
            return super().fit(X, y, sample_weight)

    return Catching(64), caught
