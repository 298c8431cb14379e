"""Work that the tests of chaos kill: each leaves its result in `out.csv`."""

import os
import sys

import numpy as np

import smilearn.cli._app  # noqa: F401  what a fork server has ready
from smilearn import FineTunedClassifier, SentenceEmbedder, __main__

WORDS = ["good", "bad", "film", "plot", "warm", "cold", "the", "was"]
Y = np.arange(240) % 2
TEXTS = [
    " ".join([WORDS[label], *np.random.default_rng(i).choice(WORDS, 9)])
    for i, label in enumerate(Y)
]
LABELS = ["good" if label == 0 else "bad" for label in Y]


def embed(model, kept="kept", out="out.csv"):
    """Embed with a cache that other processes may use as well."""
    embedder = SentenceEmbedder(model, batch_size=4, cache_folder=kept)
    save(embedder.fit_transform(TEXTS), out)


def tune(model, kept="kept", out="out.csv"):
    """Fine-tune with checkpoints."""
    options = {"max_epochs": 3, "batch_size": 8, "random_state": 0}
    tuned = FineTunedClassifier(model, checkpoint_folder=kept, **options)
    save(tuned.fit(TEXTS, Y).predict_proba(TEXTS), out)


def save(rows, out):
    """Write all or nothing."""
    with open(f".{os.getpid()}", "wb") as file:  # noqa: PTH123
        np.save(file, rows)
    os.replace(file.name, out)  # noqa: PTH105


def command(*arguments):
    """Run the command line as a process of its own would."""
    sys.argv[:] = ["smilearn", *arguments]
    __main__.main()


def begin(folder, errors, work, *arguments):
    """Do some work in a folder; what it says on stderr goes to a file."""
    os.chdir(folder)
    with open(errors, "wb") as file:  # noqa: PTH123
        os.dup2(file.fileno(), 2)
    globals()[work](*arguments)
