"""Arrays in memory, or in files that go away with them."""

import errno
import os

import numpy as np
import pytest

from smilearn import _large_array
from smilearn._large_array import large_array


@pytest.fixture(autouse=True)
def small_limit(monkeypatch):
    monkeypatch.setattr(_large_array, "LARGE", 80)


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


def test_a_full_disk_leaves_it_in_memory(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_large_array, "_set_aside", full)
    array = large_array((5, 5), float, tmp_path)
    assert type(array) is np.ndarray
    assert array.shape == (5, 5)
    assert list(tmp_path.iterdir()) == []
