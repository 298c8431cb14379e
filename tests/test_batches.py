import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import embeddings, fitted

from smilearn import SlicedMIScorer
from smilearn.batches import RecordBatches
from smilearn.exceptions import InvalidInputError


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
    one = SlicedMIScorer(64, slicing="isotropic", random_state=0).fit_batches(batches)
    assert_allclose(one.scores_, fitted(X, y).scores_, atol=1e-5)


def test_weights_and_a_sliced_table(seed):
    X, y, table = table_of(seed, "fixed")
    batches = RecordBatches(table[10:90], label="label", sample_weight="weight")
    (found, labels, weight), *_ = batches
    assert_array_equal(found, X[10:90])
    assert_array_equal(labels, y[10:90])
    assert_array_equal(weight, 1 + y[10:90] % 2)


def test_labels_that_are_words(seed):
    _, y, table = table_of(seed)
    words = pa.array([f"class {label}" for label in y]).dictionary_encode()
    table = table.set_column(1, "label", words)
    (_, labels), *_ = RecordBatches(table, label="label")
    assert labels[0] == "class 0"


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
