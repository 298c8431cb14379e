"""Finished models on disk: whole, known again, and of one run."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csc_array, csr_array
from sklearn.linear_model import LogisticRegression

from smilearn.audit._shadow_models import ShadowFolder, content_name, run_facts
from smilearn.exceptions import CacheWarning, InvalidInputError

ANSWERS = {"a": np.arange(3.0), "b": np.array([True, False, True]), "n": np.array(2)}


def test_what_is_saved_is_loaded(tmp_path):
    folder = ShadowFolder(tmp_path / "run")
    folder.save(7, ANSWERS)
    found = folder.load(7, ANSWERS, 3)
    for name, values in ANSWERS.items():
        assert found[name].tolist() == values.tolist()
        assert found[name].dtype == values.dtype
    assert folder.load(6, ANSWERS, 3) is None
    assert [file.name for file in folder.path.iterdir()] == ["shadow-00007.npz"]


@pytest.mark.parametrize("harm", ["cut", "empty", "other", "short", "missing"])
def test_a_damaged_file_is_told_of_and_fitted_again(tmp_path, harm):
    folder = ShadowFolder(tmp_path)
    folder.save(0, ANSWERS)
    file, names, length = tmp_path / "shadow-00000.npz", [*ANSWERS], 3
    if harm == "missing":
        names.append("c")
    elif harm == "short":
        length = 4
    else:
        data = file.read_bytes()
        kept = {"cut": data[: len(data) // 2], "empty": b"", "other": b"text"}
        file.write_bytes(kept[harm])
    with pytest.warns(CacheWarning, match=r"shadow-00000\.npz is damaged"):
        assert folder.load(0, names, length) is None


def test_a_failed_save_leaves_nothing(tmp_path, monkeypatch):
    def fail(file, **answers):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="no space"):
        ShadowFolder(tmp_path).save(0, ANSWERS)
    assert [*tmp_path.iterdir()] == []


SAME = [
    ([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 5.0]], np.array),
    ([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 5.0]], csr_array),
    ([[1.0, 0.0], [0.0, 4.0]], [[1.0, 4.0], [0.0, 0.0]], csc_array),
    ({"a": [1, 2]}, {"b": [1, 2]}, pd.DataFrame),
    ({"a": [1, 2]}, {"a": [1, 3]}, pl.DataFrame),
    (["x", "y"], ["x", "z"], list),
    (["x", "y"], ["xy", ""], pd.Series),
    (["x", "y"], ["y", "x"], pl.Series),
    (None, 1, lambda value: value),
]


@pytest.mark.parametrize(("one", "other", "make"), SAME)
def test_names_are_of_the_content(one, other, make):
    assert content_name(make(one)) == content_name(make(one))
    assert content_name(make(one)) != content_name(make(other))


def test_the_order_in_memory_does_not_count():
    X = np.arange(6.0).reshape(2, 3)
    assert content_name(X) == content_name(np.asfortranarray(X))
    assert content_name(X) == content_name(np.arange(12.0).reshape(2, 6)[:, :3] * 0 + X)


FACTS = """
import json, pandas as pd, numpy as np
from sklearn.linear_model import LogisticRegression
from smilearn.audit._shadow_models import run_facts
frame = pd.DataFrame({"text": ["a", "b"], "n": [1, 2]})
texts = ["a" * 3, "b" + "c"]
model, weights = LogisticRegression(C=3), {"w": np.ones(2)}
facts = run_facts(model, frame, texts, weights, {"k": 1}, "x")
print(json.dumps(facts))
"""


def test_facts_are_the_same_in_another_process():
    def told():
        run = [sys.executable, "-c", FACTS]
        done = subprocess.run(run, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    facts = told()
    assert facts == told()
    frame = pd.DataFrame({"text": ["a", "b"], "n": [1, 2]})
    model, weights = LogisticRegression(C=4), {"w": np.ones(2)}
    other = run_facts(model, frame, ["aaa", "bc"], weights, {"k": 1}, "x")
    assert {name for name in facts if facts[name] != other[name]} == {"estimator"}


def test_an_estimator_that_cannot_be_pickled(tmp_path):
    estimator = LogisticRegression(C=lambda: 1)
    with pytest.raises(InvalidInputError, match="one that can be pickled"):
        run_facts(estimator, [1], [1], {}, {}, tmp_path)
