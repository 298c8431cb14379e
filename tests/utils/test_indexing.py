"""Samples and labels in whatever people keep them in."""

import errno
import gc
import os
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
import torch

from smilearn.exceptions import InvalidInputError
from smilearn.utils import _indexing
from smilearn.utils._indexing import (
    check_aligned,
    index_of,
    is_aligned,
    large_array,
    take_samples,
)
from smilearn.utils._labels import one_label_each

NUMBERS = [3, 1, 4, 1, 5]
ROWS = np.array([4, 0, 0])
COLUMN = {
    "list": NUMBERS,
    "tuple": tuple(NUMBERS),
    "array": np.array(NUMBERS),
    "tensor": torch.tensor(NUMBERS),
    "series": pd.Series(NUMBERS, index=[7, 7, 8, 9, 9]),
    "category": pd.Series(NUMBERS, dtype="category"),
    "frame": pd.DataFrame({"n": NUMBERS}),
    "polars": pl.Series("n", NUMBERS),
    "polars frame": pl.DataFrame({"n": NUMBERS}),
    "arrow": pa.array(NUMBERS),
    "chunks": pa.chunked_array([NUMBERS[:2], NUMBERS[2:]]),
    "arrow table": pa.table({"n": NUMBERS}),
    "data set": datasets.Dataset.from_dict({"n": NUMBERS}),
    "object": np.array(NUMBERS, dtype=object),
    **{
        kind: sp.csr_array(np.array(NUMBERS)[:, None]).asformat(kind)
        for kind in ("csr", "csc", "coo", "lil", "dia", "bsr", "dok")
    },
}


def plain(values):
    """Values as a list of numbers."""
    if sp.issparse(values):
        return values.toarray()[:, 0].tolist()
    if hasattr(values, "column_names"):
        values = values["n"]
    if hasattr(values, "to_pylist"):
        return values.to_pylist()
    if isinstance(values, pd.DataFrame):
        return values["n"].tolist()
    return (
        [row[0] for row in values.rows()]
        if isinstance(values, pl.DataFrame)
        else [int(value) for value in values]
    )


@pytest.mark.parametrize("values", COLUMN.values(), ids=COLUMN)
def test_rows_come_in_the_container_they_were_in(values):
    taken = take_samples(values, ROWS)
    assert type(taken) is type(values)
    assert plain(taken) == [5, 3, 3]
    assert plain(take_samples(values, ROWS[:0])) == []


def test_the_index_goes_with_the_rows():
    taken = take_samples(COLUMN["series"], ROWS)
    assert taken.index.tolist() == [9, 7, 7]
    assert index_of(taken) is taken.index
    assert all(index_of(values) is None for values in (NUMBERS, COLUMN["polars"]))


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (None, "the target y is None"),
        ([[1, 1], [0, 1]], "Multilabel and multioutput"),
        ([[0, 0], [0, 1]], "Multilabel and multioutput"),
        ([[0, 2], [0, 1]], "Multilabel and multioutput"),
        (pd.DataFrame({"label": ["a", None]}), "1 missing, in row 1"),
    ],
)
def test_what_is_no_label_is_refused(y, said):
    y = np.array(y) if isinstance(y, list) and isinstance(y[0], list) else y
    with pytest.raises(ValueError, match=said):
        one_label_each(y, "RiskFilter")


@pytest.mark.parametrize(
    ("values", "got"), [([1, 2], "2"), (3, "a int"), (np.ones((4, 2)), "4")]
)
def test_what_does_not_go_with_the_samples_is_named(values, got):
    check_aligned(NUMBERS, {"weight": NUMBERS, "ids": COLUMN["series"]})
    with pytest.raises(
        InvalidInputError, match=f"weight must hold one .* 5 samples; got {got}"
    ):
        check_aligned(NUMBERS, {"ids": NUMBERS, "weight": values})


@pytest.fixture(autouse=True)
def small_limit(monkeypatch):
    monkeypatch.setattr(_indexing, "LARGE", 80)


@pytest.mark.parametrize("reserves", [True, False])
def test_large_arrays_are_in_a_file_with_all_of_its_space(
    tmp_path, monkeypatch, reserves
):
    if not reserves:  # as on macOS and Windows
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    array = large_array((300_000, 5), np.float32, tmp_path)
    assert isinstance(array, np.memmap)
    assert array.shape == (300_000, 5)
    array[:] = 7
    assert array.sum(dtype=float) == 7 * 1_500_000
    del array
    assert list(tmp_path.iterdir()) == []


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_no_room_is_said_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(_indexing, "_set_aside", full)
    with pytest.raises(InvalidInputError, match=r"No space left.*TMPDIR to a larger"):
        large_array((5, 5), float, tmp_path)
    assert list(tmp_path.iterdir()) == []


def open_files():
    """How many files this process has open, where the system tells."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def test_a_view_keeps_the_file_and_the_last_one_closes_it(tmp_path):
    before = open_files()
    rows = large_array((5, 2, 25), np.float32, tmp_path)
    rows[:] = np.arange(250).reshape(5, 2, 25)
    view = rows[:, 1]
    del rows
    gc.collect()
    assert view.sum() == sum(25 * (2 * row + 1) * 25 + 300 for row in range(5))
    del view
    gc.collect()
    assert open_files() == before


@pytest.mark.parametrize(
    ("values", "aligned"),
    [
        (range(3), True),
        ([1, 2], False),
        ("abc", False),
        (b"abc", False),
        ({1: 1, 2: 2, 3: 3}, False),
        (np.ones((3, 2)), True),
        (np.float64(1), False),
        (sp.csr_array(np.ones((3, 5))), True),
        (sp.csr_array(np.ones((5, 3))), False),
        (pd.Series([1, 2, 3]), True),
        (7, False),
        (None, False),
    ],
)
def test_what_goes_with_three_samples(values, aligned):
    assert is_aligned(values, 3) is aligned
