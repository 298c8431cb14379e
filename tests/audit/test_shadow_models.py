"""Who is IN which model, what a model answers, and what is kept of it on disk."""

import functools
import importlib
import json
import linecache
import operator
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.sparse import csc_array, csr_array
from shadow_models import (
    KILLED,
    Column,
    Lookup,
    Sabotage,
    Slow,
    X,
    Y,
    audited,
    numbered,
    same,
    second_column,
)
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
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
from smilearn.exceptions import CacheWarning, InvalidInputError
from smilearn.utils._answers import log_probabilities
from smilearn.utils._naming import name_of

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


class Loading(KNeighborsClassifier):
    """Has a parameter that names a folder, as fine-tuned classifiers have."""

    def __init__(self, model="base", n_neighbors=5, checkpoint_folder=None):
        super().__init__(n_neighbors)
        self.model = model
        self.checkpoint_folder = checkpoint_folder


@pytest.fixture
def run(tmp_path):
    """An audit of 4 models that keeps its folder."""
    return functools.partial(audited, n_shadow=4, checkpoint_folder=tmp_path / "run")


def rewritten(path, **changes):
    """Write a file of answers again, each array as its change makes it."""
    with np.load(path) as file:
        arrays = {**file}
    arrays |= {name: change(arrays[name]) for name, change in changes.items()}
    np.savez(path, **{k: values for k, values in arrays.items() if values is not None})


def compressed(path):
    """As a bomb is: a few bytes that unfold to any size."""
    with np.load(path) as file:
        np.savez_compressed(path, **file)


DAMAGE = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-300]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("text"),
    "pickle": lambda path: path.write_bytes(pickle.dumps(Sabotage())),
    "other model": lambda path: path.write_bytes(
        path.with_name("shadow-00000.npz").read_bytes()
    ),
    "zeros": lambda path: rewritten(
        path, log_own=np.zeros_like, log_other=np.zeros_like
    ),
    "not a number": lambda path: rewritten(path, log_own=lambda v: v * np.nan),
    "shape": lambda path: rewritten(path, correct=lambda v: v[:-1]),
    "type": lambda path: rewritten(path, correct=lambda v: v.astype(float)),
    "objects": lambda path: rewritten(path, correct=lambda v: v.astype(object)),
    "contradiction": lambda path: rewritten(path, correct=np.ones_like),
    "compressed": compressed,
    "missing": lambda path: rewritten(path, lowest=lambda v: None),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_or_forged_file_is_made_again(run, tmp_path, damage):
    first, path = run(), tmp_path / "run" / "shadow-00002.npz"
    DAMAGE[damage](path)
    with pytest.warns(CacheWarning, match=r"shadow-00002\.npz is damaged"):
        assert same(first, run())
    assert same(first, run())  # and now without a warning
    assert Sabotage.done == 0


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::smilearn.exceptions.CacheWarning")
def test_no_flipped_bit_passes(tmp_path, run):
    first, path = run(), tmp_path / "run" / "shadow-00001.npz"
    whole = path.read_bytes()
    for place in range(0, len(whole), 61):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        assert same(first, run()), place


def test_a_model_that_could_not_be_saved_leaves_nothing(run, tmp_path, monkeypatch):
    def fail(file, **answers):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="no space"):
        run()
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["run.json"]


def test_the_folder_holds_arrays_and_one_readable_file(run, tmp_path):
    run(Lookup(3), statistic=second_column)
    files = sorted(file.name for file in (tmp_path / "run").iterdir())
    assert files == ["run.json", *(f"shadow-0000{m}.npz" for m in range(4))]
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["estimator"] == "shadow_models.Lookup{'n_planted': 3, 'noise': 0.3}"
    assert facts["statistic"].startswith("shadow_models.second_column, ")
    assert facts["share"] == 0.5
    assert "n_shadow" not in facts  # which can be raised
    with np.load(tmp_path / "run" / "shadow-00000.npz", allow_pickle=False) as file:
        assert file["statistic"].shape == file["members"].shape == (60,)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("estimator", {"estimator": Lookup(7)}),
        ("X", {"X": np.roll(X, 1, axis=0)}),
        ("y", {"y": Y[::-1]}),
        ("seed", {"seed": 1}),
        ("share", {"share": 0.25}),
        ("statistic", {"statistic": "loss"}),
        ("fit_params", {"fit_params": {"sample_weight": np.ones(60)}}),
    ],
)
def test_a_folder_of_another_run_is_refused(run, name, change):
    first = run()
    with pytest.raises(InvalidInputError, match=f"a run with other .*{name}"):
        run(**change)
    assert same(first, run())
    assert same(audited(target=0, n_shadow=4), run(target=0))


@pytest.mark.parametrize("text", ["[]", "{}", '{"seed": "x"}', "{", "null"])
def test_a_run_that_cannot_be_read_is_refused(run, tmp_path, text):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(text)
    for seed in (None, 0):
        with pytest.raises(InvalidInputError, match=r"cannot be read.*Delete the"):
            run(seed=seed)


def test_what_changes_no_result_does_not_make_another_run(run, tmp_path):
    forest = make_pipeline(RandomForestClassifier(3))
    first = run(forest)
    begun = {file: file.stat().st_mtime_ns for file in tmp_path.glob("run/*")}
    other = make_pipeline(RandomForestClassifier(3, random_state=5, n_jobs=2))
    assert same(first, run(other.fit(X, Y)))
    assert begun == {file: file.stat().st_mtime_ns for file in tmp_path.glob("run/*")}


def scaled(model, X, y, by):
    return by * model.predict_proba(X)[:, 1]


def test_a_statistic_that_was_edited_makes_another_run(run, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "own_statistic.py"
    for body in ("p[:, 1]", "1 - p[:, 1]"):
        lines = ["def own(model, X, y):", "    p = model.predict_proba(X)"]
        file.write_text("\n".join([*lines, f"    return {body}", ""]))
        sys.modules.pop("own_statistic", None)
        linecache.checkcache(str(file))
        own = importlib.import_module("own_statistic").own
        if body == "p[:, 1]":
            run(statistic=own)
    with pytest.raises(InvalidInputError, match="a run with other statistic"):
        run(statistic=own)


def test_a_statistic_of_ones_own_is_known_by_its_name(run):
    first = run(statistic=functools.partial(scaled, by=2.0))
    assert same(first, run(statistic=functools.partial(scaled, by=2.0)))
    with pytest.raises(InvalidInputError, match="a run with other statistic"):
        run(statistic=functools.partial(scaled, by=3.0))


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"statistic": lambda model, X, y: X[:, 0]}, "<lambda>"),
        ({"statistic": functools.partial(lambda m, X, y, k: X[:, k], k=1)}, "<lambda>"),
        ({"statistic": Column(0)}, "Column object at"),
        ({"statistic": Column(0).of}, "Column object at"),
        (
            {"estimator": make_pipeline(FunctionTransformer(lambda X: X), Lookup())},
            "<lambda>",
        ),
        (
            {
                "estimator": type(
                    "Here", (Lookup,), {"__qualname__": "f.<locals>.Here"}
                )()
            },
            "Here",
        ),
    ],
    ids=["lambda", "partial", "object", "method", "in a pipeline", "nested class"],
)
def test_what_has_no_name_is_refused_with_a_folder_alone(
    run, tmp_path, settings, shown
):
    with pytest.raises(
        InvalidInputError, match=f"got .*{shown}.*top level of a module"
    ):
        run(**settings)
    assert not (tmp_path / "run").exists()
    assert len(run(**settings, checkpoint_folder=None).lira_) == 60


SAME = [
    ([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 5.0]], np.array),
    ([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 5.0]], torch.tensor),
    ([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 5.0]], csr_array),
    ([[1.0, 0.0], [0.0, 4.0]], [[1.0, 4.0], [0.0, 0.0]], csc_array),
    ({"a": [1, 2]}, {"b": [1, 2]}, pd.DataFrame),
    ({"a": [1, 2]}, {"a": [1, 3]}, pl.DataFrame),
    (["x", "y"], ["x", "z"], list),
    (["x", "y"], ["xy", ""], pd.Series),
    (["x", "y"], ["y", "x"], pl.Series),
    (["x", "y"] * 900, ["x", "y"] * 899 + ["y", "x"], np.array),
    ({3, "a"}, {4, "a"}, frozenset),
    (None, 1, lambda value: value),
    (1.0, True, lambda value: value),
    (0, 1, operator.itemgetter),
]


@pytest.mark.parametrize(("value", "other", "make"), SAME)
def test_names_are_of_the_content(value, other, make):
    assert name_of(make(value)) == name_of(make(value))
    assert name_of(make(value)) != name_of(make(other))
    assert len(name_of(make(value))) <= 500


@pytest.fixture
def weights(tmp_path):
    folder = tmp_path / "weights"
    (folder / "head").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "head" / "model.bin").write_bytes(b"\x00\x01")
    return folder


CHANGES = {
    "bytes": lambda folder: (folder / "head" / "model.bin").write_bytes(b"\x00\x02"),
    "place": lambda folder: (folder / "head" / "model.bin").rename(
        folder / "model.bin"
    ),
    "fewer": lambda folder: (folder / "config.json").unlink(),
    "more": lambda folder: (folder / "new").touch(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_files_of_a_pretrained_model_are_another_run(weights, run, change):
    model = make_pipeline(Loading(str(weights)))
    run(model)
    run(model)
    CHANGES[change](weights)
    with pytest.raises(InvalidInputError, match="a run with other pretrained_files"):
        run(model)


@pytest.mark.parametrize("folder", [None, "run"])
def test_shadow_models_share_no_folder_of_checkpoints(tmp_path, folder):
    estimator = make_pipeline(Loading(checkpoint_folder=tmp_path / "mine"))
    match = "set loading__checkpoint_folder=None in the estimator .*to the audit"
    settings = {"checkpoint_folder": folder and tmp_path / folder}
    with pytest.raises(InvalidInputError, match=match):
        ShadowAudit(estimator, n_shadow=2, **settings).fit(X, Y)
    assert [*tmp_path.iterdir()] == []
