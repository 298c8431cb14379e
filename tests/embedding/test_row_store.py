"""Files of rows: few, within a size, and no harm from a full disk."""

import errno
import os
import time
from pathlib import Path

import numpy as np
import pytest
from cached_rows import KEY, TEXTS, Compute, expected, files_of, filled, recomputed

from smilearn.embedding import RowCache, _row_store, _segment_upkeep
from smilearn.embedding._segment_upkeep import MANY, merge, only_one
from smilearn.embedding._segments import segment_bytes, text_digests, write_segment
from smilearn.exceptions import CacheWarning

ROW_BYTES = 12
EIGHT = segment_bytes(8, ROW_BYTES)  # size of the file of a batch of 8


def size_of(folder):
    return sum(path.stat().st_size for path in files_of(folder))


def age(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def batch(folder, number, *, key=KEY, seconds_old=None, **options):
    """Put a file of 8 rows into a cache; its path."""
    before = set(files_of(folder))
    texts = [f"batch {number}, {i}" for i in range(8)]
    RowCache(folder, key, (3,), **options).rows(texts, Compute())
    [path] = set(files_of(folder)) - before
    if seconds_old is not None:
        age(path, seconds_old)
    return path, texts


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_many_small_files_become_few(tmp_path):
    texts = [f"text {i}" for i in range(1000)]
    filled(tmp_path, texts, batch_size=2)  # 500 files if none were merged
    assert len(files_of(tmp_path)) < 3 * MANY
    assert recomputed(tmp_path, texts) == []
    rows = sum(segment_bytes(2, ROW_BYTES) - segment_bytes(0, ROW_BYTES) for _ in texts)
    assert size_of(tmp_path) < rows  # each row once


def test_merged_files_are_not_larger_than_they_may_be(tmp_path, monkeypatch):
    monkeypatch.setattr(_segment_upkeep, "MOST_BYTES", 3 * EIGHT)
    texts = [f"text {i}" for i in range(400)]
    filled(tmp_path, texts)
    assert max(path.stat().st_size for path in files_of(tmp_path)) <= 3 * EIGHT
    assert len(files_of(tmp_path)) < 50
    assert recomputed(tmp_path, texts) == []


def test_a_large_batch_is_cut_into_files(tmp_path, monkeypatch):
    monkeypatch.setattr(_row_store, "MOST_BYTES", 10 * ROW_BYTES)
    filled(tmp_path, batch_size=40)
    assert len(files_of(tmp_path)) == 4
    assert recomputed(tmp_path) == []


def test_what_is_merged_is_no_newer_than_it_was(tmp_path):
    """Or rows that nobody asks for would outlive those that are in use."""
    segments = [
        write_segment(tmp_path, text_digests([text]), np.ones((1, 3), np.float32))
        for text in ("a", "b")
    ]
    for segment, seconds in zip(segments, (500, 900), strict=True):
        age(segment.path, seconds)
    merged, n_damaged = merge(tmp_path, segments)
    assert n_damaged == 0
    assert merged.path.stat().st_mtime_ns == segments[0].path.stat().st_mtime_ns


def test_only_one_merges_at_a_time(tmp_path):
    with only_one(tmp_path) as first, only_one(tmp_path) as second:
        assert (first, second) == (True, False)
    with only_one(tmp_path) as alone:
        assert alone
    (tmp_path / "merge.lock").touch()
    age(tmp_path / "merge.lock", 2 * _segment_upkeep.STALE)  # of a killed process
    with only_one(tmp_path) as alone:
        assert alone


def test_rows_merged_away_by_another_are_found_where_they_are(tmp_path, monkeypatch):
    cache = filled(tmp_path, batch_size=20)
    old = list(cache._store._segments.values())
    assert len(old) == 2
    refresh, calls = _row_store.RowStore._refresh, []

    def merged_meanwhile(store):
        refresh(store)
        calls.append(store)
        if len(calls) == 1:
            _segment_upkeep.merge(cache.folder, old)
            for segment in old:
                segment.path.unlink()

    monkeypatch.setattr(_row_store.RowStore, "_refresh", merged_meanwhile)
    assert recomputed(tmp_path) == []
    assert len(calls) == 2


def test_damaged_rows_do_not_survive_a_merge(tmp_path):
    cache = filled(tmp_path, batch_size=20)
    path = files_of(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    merged, n_damaged = _segment_upkeep.merge(
        cache.folder, list(cache._store._segments.values())
    )
    assert n_damaged == 1
    assert len(merged.digests) == 39


def test_files_used_longest_ago_go_first_whatever_their_key(tmp_path):
    oldest, _ = batch(tmp_path, 0, key={"other": 1}, seconds_old=500)
    used, texts = batch(tmp_path, 1, seconds_old=400)
    older, _ = batch(tmp_path, 2, seconds_old=300)
    RowCache(tmp_path, KEY, (3,)).rows(texts, Compute())  # now it is the youngest
    young, _ = batch(tmp_path, 3, seconds_old=200, max_bytes=4 * EIGHT)
    assert set(files_of(tmp_path)) == {oldest, used, older, young}
    newest, _ = batch(tmp_path, 4, max_bytes=4 * EIGHT)
    assert set(files_of(tmp_path)) == {used, older, young, newest}
    newer, _ = batch(tmp_path, 5, max_bytes=4 * EIGHT - 1)
    assert set(files_of(tmp_path)) == {used, newest, newer}


def test_rows_of_the_call_are_not_deleted_for_others_of_it(tmp_path):
    old, texts = batch(tmp_path, 0, seconds_old=500)
    cache = RowCache(tmp_path, KEY, (3,), max_bytes=3 * EIGHT)
    compute = Compute()
    with pytest.warns(CacheWarning, match="max_bytes=.* larger max_bytes") as caught:
        rows = cache.rows([*texts, *TEXTS], compute)
    assert len(caught) == 1
    np.testing.assert_array_equal(rows, expected([*texts, *TEXTS]))
    assert old.exists()
    assert size_of(tmp_path) == 3 * EIGHT
    assert sorted(recomputed(tmp_path)) == sorted(compute.texts[16:])


def test_a_full_disk_is_warned_of_once_and_loses_nothing(tmp_path, monkeypatch):
    fsync, calls = os.fsync, []

    def fill_up(descriptor):
        calls.append(descriptor)
        return full_disk() if len(calls) > 2 else fsync(descriptor)

    cache = RowCache(tmp_path, KEY, (3,))
    compute = Compute()
    monkeypatch.setattr(os, "fsync", fill_up)
    with pytest.warns(CacheWarning, match=r"the disk is full.* Free space") as caught:
        rows = cache.rows(TEXTS, compute)
    monkeypatch.undo()
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert len(calls) == 3  # not tried again in this call
    np.testing.assert_array_equal(rows, expected(TEXTS))
    assert compute.texts == TEXTS[::-1]
    assert {path.suffix for path in cache.folder.iterdir()} == {".rows", ".json"}
    assert sorted(recomputed(tmp_path)) == sorted(compute.texts[16:])
    compute = Compute()
    cache.rows([*TEXTS, "more"], compute)
    assert compute.texts == ["more"]  # and the next call keeps again
    cache.rows(["more"], Compute(end=0))


def test_a_full_disk_in_a_merge_leaves_the_small_files(tmp_path, monkeypatch):
    monkeypatch.setattr(_row_store, "merge", full_disk)
    filled(tmp_path, batch_size=1)
    assert len(files_of(tmp_path)) == len(TEXTS)
    assert recomputed(tmp_path) == []


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_segment(tmp_path, np.array([b"1" * 16]), np.ones((1, 3)))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_may_not_be_read_is_named_and_kept(tmp_path, monkeypatch):
    filled(tmp_path, TEXTS[:8])
    [path] = files_of(tmp_path)
    opened = Path.open

    def forbid(self, mode="r", *args, **options):
        if self == path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(self, mode, *args, **options)

    monkeypatch.setattr(Path, "open", forbid)
    with pytest.warns(CacheWarning, match=rf"{path.name} cannot be read \(Permission"):
        assert len(recomputed(tmp_path, TEXTS[:8])) == 8
    assert path.exists()


def test_rows_of_the_call_stay_when_they_are_merged(tmp_path, monkeypatch):
    monkeypatch.setattr(_segment_upkeep, "MANY", 2)
    compute = Compute()
    with pytest.warns(CacheWarning, match="larger max_bytes"):
        RowCache(tmp_path, KEY, (3,), max_bytes=3 * EIGHT).rows(TEXTS, compute)
    assert len(files_of(tmp_path)) == 1
    assert sorted(recomputed(tmp_path)) == sorted(compute.texts[24:])
