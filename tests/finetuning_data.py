"""Texts that a tiny model learns to classify in a few steps."""

import numpy as np

from smilearn import FineTunedClassifier, FineTunedEmbedder

WORDS = ["good", "bad", "film", "plot", "warm", "cold", "the", "was"]
NIMBLE = {"learning_rate": 1e-2, "batch_size": 8, "random_state": 0}


def data(n_texts=40, seed=3):
    """Texts of 1 to 9 words in no order of length; the first word is the label's."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_texts) % 2
    texts = [
        " ".join([["bad", "good"][label], *rng.choice(WORDS, rng.integers(9))])
        for label in y
    ]
    return texts, y


TEXTS, Y = data()


def make(folder, kind=FineTunedEmbedder, **changed):
    """An estimator of 5 steps an epoch on the 40 texts."""
    return kind(folder, **{**NIMBLE, "max_epochs": 3, **changed})


def classify(folder, **changed):
    """A classifier, as long as the estimators above."""
    return make(folder, FineTunedClassifier, **changed)
