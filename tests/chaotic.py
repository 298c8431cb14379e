"""Work that the tests of chaos do in processes of its own, killed and not."""

import os
import sys
import time
import warnings

import numpy as np
import torch

from smilearn import FineTunedEmbedder, HiddenStateEmbedder
from smilearn.cli._app import app  # so that the server of processes has loaded all
from smilearn.exceptions import CacheWarning

FILMS = ["film", "movie", "plot", "actor", "scene"]
TEXTS = [f"the {('bad', 'good')[i % 2]} {FILMS[i % 5]}" + " a" * i for i in range(60)]
LABELS = [("neg", "pos")[i % 2] for i in range(60)]
SLOWLY = 0.02  # seconds a batch, so that there are moments to be killed at


def embed(model, folder, out):
    """Rows of texts, through a cache that is written to after each batch."""
    from smilearn.embedding import _cache
    from smilearn.embedding._reader import HiddenReader

    pooled = HiddenReader._pooled

    def slowly(self, input_ids):
        time.sleep(SLOWLY)
        return pooled(self, input_ids)

    HiddenReader._pooled, _cache._SECONDS = slowly, 0
    embedder = HiddenStateEmbedder(model, batch_size=2, cache_folder=folder)
    keep(out, embedder.fit_transform(TEXTS))


def tune(model, folder, out):
    """Rows of a fine-tune with checkpoints."""
    embedder = FineTunedEmbedder(
        model,
        early_point=None,
        max_epochs=3,
        batch_size=8,
        evaluations_per_epoch=4,
        random_state=0,
        checkpoint_folder=folder,
    )
    keep(out, embedder.fit_transform(TEXTS, LABELS))


def command(*arguments):
    """A command of the command line."""
    app(list(arguments), standalone_mode=False)


def keep(out, rows):
    """Write rows under their name at once, as the command line does."""
    with open(f"{out}.{os.getpid()}", "wb") as file:  # noqa: PTH123
        np.save(file, rows)
    os.replace(f"{out}.{os.getpid()}", out)  # noqa: PTH105


def start(work, arguments):
    """Do some work and print nothing; a file that a kill damaged is an error."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", CacheWarning)
    sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
    globals()[work](*arguments)
