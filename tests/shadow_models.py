"""Classifiers whose memory is known, in a module that other processes can import."""

import os
import time
from pathlib import Path

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin

from smilearn import ShadowAudit


class Lookup(ClassifierMixin, BaseEstimator):
    """Knows planted training samples by heart, and of the others nothing.

    The first feature is the number of a sample; those below `n_planted` are planted.
    """

    def __init__(self, n_planted=0, noise=0.3, random_state=None):
        self.n_planted = n_planted
        self.noise = noise
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        self.rows_ = len(y)
        self.weights_ = sample_weight
        self.known_ = dict(zip(X[:, 0].astype(int).tolist(), y, strict=True))
        return self

    def predict_proba(self, X):
        rng = np.random.default_rng(self.random_state)
        gaps = self.noise * rng.normal(size=len(X))
        for row, number in enumerate(X[:, 0].astype(int).tolist()):
            if number < self.n_planted and number in self.known_:
                gaps[row] += 4 if self.known_[number] == self.classes_[1] else -4
        return np.stack([expit(-gaps), expit(gaps)], 1)


class Breaking(Lookup):
    """Fails in a fit once a file says that so many fits are over."""

    def __init__(self, counter="", limit=0, n_planted=0, noise=0.3, random_state=None):
        super().__init__(n_planted, noise, random_state)
        self.counter = counter
        self.limit = limit

    def fit(self, X, y, sample_weight=None):
        file = Path(self.counter)
        done = int(file.read_text()) if file.is_file() else 0
        if done == self.limit:
            raise RuntimeError("the machine went down")
        file.write_text(str(done + 1))
        return super().fit(X, y, sample_weight)


class Slow(Lookup):
    """Takes the seconds that the environment names."""

    def fit(self, X, y, sample_weight=None):
        time.sleep(float(os.environ.get("SECONDS_A_FIT", "0")))
        return super().fit(X, y, sample_weight)


def numbered(n_samples=60, labels=("no", "yes")):
    """Samples that are their own number and one feature of noise; labels in turn."""
    rng = np.random.default_rng(0)
    X = np.stack([np.arange(n_samples), rng.normal(size=n_samples)], 1)
    return X, np.array(labels)[np.arange(n_samples) % len(labels)]


def second_column(model, X, y):
    """A statistic of the user's own."""
    return model.predict_proba(X)[:, 1]


class Column:
    """A statistic with settings that its text does not show."""

    def __init__(self, place):
        self.place = place

    def __call__(self, model, X, y):
        return model.predict_proba(X)[:, self.place]

    def of(self, model, X, y):
        return self(model, X, y)


class Sabotage:
    """Counts how often its pickle is opened."""

    done = 0

    def __reduce__(self):
        return setattr, (Sabotage, "done", 1)


X, Y = numbered()
KILLED = {"n_shadow": 8, "statistic": second_column}
FITTED = (
    "lira_",
    "lira_std_",
    "memorized_",
    "counterfactual_",
    "counterfactual_std_",
    "counterfactual_gap_",
    "counterfactual_gap_std_",
    "log_lira_",
    "statistic_",
    "log_proba_",
    "correct_",
    "shadow_in_",
    "n_infinite_",
    "audited_",
)


def audited(estimator=None, X=X, y=Y, n_shadow=8, seed=0, fit_params=None, **settings):
    estimator = Lookup(n_planted=6) if estimator is None else estimator
    settings = {"n_shadow": n_shadow, "random_state": seed} | settings
    return ShadowAudit(estimator, **settings).fit(X, y, **fit_params or {})


def same(one, other):
    return all((getattr(one, name) == getattr(other, name)).all() for name in FITTED)
