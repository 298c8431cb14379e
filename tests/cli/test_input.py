"""Data that commands cannot work with are told before the work."""

from pathlib import Path

import numpy as np
import pytest
from table_files import write_columns

from smilearn.cli._score import (
    complete_column,
    data_stream,
    label_column,
    load_embeddings,
    unique_column,
)
from smilearn.exceptions import FileFormatError, InvalidInputError

NAN = float("nan")


def test_embeddings_must_be_one_matrix_of_numbers(tmp_path):
    np.savez(tmp_path / "X.npz", X=np.eye(3))
    (tmp_path / "empty.npy").touch()
    np.save(tmp_path / "words.npy", np.array([["a"], ["b"]]))
    np.save(tmp_path / "nan.npy", [[0.0], [1], [NAN], [np.inf]])
    np.save(tmp_path / "none.npy", np.empty((3, 0)))
    for name, match in [("X.npz", "expected 3 rows"), ("none.npy", "expected 3 rows")]:
        with pytest.raises(InvalidInputError, match=match):
            load_embeddings(tmp_path / name, 3)
    with pytest.raises(FileFormatError, match="not a NumPy array file"):
        load_embeddings(tmp_path / "empty.npy", 3)
    with pytest.raises(InvalidInputError, match="must hold numbers; got <U1"):
        load_embeddings(tmp_path / "words.npy", 2)
    with pytest.raises(InvalidInputError, match="infinity in 2 rows, the first is 2"):
        load_embeddings(tmp_path / "nan.npy", 4)


@pytest.mark.parametrize("empty", ["", None, NAN])
def test_empty_cells_are_counted_and_named(empty):
    values = [empty, "a", empty, *[empty] * 5]
    with pytest.raises(
        InvalidInputError, match=r"in 7 of 8 rows .*: 0, 2, 3, 4, 5, \."
    ):
        complete_column({"a": values}, "a", "data.csv")
    assert complete_column({"a": ["x", 0, False]}, "a", "d") == ["x", 0, False]


def test_labels_are_names_of_classes():
    assert label_column({"y": [1.0, 2.0]}, "y", "d") == [1, 2]
    assert label_column({"y": ["1.5", " "]}, "y", "d") == ["1.5", " "]
    assert label_column({"y": [True, False]}, "y", "d") == [True, False]
    for wrong in ([1, 1.5], ["a", ["b"]], [{}, 1], [1.0, float("inf")]):
        with pytest.raises(InvalidInputError, match="strings or whole numbers; column"):
            label_column({"y": wrong}, "y", "d")


def test_ids_are_unique_and_of_one_kind():
    assert unique_column({"k": ["01", "1"]}, "k", "d") == ["01", "1"]
    assert unique_column({"k": [3, 1]}, "k", "d") == [3, 1]
    assert unique_column({"k": [3, "a"]}, "k", "d") == ["3", "a"]
    for wrong in (["a", "b", "c", "b"], [0, 1, 2, 1], [0, "1", "x", 1]):
        with pytest.raises(InvalidInputError, match="in row 1 and in row 3 "):
            unique_column({"k": wrong}, "k", "d")
    with pytest.raises(InvalidInputError, match="ids must be strings or numbers"):
        unique_column({"k": [[1]]}, "k", "d")


def test_data_come_from_a_file_or_standard_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_columns({"a": ["1"]}, "d.csv")
    assert data_stream(Path("d.csv"), False, None).kind == "csv"
    assert data_stream(Path("-"), False, None).kind == "jsonl"
    assert data_stream(Path("-"), True, "csv").kind == "csv"
    assert data_stream(None, True, None).path is None
    with pytest.raises(InvalidInputError, match="Name a data file"):
        data_stream(None, False, None)
    with pytest.raises(InvalidInputError, match=r"d\.csv and --stdin exclude"):
        data_stream(Path("d.csv"), True, None)
