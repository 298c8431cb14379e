"""Finished models on disk: whole, known again, of one run, and never a pickle."""

import functools
import importlib
import json
import linecache
import operator
import pickle
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.sparse import csc_array, csr_array
from shadow_models import Column, Lookup, Sabotage, X, Y, audited, same, second_column
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from smilearn import ShadowAudit
from smilearn.exceptions import CacheWarning, InvalidInputError
from smilearn.utils._naming import name_of


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
