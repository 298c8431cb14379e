"""Hidden states of texts by plain forward passes, one text at a time, never padded."""

import shutil
from pathlib import Path

import numpy as np
import tiny_models as tiny
import torch

TEXTS = [  # neither the shortest nor the longest first
    "the good film",
    "a bad movie , and the plot was dull and cold and awful .",
    "good",
    "the plot of the movie is bright and warm and the actor was great !",
    "the good film",
    "a movie unheard of",
]
POOL = {
    "mean": lambda states: states.mean(1),
    "cls": lambda states: states[:, 0],
    "last": lambda states: states[:, -1],
}
BY_HAND = {  # logits of a classifier from what its embedder gives
    "bert": lambda net, rows: net.classifier(net.bert.pooler(rows[:, None])),
    "roberta": lambda net, rows: net.classifier(rows[:, None]),
    "distilbert": lambda net, rows: net.classifier(net.pre_classifier(rows).relu()),
    **dict.fromkeys(tiny.DECODERS, lambda net, rows: net.score(rows)),
}


def expected(kind, pooling, texts=TEXTS, head="Model"):
    """Every layer of each text, one by one; (n_texts, n_layers + 1, d)."""
    network = tiny.model(kind, head).base_model
    states = tiny.states_one_by_one(network, tiny.tokenizer(kind), texts)
    return np.stack([POOL[pooling](each).numpy() for each in states])


@torch.inference_mode()
def logits_one_by_one(network, words, texts=TEXTS):
    """Logits of a classifier for each text alone."""
    tokens = [words(text, return_tensors="pt")["input_ids"] for text in texts]
    return np.concatenate([network(input_ids=each).logits.numpy() for each in tokens])


@torch.inference_mode()
def check_logits(network, kind, words, texts, rows):
    """Check that the rows of an embedder make the logits of a classifier."""
    logits = BY_HAND[kind](network, torch.from_numpy(rows)).numpy()
    given = logits_one_by_one(network, words, texts)
    np.testing.assert_allclose(logits, given, atol=1e-4)
    return given


def copied(folder, path):
    """Copy a folder into another one."""
    return Path(shutil.copytree(folder, path, dirs_exist_ok=True))
