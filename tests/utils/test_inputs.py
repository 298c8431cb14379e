import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from oracles import embeddings, fitted, sparse_rows
from scipy.sparse import csc_matrix, csr_array, csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from smilearn import SlicedMIScorer
from smilearn.exceptions import InvalidInputError
from smilearn.scoring._samples import SparsePoints

FAMILIES = ["isotropic", "principal", "discriminant", "joint", "adaptive"]


@pytest.mark.parametrize("slicing", FAMILIES)
def test_tensors_score_as_arrays(seed, slicing):
    X, y = embeddings(seed)
    expected = fitted(X, y, slicing=slicing)
    one = fitted(torch.tensor(X, requires_grad=True), torch.tensor(y), slicing=slicing)
    assert_allclose(one.scores_, expected.scores_, atol=1e-10)
    for name, value in vars(one).items():
        assert not isinstance(value, torch.Tensor), name
    assert_allclose(
        one.score_table(torch.tensor(X)), expected.score_table(X), atol=1e-10
    )
    assert one.score(torch.tensor(X), y) == expected.score(X, y)
    assert len(one.to_table(torch.tensor(X))) == len(y)


def test_no_tensor_is_copied_to_an_array(seed, monkeypatch):
    X, y = embeddings(seed)

    def refuse(*_, **__):
        raise AssertionError("copied to the host")

    tensor = torch.tensor(X)
    monkeypatch.setattr(torch.Tensor, "__array__", refuse)
    fitted(tensor, y).score_samples(tensor, y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_tensors(seed, dtype):
    X, y = embeddings(seed)
    X = torch.tensor(X).to(dtype)
    expected = fitted(X.double().numpy(), y)
    assert_allclose(fitted(X, y).scores_, expected.scores_, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ">f8", np.int8, bool])
def test_arrays_of_any_number_type(seed, dtype):
    X, y = embeddings(seed)
    X = (20 * X).astype(np.int8).astype(dtype)
    expected = fitted(X.astype(float), y)
    assert_allclose(fitted(X, y).scores_, expected.scores_, atol=1e-5)


def test_half_precision_whose_squares_overflow(seed):
    X, y = embeddings(seed)
    X = (3000 * X).astype(np.float16)
    expected = fitted(X.astype(float), y).scores_
    assert_allclose(fitted(X, y).scores_, expected, atol=1e-5)
    assert_allclose(fitted(torch.tensor(X), y).scores_, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (torch.zeros(4), "2D array"),
        (torch.zeros((4, 0)), "1 feature"),
        (torch.zeros((1, 3)), "sample"),
        (torch.full((4, 3), torch.nan), "NaN or infinity"),
        (torch.full((4, 3), torch.inf), "NaN or infinity"),
        (torch.full((4, 3), 7e4).half(), "NaN or infinity"),
        (torch.zeros((4, 3), dtype=torch.complex64), "Complex"),
        (torch.eye(4).to_sparse(), "dense"),
    ],
)
def test_wrong_tensors_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        SlicedMIScorer(4).fit(wrong, [0, 1, 0, 1][: len(wrong)])


def test_tensors_of_other_widths_are_refused(seed):
    X, y = embeddings(seed)
    with pytest.raises(ValueError, match="features"):
        fitted(torch.tensor(X), y).score_samples(torch.tensor(X[:, :3]), y)
    with pytest.raises(ValueError, match="inconsistent"):
        fitted(torch.tensor(X), y[:-1])


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_frames_give_their_names(seed, kind):
    X, y = embeddings(seed)
    names = [f"x{i}" for i in range(X.shape[1])]
    frame = pd.DataFrame(X, columns=names, index=np.arange(len(y))[::-1])
    make = {"pandas": lambda f: f, "polars": pl.from_pandas, "arrow": pa.table}
    if kind != "pandas":
        frame = frame.reset_index(drop=True)
    frame = make[kind](frame)
    one = fitted(frame, y)
    # a frame is stored by columns, and sums round by the order of their terms
    assert_allclose(one.scores_, fitted(X, y).scores_, atol=1e-6)
    if kind != "arrow":
        assert one.feature_names_in_.tolist() == names
    expected = fitted(X, y).score_samples(X, y)
    assert_allclose(one.score_samples(frame, y), expected, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda y: [f"class {label}" for label in y],
        lambda y: pd.Series(y, index=y + 7).map({0: "a", 1: "b", 2: "c"}),
        lambda y: pd.Series(y).map({0: "a", 1: "b", 2: "c"}).astype("category"),
        lambda y: pl.Series(y).cast(pl.String),
        lambda y: pl.Series(y).cast(pl.String).cast(pl.Categorical),
        lambda y: pa.array(y),
        lambda y: y.astype(np.uint8),
        lambda y: torch.tensor(y),
    ],
    ids=range(8),
)
def test_labels_of_any_kind(seed, make):
    X, y = embeddings(seed)
    one = fitted(X, make(y))
    assert_allclose(one.scores_, fitted(X, y).scores_, atol=1e-12)
    assert_allclose(one.score_samples(X, make(y)), fitted(X, y).score_samples(X, y))


def test_labels_that_are_true_or_false(seed):
    X, y = embeddings(seed)
    one = fitted(X, y == 1)
    assert_allclose(one.scores_, fitted(X, (y == 1).astype(int)).scores_)


def sparse_problem(seed, n=150, d=40):
    rng = np.random.default_rng(seed)
    X = sparse_rows(rng, (n, d), 0.15)
    y = rng.integers(0, 3, n)
    X = (X + csr_array(np.eye(3)[y] @ np.eye(3, d) * 0.4)).tocsr()
    return X, y


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("slicing", ["isotropic", "principal"])
@pytest.mark.parametrize("make", [csr_array, csr_matrix, csc_matrix])
def test_sparse_scores_as_dense(seed, make, slicing, weighted):
    X, y = sparse_problem(seed)
    parameters = {"slicing": slicing, "n_components": 5, "dtype": "float64"}
    dense, sparse = (
        SlicedMIScorer(200, random_state=0, **parameters) for _ in range(2)
    )
    weight = np.random.default_rng(seed).integers(0, 3, len(y)) if weighted else None
    dense.fit(X.toarray(), y, sample_weight=weight)
    sparse.fit(make(X), y, sample_weight=weight)
    assert_allclose(sparse.scores_, dense.scores_, atol=1e-6)
    table = dense.score_table(X.toarray())
    assert_allclose(sparse.score_table(make(X)), table, atol=1e-6)
    if slicing == "principal":
        assert_allclose(sparse.components_, dense.components_, atol=1e-6)


def test_sparse_is_never_made_dense(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    X = sparse_rows(rng, (300, 60_000), 5e-4)
    y = rng.integers(0, 2, 300)
    monkeypatch.setattr(csr_array, "todense", None)
    whole = []
    toarray = csr_array.toarray

    def watched(self, *arguments, **options):
        whole.append(self.shape)
        return toarray(self, *arguments, **options)

    monkeypatch.setattr(csr_array, "toarray", watched)
    one = SlicedMIScorer(20, slicing="isotropic", random_state=0).fit(X, y)
    one.score_samples(X, y)
    assert all(min(shape) <= 2 for shape in whole)


def test_sparse_with_entries_given_twice(seed):
    X, y = sparse_problem(seed)
    entries = X.tocoo()
    rows, columns = entries.coords
    halves = np.concatenate([entries.data / 2, entries.data / 2])
    order = np.argsort(np.tile(rows, 2), kind="stable")
    ends = np.concatenate([[0], np.cumsum(2 * np.diff(X.indptr))])
    twice = csr_array((halves[order], np.tile(columns, 2)[order], ends), X.shape)
    kept = twice.copy()
    expected = fitted(X, y).scores_
    assert_allclose(fitted(twice, y).scores_, expected, atol=1e-9)
    assert_array_equal(twice.data, kept.data)


def test_sparse_far_samples_and_odd_scales(seed):
    X, y = sparse_problem(seed)
    one = fitted(X, y)
    for scale in (1e-30, 1e30):
        assert_allclose(fitted(scale * X, y).scores_, one.scores_, atol=1e-9)
    assert np.isfinite(one.score_samples(1e200 * X, y)).all()


def test_covariances_of_sparse_data_are_refused(seed):
    X, y = sparse_problem(seed)
    for slicing in ("whitened", "discriminant", "joint"):
        with pytest.raises(InvalidInputError, match="TruncatedSVD"):
            fitted(X, y, slicing=slicing)
    with pytest.raises(TypeError, match="dense"):
        SlicedMIScorer(4, slicing="isotropic").partial_fit(X, y)


def test_sparse_means_are_exact(seed):
    X, y = sparse_problem(seed)
    order = np.argsort(y, kind="stable")
    one = fitted(X, y, dtype="float64")
    points = SparsePoints.of(X[order], one.centre_, one.inverse_scale_, one._settings())
    count = np.bincount(y)
    ends = np.cumsum(count)
    segments = [slice(e - n, e) for e, n in zip(ends, count, strict=True)]
    residuals, means = points.centred(segments)
    dense = (X.toarray() - one.centre_) * one.inverse_scale_
    for label in range(3):
        assert_allclose(means[label], dense[y == label].mean(0), atol=1e-12)
    directions = torch.eye(X.shape[1], dtype=torch.float64)
    found = residuals.project(directions, residuals.new_empty((40, len(y))))
    assert_allclose(found.T, dense[order] - means[y[order]], atol=1e-12)


def test_words_in_a_pipeline(seed):
    rng = np.random.default_rng(seed)
    words = np.array([f"word{i}" for i in range(200)])
    y = rng.integers(0, 2, 120)
    texts = [" ".join(words[rng.integers(0, 60, 9) + 60 * label]) for label in y]
    pipeline = make_pipeline(TfidfVectorizer(), SlicedMIScorer(100, random_state=0))
    scores = pipeline.fit(texts, y)[-1].scores_
    assert pipeline.score(texts, y) > 0.9
    y[0] = 1 - y[0]
    assert pipeline.fit(texts, y)[-1].scores_[0] < np.quantile(scores, 0.05)


def test_the_mixture_of_sparse_samples(seed):
    X, y = sparse_problem(seed, 300, 90)
    one = fitted(X, y, slicing="adaptive", n_slices=90)
    dense = fitted(X.toarray(), y, slicing="adaptive", n_slices=90)
    assert set(one.members_) == set(dense.members_) - {"discriminant", "joint"}
    for name, member in one.members_.items():
        expected = dense.members_[name]
        assert_allclose(member.scores_, expected.scores_, atol=1e-5)
        assert one.contrast_[name] == pytest.approx(dense.contrast_[name], abs=1e-3)
    assert one.score_samples(X[:5], y[:5]).shape == (5,)


def test_sparse_means_of_many_classes_need_little_memory(seed):
    rng = np.random.default_rng(seed)
    X = sparse_rows(rng, (20_000, 4_000), 1e-3)
    y = rng.integers(0, 5, 20_000)
    tracemalloc.start()
    SlicedMIScorer(8, slicing="isotropic", random_state=0).fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000 * 4_000 * 8 / 5  # bytes of X, dense


def test_a_map_of_dense_samples_takes_no_sparse_ones(seed):
    X, y = sparse_problem(seed)
    for slicing in ("joint", "discriminant", "adaptive"):
        one = fitted(X.toarray(), y, slicing=slicing)
        with pytest.raises(InvalidInputError, match="toarray"):
            one.score_samples(X, y)


def test_missing_labels_are_refused(seed):
    X, y = embeddings(seed)
    for missing in (None, np.nan):
        labels = np.array([f"{label}" for label in y], dtype=object)
        labels[3] = missing
        with pytest.raises(ValueError, match=r"row 3|NaN"):
            fitted(X, labels)


def test_wide_sparse_rows_that_are_one(seed):
    X = csr_array(np.full((12, 600), 0.5))
    y = np.repeat([0, 1], 6)
    assert not fitted(X, y, slicing="principal").scores_.any()
