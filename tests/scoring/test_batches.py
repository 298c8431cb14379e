import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from oracles import embeddings, fitted

from smilearn import SlicedMIScorer
from smilearn.exceptions import InvalidInputError
from smilearn.scoring import RecordBatches
from smilearn.scoring._batches import ArrayBatches


def table_of(seed, kind="list"):
    X, y = embeddings(seed)
    X = X.astype(np.float32)
    flat = pa.array(X.ravel())
    columns = {
        "list": {"embedding": pa.array(X.tolist(), pa.list_(pa.float32()))},
        "fixed": {"embedding": pa.FixedSizeListArray.from_arrays(flat, X.shape[1])},
        "columns": {f"x{i}": column for i, column in enumerate(X.T)},
    }[kind]
    columns |= {"label": y, "weight": 1 + y % 2, "text": ["-"] * len(y)}
    return X, y, pa.table(columns)


@pytest.mark.parametrize("kind", ["list", "fixed", "columns"])
@pytest.mark.parametrize("source", ["parquet", "files", "table", "batches", "dataset"])
def test_every_source_and_form(seed, tmp_path, kind, source):
    X, y, table = table_of(seed, kind)
    half = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pa.parquet.write_table(table[:50], half[0])
    pa.parquet.write_table(table[50:], half[1])
    pa.parquet.write_table(table, tmp_path / "whole.parquet")
    sources = {
        "parquet": str(tmp_path / "whole.parquet"),
        "files": list(half),
        "table": table,
        "batches": table.to_batches(max_chunksize=13),
        "dataset": pa.dataset.dataset(list(map(str, half))),
    }
    features = [f"x{i}" for i in range(6)] if kind == "columns" else "embedding"
    batches = RecordBatches(
        sources[source], label="label", features=features, batch_size=7
    )
    for _ in range(2):  # it can be gone through again
        parts = list(batches)
        assert_array_equal(np.concatenate([part[0] for part in parts]), X)
        assert_array_equal(np.concatenate([part[1] for part in parts]), y)
    assert len(parts) > 1
    one = SlicedMIScorer(16, random_state=0).fit_batches(batches)
    assert_allclose(one.scores_, fitted(X, y, n_slices=16).scores_, atol=1e-4)


def test_what_is_missing_is_named(seed):
    _, _, table = table_of(seed)
    with pytest.raises(InvalidInputError, match="No column 'lable'"):
        list(RecordBatches(table, label="lable"))
    with pytest.raises(InvalidInputError, match="list of numbers"):
        list(RecordBatches(table, label="label", features="text"))
    holes = pa.table({"embedding": [[1.0, 2.0], None], "label": [0, 1]})
    uneven = pa.table({"embedding": [[1.0, 2.0], [1.0]], "label": [0, 1]})
    even_in_sum = pa.table({"embedding": [[1.0, 2.0, 3.0], [1.0]], "label": [0, 1]})
    for wrong in (holes, uneven, even_in_sum):
        with pytest.raises(InvalidInputError, match="as many numbers"):
            list(RecordBatches(wrong, label="label"))
    unlabelled = pa.table({"embedding": [[1.0], [2.0]], "label": [0, None]})
    with pytest.raises(InvalidInputError, match="missing values"):
        list(RecordBatches(unlabelled, label="label"))
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches())
    with pytest.raises(InvalidInputError, match="more than once"):
        list(RecordBatches(reader, label="label"))


@pytest.mark.parametrize("source", ["folder", "dataset", "table", "filtered"])
def test_only_the_columns_needed_are_read(seed, tmp_path, monkeypatch, source):
    X, y, table = table_of(seed)
    for name, rows in (("b", slice(50, None)), ("a", slice(50))):
        pa.parquet.write_table(table[rows], tmp_path / f"{name}.parquet")
    (tmp_path / "notes.txt").write_text("not a table")
    files = pa.dataset.dataset(sorted(map(str, tmp_path.glob("*.parquet"))))
    of_all = pa.dataset.field("weight") > 0
    sources = {
        "folder": tmp_path,
        "dataset": files,
        "table": pa.dataset.dataset(table),
        "filtered": files.filter(of_all),
    }
    seen, embeddings_of = [], RecordBatches._embeddings

    def watched(self, batch):
        seen.extend(batch.schema.names)
        return embeddings_of(self, batch)

    monkeypatch.setattr(RecordBatches, "_embeddings", watched)
    parts = list(RecordBatches(sources[source], label="label", batch_size=7))
    assert set(seen) == {"embedding", "label"}
    assert_array_equal(np.concatenate([part[0] for part in parts]), X)
    assert_array_equal(np.concatenate([part[1] for part in parts]), y)


def test_a_filter_may_leave_batches_empty(seed, tmp_path):
    X, y, table = table_of(seed)
    path = tmp_path / "whole.parquet"
    pa.parquet.write_table(table, path, row_group_size=20)
    kept = (y == 0) | (y == 2)
    field = pa.dataset.field("label")
    some = pa.dataset.dataset(path).filter((field == 0) | (field == 2))
    assert 0 in [batch.num_rows for batch in some.to_batches(batch_size=10)]
    batches = RecordBatches(some, label="label", batch_size=10)
    expected = fitted(X[kept], y[kept], outliers=None).scores_
    assert_allclose(streamed(batches).scores_, expected, atol=1e-4)


@pytest.mark.parametrize("frames", ["polars", "pandas"])
def test_a_data_frame_is_a_source(seed, frames):
    frames = pytest.importorskip(frames)
    X, y, _ = table_of(seed)
    words = [f"class {label}" for label in y]
    frame = frames.DataFrame({"embedding": X.tolist(), "label": words, "text": words})
    batches = RecordBatches(frame, label="label", batch_size=20)
    expected = fitted(X, y, outliers=None).scores_
    assert_allclose(streamed(batches).scores_, expected, atol=1e-4)
    with pytest.raises(InvalidInputError, match="No column 'lable'"):
        list(RecordBatches(frame, label="lable"))


def streamed(batches, **parameters):
    defaults = {"n_slices": 64, "random_state": 0, "outliers": None}
    return SlicedMIScorer(**defaults | parameters).fit_batches(batches)


class Reusing:
    """Batches in one buffer, which is filled anew for each."""

    def __init__(self, *arrays, size=10):
        self.arrays, self.size = arrays, size

    def __iter__(self):
        buffers = [array[: self.size].copy() for array in self.arrays]
        for begin in range(0, len(self.arrays[0]), self.size):
            for buffer, array in zip(buffers, self.arrays, strict=True):
                some = array[begin : begin + self.size]
                buffer[: len(some)] = some
            yield tuple(buffer[: len(some)] for buffer in buffers)


@pytest.mark.parametrize("enough", [6 * 4, 6 * 10, 6 * 25, 2**24])
def test_a_buffer_may_be_used_again(seed, monkeypatch, enough):
    monkeypatch.setattr("smilearn.scoring._batches.BATCH_NUMBERS", enough)
    X, y = embeddings(seed)
    X, weight = X.astype(np.float32), 1.0 + np.arange(len(y)) % 3
    expected = fitted(X, y, outliers=None).scores_
    assert_allclose(streamed(Reusing(X, y)).scores_, expected, atol=1e-4)
    weighted = SlicedMIScorer(64, outliers=None, random_state=0)
    expected = weighted.fit(X, y, sample_weight=weight).scores_
    assert_allclose(streamed(Reusing(X, y, weight)).scores_, expected, atol=1e-4)


def test_batches_without_samples_are_skipped(seed):
    X, y = embeddings(seed)
    empty = X[:0], y[:0]
    one = streamed([empty, (X[:50], y[:50]), empty, (X[50:], y[50:]), ([], [])])
    assert_allclose(one.scores_, fitted(X, y, outliers=None).scores_, atol=1e-4)
    with pytest.raises(InvalidInputError, match="at least 1 batch"):
        streamed([empty])


def test_arrays_of_other_lengths_are_refused_at_once(seed):
    X, y = embeddings(seed)
    for wrong in (y[:-1], np.append(y, 0)):
        with pytest.raises(ValueError, match=f"{len(y)}, {len(wrong)}"):
            ArrayBatches(X, wrong)
    with pytest.raises(ValueError, match="inconsistent"):
        ArrayBatches(X, y, np.ones(3))


@pytest.mark.parametrize("kind", ["number", "list", "tensor"])
def test_weights_of_arrays_may_be_of_any_kind(seed, kind):
    X, y = embeddings(seed)
    weight = np.full(len(y), 2.0)
    given = {"number": 2, "list": weight.tolist(), "tensor": torch.tensor(weight)}
    one = streamed(ArrayBatches(X, y.tolist(), given[kind]))
    weighted = SlicedMIScorer(64, outliers=None, random_state=0)
    expected = weighted.fit(X, y, sample_weight=weight).scores_
    assert_allclose(one.scores_, expected, atol=1e-4)


@pytest.mark.parametrize("enough", [60, 2**24])
def test_labels_are_of_one_kind_in_all_batches(seed, monkeypatch, enough):
    monkeypatch.setattr("smilearn.scoring._batches.BATCH_NUMBERS", enough)
    X, y = embeddings(seed)
    words = np.array(["a", "bb", "c"])[y]
    with pytest.raises(InvalidInputError, match="one kind"):
        streamed([(X, y), (X, words)])
    one = streamed([(X, words), (X, words.astype(object))])
    expected = fitted(np.r_[X, X], np.r_[words, words], outliers=None)
    assert_allclose(one.scores_, expected.scores_, atol=1e-4)
    assert_array_equal(one.classes_, expected.classes_)
