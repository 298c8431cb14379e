"""Arrays in memory, or in files that go away with them."""

import errno
import gc
import os
from pathlib import Path

import numpy as np
import pytest

from smilearn.exceptions import InvalidInputError
from smilearn.utils import _indexing
from smilearn.utils._indexing import large_array


@pytest.fixture(autouse=True)
def small_limit(monkeypatch):
    monkeypatch.setattr(_indexing, "LARGE", 80)


def test_small_arrays_are_in_memory():
    assert type(large_array((3, 3), float)) is np.ndarray


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


def test_a_full_folder_is_left_for_the_temporary_one(tmp_path, monkeypatch):
    set_aside, tried = _indexing._set_aside, []

    def first_is_full(file, n_bytes):
        tried.append(n_bytes)
        if len(tried) == 1:
            full()
        set_aside(file, n_bytes)

    monkeypatch.setattr(_indexing, "_set_aside", first_is_full)
    assert isinstance(large_array((5, 5), float, tmp_path), np.memmap)
    assert tried == [200, 200]
    assert list(tmp_path.iterdir()) == []


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
