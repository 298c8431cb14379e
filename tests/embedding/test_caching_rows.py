"""Rows of texts kept on disk: found again, whole, and shared."""

import json
import multiprocessing
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from cached_rows import (
    KEY,
    TEXTS,
    Compute,
    expected,
    files_of,
    filled,
    never,
    recomputed,
)

from smilearn.embedding import RowCache, clear_cache
from smilearn.exceptions import CacheError, CacheWarning, InvalidInputError
from smilearn.utils import _indexing


def in_new_process(code, folder):
    source = f"import os, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    source += f"from cached_rows import *\nfolder = {str(folder)!r}\n{code}"
    command = [sys.executable, "-c", source]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_rows_in_the_order_of_the_texts_and_equal_texts_once(tmp_path):
    texts = ["b", "a", "b", "", "c", "a", "b\0", "\ud800", "é"]
    compute = Compute(2)
    rows = RowCache(tmp_path, KEY, (3,)).rows(texts, compute)
    np.testing.assert_array_equal(rows, expected(texts))
    assert sorted(compute.texts) == sorted(set(texts))
    assert len({row.tobytes() for row in rows}) == len(set(texts))


def test_shuffles_folds_and_restarts_compute_nothing(tmp_path, seed):
    cache = filled(tmp_path)
    order = np.random.default_rng(seed).permutation(len(TEXTS))
    for some in (order, order[:13], order[13:]):
        texts = [TEXTS[place] for place in some]
        for each in (cache, RowCache(tmp_path, KEY, (3,))):
            np.testing.assert_array_equal(each.rows(texts, never), expected(texts))
    more = [*TEXTS[::3], "new", "newer"]
    assert sorted(recomputed(tmp_path, more)) == ["new", "newer"]


def test_another_process_computes_nothing(tmp_path):
    filled(tmp_path)
    code = "assert recomputed(Path(folder)) == []"
    done = in_new_process(code, tmp_path)
    assert done.returncode == 0, done.stderr


def test_no_texts_give_no_rows(tmp_path):
    rows = RowCache(tmp_path, KEY, (3, 2)).rows([], never)
    assert rows.shape == (0, 3, 2)
    assert rows.dtype == np.float32


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
@pytest.mark.parametrize("dtype", ["float16", "float64", "int32"])
def test_shape_and_dtype_are_kept(tmp_path, shape, dtype):
    rows = np.arange(5 * np.prod(shape, dtype=int)).reshape(5, *shape).astype(dtype)
    texts = TEXTS[:5]
    cache = RowCache(tmp_path, KEY, shape, dtype=dtype)
    for compute in (lambda missing: [(range(5), rows)], never):
        again = cache.rows(texts, compute)
        assert again.dtype == dtype
        np.testing.assert_array_equal(again, rows)


def test_another_key_shape_or_dtype_has_other_rows(tmp_path):
    filled(tmp_path)
    for cache in (
        RowCache(tmp_path, {**KEY, "layer": [2, 1]}, (3,)),
        RowCache(tmp_path, KEY, (3,), dtype=np.float16),
        RowCache(tmp_path, KEY, (1, 3)),
    ):
        compute = Compute(shape=cache.row_shape)
        cache.rows(TEXTS, compute)
        assert len(compute.texts) == len(TEXTS)
    abouts = [json.loads(path.read_text()) for path in tmp_path.glob("*/key.json")]
    assert [about["key"] for about in abouts].count(KEY) == 3
    turned = dict(reversed(KEY.items()))  # the order of keys is no difference
    np.testing.assert_array_equal(
        RowCache(tmp_path, turned, (3,)).rows(TEXTS, never), expected(TEXTS)
    )


def test_each_batch_is_on_disk_before_the_next(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        RowCache(tmp_path, KEY, (3,)).rows(TEXTS, Compute(8, end=24))
    assert sorted(recomputed(tmp_path)) == sorted(TEXTS[:16])


# Windows has no signal that a process cannot catch; what it leaves is tested above
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_killed_process_resumes(tmp_path):
    code = (
        "class Kill(Compute):\n"
        "    def __call__(self, texts):\n"
        "        for few, rows in super().__call__(texts):\n"
        "            if len(self.texts) > 16:\n"
        "                os.kill(os.getpid(), 9)\n"
        "            yield few, rows\n"
        "RowCache(folder, KEY, (3,)).rows(TEXTS, Kill())"
    )
    assert in_new_process(code, tmp_path).returncode == -9
    assert sorted(recomputed(tmp_path)) == sorted(TEXTS[:24])


def test_a_byte_flipped_anywhere_is_seen(tmp_path):
    texts = TEXTS[:3]
    filled(tmp_path, texts)
    [path] = files_of(tmp_path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        clear_cache(tmp_path)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(_flipped(whole, place))
        with pytest.warns(CacheWarning, match=path.stem):
            texts_computed = recomputed(tmp_path, texts)
        assert 1 <= len(texts_computed) <= 3
        assert recomputed(tmp_path, texts) == []  # it has been mended


def _flipped(whole, place):
    return whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :]


def test_the_other_rows_of_a_damaged_file_are_kept(tmp_path):
    filled(tmp_path, TEXTS[:10], batch_size=10)
    [path] = files_of(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(_flipped(whole, len(whole) - 1))  # of the last row
    with pytest.warns(CacheWarning, match=f"1 rows of {path.name}"):
        assert len(recomputed(tmp_path, TEXTS[:10])) == 1
    assert not path.exists()
    assert recomputed(tmp_path, TEXTS[:10]) == []


def test_a_file_cut_short_is_seen(tmp_path):
    texts = TEXTS[:3]
    cache = filled(tmp_path, texts)
    [path] = files_of(tmp_path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 5):
        path.write_bytes(whole[:length])
        with pytest.warns(CacheWarning, match=path.stem):
            assert sorted(recomputed(tmp_path, texts)) == texts
        for other in files_of(tmp_path):
            other.unlink()
    cache = filled(tmp_path, texts)
    [path] = files_of(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])  # while it is open
    with pytest.warns(CacheWarning, match=path.stem):
        np.testing.assert_array_equal(cache.rows(texts, Compute()), expected(texts))


def test_files_of_others_are_left_alone(tmp_path):
    cache = filled(tmp_path)
    strangers = [tmp_path / "notes.rows", cache.folder / "x.rows", cache.folder / "y"]
    fresh = cache.folder / f"{'a' * 32}.tmp"  # somebody may be writing it
    for path in [*strangers, fresh]:
        path.write_text("mine")
    old = cache.folder / f"{'b' * 32}.tmp"
    old.write_text("left over")
    os.utime(old, (0, 0))
    assert recomputed(tmp_path) == []
    assert fresh.exists()
    assert not old.exists()
    cache.clear()
    clear_cache(tmp_path)
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == sorted(strangers)


def test_clear_forgets_one_key_and_clear_cache_all(tmp_path):
    cache = filled(tmp_path)
    other = RowCache(tmp_path, {"other": 1}, (3,))
    other.rows(TEXTS, Compute())
    cache.clear()
    other.rows(TEXTS, never)
    assert len(recomputed(tmp_path)) == len(TEXTS)
    clear_cache(tmp_path)
    assert list(tmp_path.iterdir()) == []
    compute = Compute()
    other.rows(TEXTS, compute)  # an open cache goes on
    assert len(compute.texts) == len(TEXTS)


def _share(folder, begin, end, seed):
    rng = np.random.default_rng(seed)
    cache = RowCache(folder, KEY, (3,))
    for _ in range(15):
        texts = [f"text {i}" for i in rng.integers(begin, end, 60)]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            rows = cache.rows(texts, Compute(4))
        np.testing.assert_array_equal(rows, expected(texts))


def test_two_processes_share_a_folder(tmp_path):
    context = multiprocessing.get_context("spawn")
    sharers = [
        context.Process(target=_share, args=(tmp_path, 60 * i, 60 * i + 120, i))
        for i in range(2)
    ]
    for process in sharers:
        process.start()
    for process in sharers:
        process.join(120)
    assert [process.exitcode for process in sharers] == [0, 0]
    assert len(recomputed(tmp_path, [f"text {i}" for i in range(180)])) < 5
    assert len(files_of(tmp_path)) < 60


def test_a_folder_that_cannot_be_written_to_is_an_error_up_front(tmp_path):
    (tmp_path / "file").write_text("no folder")
    match = r"'.*file.*' cannot be written to \(.+\)\. Give cache_folder another"
    with pytest.raises(CacheError, match=match) as caught:
        RowCache(tmp_path / "file" / "sub", KEY, (3,))
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize("shape", [(2,), (3, 1)])
def test_rows_of_another_shape_are_an_error_and_not_kept(tmp_path, shape):
    cache = RowCache(tmp_path, KEY, (3,))
    with pytest.raises(InvalidInputError, match=r"shape \(2, 3\) were expected; got"):
        cache.rows(["a", "b"], lambda texts: [([0, 1], np.ones((2, *shape)))])
    assert files_of(tmp_path) == []


def test_rows_that_do_not_come_are_an_error(tmp_path):
    cache = RowCache(tmp_path, KEY, (3,))
    with pytest.raises(InvalidInputError, match="no rows were computed for 1 of 2"):
        cache.rows(["a", "b"], lambda texts: [([1], [[1, 2, 3]])])


@pytest.mark.parametrize("shape, dtype", [((0,), float), ((3,), object)])
def test_rows_of_nothing_or_objects_are_an_error(tmp_path, shape, dtype):
    with pytest.raises(InvalidInputError, match="rows must hold numbers"):
        RowCache(tmp_path, KEY, shape, dtype=dtype)


def test_a_large_result_is_a_map_of_a_file_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(_indexing, "LARGE", 100)
    cache = RowCache(tmp_path, KEY, (3,))
    texts = [*TEXTS, *TEXTS[::-1]]
    for compute in (Compute(), never):
        rows = cache.rows(texts, compute)
        assert isinstance(rows, np.memmap)
        np.testing.assert_array_equal(rows, expected(texts))
    del rows
    left = {path.suffix for path in cache.folder.iterdir()}
    assert left == {".rows", ".json"}
