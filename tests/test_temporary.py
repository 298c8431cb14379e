"""Large arrays in files that go away with them."""

import gc
import tempfile
from pathlib import Path

import numpy as np
import pytest

from smilearn import _temporary
from smilearn.exceptions import InvalidInputError


@pytest.fixture
def small_is_large(monkeypatch, tmp_path):
    monkeypatch.setattr(_temporary, "LARGE", 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def open_files():
    """How many files this process has open, where the system tells."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def test_small_arrays_are_in_memory(small_is_large):
    rows = _temporary.empty_rows((3, 83))
    assert type(rows) is np.ndarray
    assert (rows.shape, rows.dtype) == ((3, 83), np.float32)


def test_large_ones_are_a_file_that_leaves_nothing_behind(small_is_large):
    before = open_files()
    rows = _temporary.empty_rows((5, 2, 25))
    assert isinstance(rows, np.memmap)
    assert (rows.shape, rows.dtype) == ((5, 2, 25), np.float32)
    rows[:] = np.arange(250).reshape(5, 2, 25)
    view = rows[:, 1]
    del rows
    gc.collect()
    assert view.sum() == sum(25 * (2 * row + 1) * 25 + 300 for row in range(5))
    del view
    gc.collect()
    assert list(small_is_large.iterdir()) == []
    assert open_files() == before


def test_no_room_is_said_before_anything_is_written(small_is_large, monkeypatch):
    def full(file, n_bytes):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_temporary, "_reserve", full)
    with pytest.raises(InvalidInputError, match=r"No space left.*TMPDIR to a larger"):
        _temporary.empty_rows((5, 2, 25))
    assert list(small_is_large.iterdir()) == []
