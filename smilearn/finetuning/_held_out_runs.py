"""Runs of a classifier that do not see a fold of the samples, and their files."""

import os
import shutil
import warnings
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from sklearn.utils.validation import _num_samples

from smilearn.exceptions import CacheWarning
from smilearn.filtering._pipelines import name_of_weights
from smilearn.finetuning._base import FineTuning
from smilearn.scoring._checks import encoded
from smilearn.utils._answers import log_probabilities
from smilearn.utils._files import RunFolder, replacing
from smilearn.utils._indexing import take_samples


@dataclass
class Run:
    """The run that does not see a fold."""

    fold: int
    model: object
    folds: np.ndarray
    folder: RunFolder | None

    def fit(self, X, y, weight, classes):
        """Fit the classifier; give the fold, and what `load` gives."""
        rows, held = np.flatnonzero(~self._held), np.flatnonzero(self._held)
        model, checkpoints = self.model, None
        last = _last(model)
        if self.folder and isinstance(last, FineTuning):
            checkpoints = self.folder.path / f"run-{self.fold:03d}"
            last.set_params(checkpoint_folder=checkpoints)
        more = {} if weight is None else {name_of_weights(model): weight[rows]}
        model.fit(take_samples(X, rows), y[rows], **more)
        table = answers_of(model, take_samples(X, held), classes)
        history = getattr(_last(model), "history_", None)
        epochs = float(history[-1]["epoch"]) if history else 1.0
        if self.folder:
            facts = {"table": table, "epochs": epochs, "held_out": self._held}
            with replacing(self._file) as temporary, temporary.open("wb") as file:
                np.savez(file, **facts)
                file.flush()
                os.fsync(file.fileno())
        if checkpoints:
            shutil.rmtree(checkpoints, ignore_errors=True)
        return self.fold, (table, epochs, model)

    def load(self, n_classes):
        """Log probabilities of the fold, epochs and no model; None if not done."""
        if not self.folder or not self._file.is_file():
            return None
        with suppress(Exception), np.load(self._file, allow_pickle=False) as file:
            table, epochs = file["table"], float(file["epochs"])
            sound = table.shape == (self._held.sum(), n_classes)
            sound &= table.dtype == np.float64 and bool((table <= 0).all())
            if sound and np.array_equal(file["held_out"], self._held) and epochs > 0:
                return table, epochs, None
        warnings.warn(
            f"{self._file} is damaged or of another run; this run is made again.",
            CacheWarning,
            stacklevel=5,
        )
        return None

    @property
    def _held(self):
        return self.folds == self.fold

    @property
    def _file(self):
        return self.folder.path / f"run-{self.fold:03d}.npz"


def answers_of(model, X, classes):
    """Log probability of each class, -inf of those that a model has not seen."""
    seen = np.asarray(getattr(model, "classes_", classes))
    table = np.full((_num_samples(X), len(classes)), -np.inf)
    columns = encoded(classes, seen)
    table[:, columns] = np.minimum(log_probabilities(model, X, seen), 0)
    return table


def _last(model):
    return model.steps[-1][1] if hasattr(model, "steps") else model


def deal(codes, n_folds, rng):
    """Deal the samples of each class out to folds, on from class to class."""
    order = rng.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    folds = np.empty(len(codes), np.int64)
    folds[order] = np.arange(len(codes)) % n_folds
    return folds
