"""Samples with an offset of 1e8 score as those without, whatever holds them."""

import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from numpy.testing import assert_allclose
from oracles import embeddings
from scipy.sparse import csc_matrix, csr_array
from sklearn.base import clone

from smilearn import SlicedMIScorer
from smilearn.baselines import LDAScorer, MahalanobisScorer, NeighborScorer
from smilearn.scoring import RecordBatches

OFFSET = 10**8


def whole_rows():
    """Whole numbers and their labels: every container holds them, offset or not."""
    X, y = embeddings(0)
    return (50 * X).round().astype(np.int64), y


def mapped(dtype):
    def make(X, folder):
        np.save(folder / "X.npy", X.astype(dtype))
        return np.load(folder / "X.npy", mmap_mode="r")

    return make


def polars_frame(X, _):
    return pl.DataFrame(X.astype(float), schema=[f"f{i}" for i in range(X.shape[1])])


def arrow_table(X, _):
    return pa.table({f"f{i}": column.astype(float) for i, column in enumerate(X.T)})


DENSE = {
    "list": lambda X, _: X.astype(float).tolist(),
    "list of whole numbers": lambda X, _: X.tolist(),
    "tuple of arrays": lambda X, _: tuple(X.astype(float)),
    "list of tensors": lambda X, _: list(torch.tensor(X, dtype=torch.float64)),
    "objects": lambda X, _: X.astype(object),
    "big-endian": lambda X, _: X.astype(">f8"),
    "reversed": lambda X, _: X.astype(float)[::-1].copy()[::-1],
    "Fortran": lambda X, _: np.asfortranarray(X.astype(float)),
    "longdouble": lambda X, _: X.astype(np.longdouble),
    "int32": lambda X, _: X.astype(np.int32),
    "int64": lambda X, _: X,
    "uint64": lambda X, _: X.astype(np.uint64),
    "map of float64": mapped(float),
    "map of int64": mapped(np.int64),
    "tensor of float64": lambda X, _: torch.tensor(X, dtype=torch.float64),
    "tensor of int64": lambda X, _: torch.tensor(X),
    "pandas": lambda X, _: pd.DataFrame(X.astype(float)),
    "pandas objects": lambda X, _: pd.DataFrame(X.astype(object)),
    "pandas Int64": lambda X, _: pd.DataFrame(X).astype("Int64"),
    "pandas Arrow": lambda X, _: pd.DataFrame(X).astype("double[pyarrow]"),
    "polars": polars_frame,
    "Arrow": arrow_table,
}
SPARSE = {
    "sparse float64": lambda X, _: csr_array(X.astype(float)),
    "sparse int64": lambda X, _: csc_matrix(X),
}


def scorer(**params):
    return SlicedMIScorer(32, random_state=0, **params)


def check_scores(scores, expected):
    assert np.ptp(expected) > 0.2
    assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.parametrize("kind", [*DENSE, *SPARSE])
def test_fit_and_score_samples(tmp_path, kind):
    make = (DENSE | SPARSE)[kind]
    X, y = whole_rows()
    expected = scorer().fit(X.astype(float), y)
    moved = scorer().fit(make(X + OFFSET, tmp_path), y)
    check_scores(moved.scores_, expected.scores_)
    rows = make(X[:20] + OFFSET, tmp_path)
    check_scores(
        moved.score_samples(rows, y[:20]), expected.score_samples(X[:20], y[:20])
    )


@pytest.mark.parametrize("make", DENSE.values(), ids=DENSE)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("method", ["partial_fit", "fit_batches"])
def test_batches(tmp_path, method, make):
    X, y = whole_rows()
    halves = [slice(0, 90), slice(90, None)]

    def fitted(batches):
        if method == "fit_batches":
            return scorer(dtype="float64").fit_batches(batches)
        one = scorer(dtype="float64")
        for batch in batches:
            one.partial_fit(*batch)
        return one

    expected = fitted([(X[half].astype(float), y[half]) for half in halves])
    moved = []
    for i, half in enumerate(halves):
        (tmp_path / str(i)).mkdir()
        moved.append((make(X[half] + OFFSET, tmp_path / str(i)), y[half]))
    check_scores(
        fitted(moved).score_samples(X + OFFSET, y), expected.score_samples(X, y)
    )


@pytest.mark.parametrize("dtype", [float, np.int64])
@pytest.mark.parametrize("listed", [True, False])
def test_record_batches(dtype, listed):
    X, y = whole_rows()

    def batches(X):
        columns = {f"f{i}": column for i, column in enumerate(X.T)}
        features = "embedding" if listed else list(columns)
        columns = {"embedding": X.tolist()} if listed else columns
        table = pa.table({"label": y, **columns})
        return RecordBatches(table, label="label", features=features)

    expected = scorer().fit_batches(batches(X.astype(dtype)))
    moved = scorer().fit_batches(batches((X + OFFSET).astype(dtype)))
    check_scores(moved.scores_, expected.scores_)


def test_a_map_that_is_read_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("smilearn.scoring._batches.BATCH_NUMBERS", 64)
    X, y = whole_rows()
    expected = scorer().fit(X.astype(float), y)
    moved = scorer().fit(mapped(np.int64)(X + OFFSET, tmp_path), y)
    check_scores(moved.scores_, expected.scores_)


@pytest.mark.parametrize("make", DENSE.values(), ids=DENSE)
@pytest.mark.parametrize(
    "rival",
    [NeighborScorer(), LDAScorer(), MahalanobisScorer(cross_fit=None)],
)
def test_baselines(tmp_path, rival, make):
    X, y = whole_rows()
    near = {"rtol": 1e-5, "atol": 1e-5}
    expected = clone(rival).fit(X.astype(float), y)
    moved = clone(rival).fit(make(X + OFFSET, tmp_path), y)
    assert_allclose(moved.scores_, expected.scores_, **near)
    moved = moved.score_samples(make(X[:20] + OFFSET, tmp_path), y[:20])
    assert_allclose(moved, expected.score_samples(X[:20], y[:20]), **near)


@pytest.mark.parametrize("make", [np.asarray, pd.DataFrame, pl.DataFrame])
def test_single_precision_is_not_widened(make):
    X = np.random.default_rng(0).normal(size=(20_000, 100)).astype(np.float32)
    X, y, size = make(X), np.arange(len(X)) % 2, X.nbytes
    one = scorer(outliers=None, dtype="float32")
    tracemalloc.start()
    one.fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.6 * size  # a copy in double precision alone is 2
