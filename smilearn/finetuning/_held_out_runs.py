"""Runs of a classifier that do not see a fold of the samples, and what they say."""

import shutil
import warnings
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import issparse
from scipy.special import log_softmax
from sklearn.utils.validation import _num_samples

from smilearn.exceptions import CacheWarning, InvalidInputError, LowSupportWarning
from smilearn.filtering._pipelines import fit_parameter
from smilearn.finetuning._base import FineTuning
from smilearn.scoring._checks import encoded
from smilearn.scoring._evidence import evidence, left_out_evidence
from smilearn.scoring._scorer import SlicedMIScorer
from smilearn.utils._answers import log_probabilities
from smilearn.utils._files import RunFolder, load_arrays, save_arrays
from smilearn.utils._indexing import take_samples
from smilearn.utils._warnings import warn

_SUM = 1.001  # of probabilities, rounded


@dataclass
class Answer:
    """What a run says of the fold that it has not seen."""

    table: np.ndarray  # log probability of each class
    states: np.ndarray | None  # embeddings by a fine-tuned model
    epochs: float
    model: object = None


@dataclass
class Run:
    """The run that does not see a fold."""

    fold: int
    model: object
    held: np.ndarray  # whether a sample is in the fold
    folder: RunFolder | None

    def fit(self, X, y, weight, classes):
        """Fit the classifier to samples with weight; give the fold, and its answer."""
        rows = np.flatnonzero(
            ~self.held if weight is None else ~self.held & (weight > 0)
        )
        model, checkpoints = self.model, None
        last = _last(model)
        if self.folder and isinstance(last, FineTuning):
            checkpoints = self._checkpoints
            last.set_params(checkpoint_folder=checkpoints)
        more = {} if weight is None else {fit_parameter(model): weight[rows]}
        model.fit(take_samples(X, rows), y[rows], **more)
        held = take_samples(X, np.flatnonzero(self.held))
        history = getattr(last, "history_", None)
        epochs = float(history[-1]["epoch"]) if history else 1.0
        answer = Answer(*answers_of(model, held, classes), epochs, model)
        if self.folder:
            self._save(answer)
        if checkpoints:
            shutil.rmtree(checkpoints, ignore_errors=True)
        return self.fold, answer

    def load(self, n_classes):
        """The answer of a run that is done, without its model; None if not done."""
        if not self.folder or not self._file.is_file():
            return None
        with suppress(Exception):
            file = load_arrays(self._file, ("table", "states", "epochs", "held_out"))
            answer = Answer(file["table"], file["states"], float(file["epochs"]))
            table, states = answer.table, answer.states
            sound = table.shape == (self.held.sum(), n_classes)
            sound &= table.dtype == np.float64 and bool((table <= 0).all())
            sound &= bool((np.exp(table).sum(1) < _SUM).all())
            sound &= states.dtype == np.float32 and len(states) == len(table)
            sound &= bool(np.isfinite(states).all()) and answer.epochs > 0
            if sound and np.array_equal(file["held_out"], self.held):
                answer.states = states if states.shape[1] else None
                shutil.rmtree(self._checkpoints, ignore_errors=True)
                return answer
        warn(
            f"{self._file} is damaged or of another run; this run is made again.",
            CacheWarning,
        )
        return None

    def _save(self, answer):
        states = answer.states
        states = np.empty((len(answer.table), 0)) if states is None else states
        save_arrays(
            self._file,
            table=answer.table,
            states=states.astype(np.float32),
            epochs=answer.epochs,
            held_out=self.held,
        )

    @property
    def _checkpoints(self):
        return self.folder.path / f"run-{self.fold:03d}"

    @property
    def _file(self):
        return self._checkpoints.with_suffix(".npz")


def answers_of(model, X, classes):
    """Log probabilities, -inf of classes that a model has not seen; its states."""
    last, states = _last(model), None
    seen = np.asarray(getattr(model, "classes_", classes))
    if isinstance(last, FineTuning):
        texts = X if last is model else model[:-1].transform(X)
        states, logits = last._read(texts)
        known = log_softmax(logits.astype(np.float64), axis=1)
    else:
        known = np.minimum(log_probabilities(model, X, seen), 0)
        total = np.exp(known).sum(1).max(initial=0)
        if total >= _SUM:
            raise InvalidInputError(
                f"Probabilities of {type(model).__name__} must sum to 1 for each "
                f"sample; got {total:.3f}."
            )
    table = np.full((_num_samples(X), len(classes)), -np.inf)
    table[:, encoded(classes, seen)] = known
    return table, states


def fold_evidence(X, y, weight, classes, seed):
    """Scorer of the states of a fold, None of one class; its evidence, left out."""
    table, fitted = np.zeros((len(y), len(classes))), np.isin(y, y[weight > 0])
    if len(np.unique(y[fitted])) < 2:
        return None, table
    scorer = SlicedMIScorer(random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LowSupportWarning)  # of lone samples
        scorer.fit(X[fitted], y[fitted], weight[fitted])
    columns = encoded(classes, scorer.classes_)
    rows = np.flatnonzero(fitted)
    part = X[rows], y[rows], weight[rows]
    table[np.ix_(rows, columns)] = left_out_evidence(scorer, *part)
    table[~fitted] = evidence_of_all(scorer, X[~fitted], classes)
    codes = encoded(classes, y)
    lone = (weight > 0) & (np.bincount(codes, weight > 0)[codes] < 2)
    table[lone, codes[lone]] = 0
    return scorer, table


def evidence_of_all(scorer, X, classes):
    """Evidence of a scorer for each class, 0 for those that it has not seen."""
    table = np.zeros((len(X), len(classes)))
    if scorer is not None and len(X):
        table[:, encoded(classes, scorer.classes_)] = evidence(scorer, X)
    return table


def _last(model):
    return model.steps[-1][1] if hasattr(model, "steps") else model


def first_copies(X):
    """Place of the first sample that equals each one, in any container."""
    X = np.asarray(X) if hasattr(X, "__array__") and not issparse(X) else X
    if getattr(X, "shape", (1, 1))[1:] == (0,):  # the classifier refuses it
        return np.arange(len(X))
    if issparse(X):
        X = X.tocsr(copy=True)
        X.sum_duplicates()
        parts = (X.indices, X.data)
        cuts = pairwise(X.indptr.tolist())
        keys = [b"".join(part[a:b].tobytes() for part in parts) for a, b in cuts]
    elif isinstance(X, np.ndarray) and X.dtype != object:
        keys = [row.tobytes() for row in X]
    else:
        keys = (repr(x.tolist() if isinstance(x, np.ndarray) else x) for x in X)
    first = {}
    places = [first.setdefault(key, place) for place, key in enumerate(keys)]
    return np.array(places, np.int64)


def deal(strata, copies, n_folds, rng):
    """Deal the samples of each stratum out to folds, on from stratum to stratum."""
    order = rng.permutation(np.flatnonzero(copies == np.arange(len(copies))))
    order = order[np.argsort(strata[order], kind="stable")]
    folds = np.empty(len(copies), np.int64)
    folds[order] = np.arange(len(order)) % n_folds
    return folds[copies]
