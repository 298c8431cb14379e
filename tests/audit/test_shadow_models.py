"""Who is IN which model, what a model answers, and runs that are cut off."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import joblib
import numpy as np
import pytest
from shadow_models import (
    KILLED,
    Breaking,
    Lookup,
    Slow,
    X,
    Y,
    audited,
    numbered,
    same,
)
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_info, threadpool_limits

from smilearn import ShadowAudit
from smilearn.audit._shadow_models import (
    balanced_members,
    comparable_answers,
    models_a_sample,
    seeded_clone,
    shadow_answers,
)
from smilearn.exceptions import InvalidInputError
from smilearn.utils._answers import log_probabilities

CODES = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [41, 17, 5]))


@pytest.mark.parametrize(
    ("n_shadow", "share", "n_in"),
    [(2, 0.5, 1), (64, 0.5, 32), (5, 0.4, 2), (9, 1 / 3, 3), (10, 0.3, 3)],
)
def test_samples_models_and_classes_are_in_balance(n_shadow, share, n_in, seed):
    assert models_a_sample(n_shadow, share) == n_in
    rng = np.random.default_rng(seed)
    members = balanced_members(CODES, n_shadow, n_in, rng)
    assert members.shape == (n_shadow, len(CODES))
    assert (members.sum(0) == n_in).all()
    assert np.ptp(members.sum(1)) <= 1
    for code in range(3):
        ideal = (code == CODES).sum() * n_in / n_shadow
        assert np.abs(members[:, code == CODES].sum(1) - ideal).max() < 1


@pytest.mark.parametrize(
    ("n_shadow", "share", "advice"),
    [(7, 0.5, "of 2"), (8, 0.3, "of 10"), (4, 0.01, "of 100")],
)
def test_models_a_sample_must_be_whole(n_shadow, share, advice):
    with pytest.raises(InvalidInputError, match=f"a multiple {advice}"):
        audited(n_shadow=n_shadow, share=share)


def answers(estimator, X=X, y=Y, rows=None, statistic="logit_gap", **params):
    rows = np.arange(len(y)) if rows is None else rows
    return shadow_answers(estimator, X, y, rows, params, np.unique(y), statistic)


def formed(estimator, X=X, y=Y, statistic="logit_gap"):
    single = answers(estimator, X, y, statistic=statistic)
    whole = comparable_answers([single], len(y), statistic)
    return {name: values[0] for name, values in whole.items()}


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c")])
def test_where_probabilities_round_to_one_the_gap_goes_on(labels):
    X, y = numbered(60, labels)
    codes = np.arange(60) % len(labels)
    X = np.hstack([1e4 * np.eye(len(labels))[codes], X])
    model = LogisticRegression(C=10.0)
    gap = formed(model, X, y)["statistic"]
    assert (model.predict_proba(X).max(1) == 1).all()
    assert len(np.unique(gap)) > 10
    decisions = model.decision_function(X)
    if len(labels) == 2:
        expected = np.where(y == "b", decisions, -decisions)
    else:
        own = decisions[np.arange(60), codes]
        decisions[np.arange(60), codes] = -np.inf
        expected = own - decisions.max(1)
    np.testing.assert_allclose(gap, expected, rtol=1e-6)


def test_gap_loss_and_correctness():
    X, y = numbered(60, ("a", "b", "c"))
    result, codes = formed(GaussianNB(), X, y), np.arange(60) % 3
    p = GaussianNB().fit(X, y).predict_proba(X)
    own = p[np.arange(60), codes]
    other = np.array([np.delete(row, c).max() for row, c in zip(p, codes, strict=True)])
    np.testing.assert_allclose(result["statistic"], np.log(own / other))
    np.testing.assert_allclose(result["log_proba"], np.log(own))
    assert (result["correct"] == (p.argmax(1) == codes)).all()
    loss = formed(GaussianNB(), X, y, "loss")["statistic"]
    np.testing.assert_allclose(loss, np.log(own))


def test_a_probability_of_0_is_the_same_in_all_models():
    """A tree that is sure gives 0 and 1 alone; that its 0 is a half says nothing."""
    X, y = np.arange(24.0)[:, None], np.array(["a"] * 10 + ["b"] * 14)
    models = [KNeighborsClassifier(8), DecisionTreeClassifier(), GaussianNB()]
    each = [answers(model, X, y) for model in models]
    assert np.isneginf(each[1]["log_own"] + each[1]["log_other"]).all()
    codes = np.searchsorted(["a", "b"], y)
    p = np.stack([model.predict_proba(X) for model in models])
    p = np.stack([p[:, np.arange(24), codes], p[:, np.arange(24), 1 - codes]])
    assert 1e-12 < p[:, 2].min() < 1 / 24
    for n_models, n_trained in ((2, 24), (3, 24), (3, 10**12)):
        whole = comparable_answers(each[:n_models], n_trained, "logit_gap")
        part = p[:, :n_models].copy()
        n_infinite = (part == 0).any(0).sum(1)
        part[part == 0] = min(part[part > 0].min(), 1 / n_trained) / 2
        own, other = part
        np.testing.assert_allclose(whole["statistic"], np.log(own / other), rtol=1e-6)
        np.testing.assert_allclose(whole["log_proba"], np.log(own), atol=1e-6)
        assert whole["n_infinite"].tolist() == n_infinite.tolist()


def test_decisions_that_are_not_finite_do_not_serve():
    class Infinite(LogisticRegression):
        def decision_function(self, X):
            return np.full(len(X), np.inf)

        def predict_proba(self, X):
            return np.tile([0.25, 0.75], (len(X), 1))

        def predict_log_proba(self, X):
            return np.log(self.predict_proba(X))

    table = log_probabilities(Infinite().fit(X, Y), X, np.unique(Y))
    np.testing.assert_allclose(table, np.log([[0.25, 0.75]] * 60))


class Odd(Lookup):
    def predict_proba(self, X):
        return np.full((len(X), 2), np.nan)


def test_models_that_are_of_no_use():
    with pytest.raises(InvalidInputError, match=r"Odd must give.*120 NaN"):
        audited(Odd())
    model = Lookup().fit(X, np.array(["x"] * 60))
    with pytest.raises(InvalidInputError, match=r"know the classes \['no', 'yes'\]"):
        log_probabilities(model, X, np.unique(Y))


@pytest.mark.parametrize(
    "values", [np.zeros(3), np.full(60, np.inf), np.zeros((60, 1))]
)
def test_a_statistic_must_be_one_finite_number_a_sample(values):
    with pytest.raises(InvalidInputError, match="one finite number for each of the 60"):
        audited(statistic=lambda model, X, y: values)


def test_what_is_aligned_is_cut_and_anything_else_is_not():
    class Watched(Lookup):
        def fit(self, X, y, sample_weight=None, names=(), mode=""):
            assert sample_weight.tolist() == [5.0, 7.0, 8.0]
            assert (names, mode) == (["odd"], "x" * 60)
            return super().fit(X, y)

    rows, more = np.array([5, 7, 8]), {"names": ["odd"], "mode": "x" * 60}
    answers(Watched(), rows=rows, sample_weight=np.arange(60.0), **more)


def test_each_random_state_gets_a_seed_of_its_own():
    class Holder(BaseEstimator):
        def __init__(self, inner=None, random_state=None):
            self.inner = inner
            self.random_state = random_state

    estimator = make_pipeline(Holder(Lookup(random_state=3), 3), Lookup())

    def seeds(model):
        values = model.get_params(deep=True)
        return [v for name, v in values.items() if name.endswith("random_state")]

    first, again, other = (seeds(seeded_clone(estimator, s)) for s in (5, 5, 6))
    assert first == again
    assert len(set(first + other)) == 6
    assert seeds(estimator) == [3, 3, None]


def test_side_by_side_is_one_after_the_other(tmp_path):
    plain = audited()
    with joblib.parallel_config("threading"):
        assert same(plain, audited(n_jobs=2))
    assert same(plain, audited(n_jobs=2, checkpoint_folder=tmp_path / "run"))
    assert len([*tmp_path.glob("run/shadow-*.npz")]) == 8


def test_a_fit_that_failed_goes_on_where_it_was(tmp_path):
    counter, run = tmp_path / "counter", tmp_path / "run"
    whole = audited(Breaking(str(counter), 100, n_planted=6))
    counter.unlink()
    broken = Breaking(str(counter), 5, n_planted=6)
    with pytest.raises(RuntimeError, match="went down"):
        audited(broken, checkpoint_folder=run)
    assert len([*run.glob("shadow-*.npz")]) == 5
    counter.write_text("-100")
    assert same(whole, audited(broken, checkpoint_folder=run))
    assert counter.read_text() == "-97"


CODE = """
import sys
sys.path.insert(0, {tests!r})
from shadow_models import KILLED, Slow, numbered
from smilearn import ShadowAudit
ShadowAudit(Slow(6), checkpoint_folder={run!r}, **KILLED).fit(*numbered())
"""


def test_a_killed_run_gives_the_same_numbers(tmp_path):
    run = tmp_path / "run"
    code = CODE.format(tests=str(Path(__file__).parent.parent), run=str(run))
    slowly = os.environ | {"SECONDS_A_FIT": "0.3", "PYTHONHASHSEED": "1"}
    process = subprocess.Popen([sys.executable, "-c", code], env=slowly)
    while len([*run.glob("shadow-*.npz")]) < 4 and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = {file.name: file.stat().st_mtime_ns for file in run.glob("shadow-*.npz")}
    assert 4 <= len(finished) < 8
    audit = ShadowAudit(Slow(6), checkpoint_folder=run, **KILLED).fit(X, Y)
    for name, moment in finished.items():
        assert (run / name).stat().st_mtime_ns == moment
    for file in run.glob("shadow-*.npz"):
        file.unlink()
    again = ShadowAudit(Slow(6), checkpoint_folder=run, **KILLED)
    assert same(audit, again.fit(X, Y))


def n_threads():
    return max(library["num_threads"] for library in threadpool_info())


class Watching(LogisticRegression):
    seen: ClassVar[list] = []

    def fit(self, X, y):
        self.seen.append(n_threads())
        return super().fit(X, y)


@pytest.mark.parametrize(("held", "n_cores", "allowed"), [(1, 4, 1), (3, 2, 2)])
def test_threads_are_only_ever_fewer(monkeypatch, held, n_cores, allowed):
    monkeypatch.setattr(Watching, "seen", [])
    monkeypatch.setattr(joblib, "cpu_count", lambda: n_cores)
    with threadpool_limits(held):
        audited(Watching(), n_shadow=2)
        assert n_threads() == held
    assert Watching.seen == [allowed, allowed]


def test_progress_is_shown_on_request(monkeypatch, capsys):
    monkeypatch.delenv("TQDM_DISABLE")
    audited()
    assert capsys.readouterr().err == ""
    audited(verbose=1)
    assert "shadow models: 100%" in capsys.readouterr().err
