"""The door to the cache: limits that lie in the folder, and clearing it."""

import os

import numpy as np
import pytest

from smilearn import SentenceEmbedder
from smilearn.embedding import RowCache, clear_cache, limit_cache
from smilearn.exceptions import CacheError, CacheWarning, InvalidInputError

LONG = 4096  # numbers in a row: files are then about as large as their rows


def ones(texts):
    for index in range(len(texts)):
        yield [index], np.ones((1, LONG))


def never(texts):
    raise AssertionError(f"computed again: {texts}")
    yield


def bytes_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*.rows"))


def rows(folder, texts, compute=ones, **options):
    return RowCache(folder, {"of": "ones"}, (LONG,), **options).rows(texts, compute)


def test_a_limit_holds_for_all_who_keep_rows_there(tmp_path):
    texts = [str(i) for i in range(10)]
    for text in texts:
        rows(tmp_path, [text])
    assert bytes_of(tmp_path) > 9 * 4 * LONG
    limit_cache(tmp_path, 5 * 4 * LONG)
    assert 0 < bytes_of(tmp_path) <= 5 * 4 * LONG  # at once
    for text in ("new", "newer", "newest"):
        rows(tmp_path, [text])
        assert bytes_of(tmp_path) <= 5 * 4 * LONG
    rows(tmp_path, ["newest"], never)
    limit_cache(tmp_path, None)
    for text in texts:
        rows(tmp_path, [text])
    assert bytes_of(tmp_path) > 9 * 4 * LONG


def test_a_limit_of_ones_own_goes_before_that_of_the_folder(tmp_path):
    limit_cache(tmp_path, 1)
    rows(tmp_path, ["a"], max_bytes=10**6)
    rows(tmp_path, ["a"], never)
    with pytest.warns(CacheWarning, match="max_bytes=1"):
        rows(tmp_path, ["b"])


@pytest.mark.parametrize("max_bytes", [0, -1, 2.5, "1 GB"])
def test_a_limit_that_is_none_is_refused(tmp_path, max_bytes):
    with pytest.raises(InvalidInputError, match="max_bytes must be a whole number"):
        limit_cache(tmp_path, max_bytes)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="cannot be written to"):
        limit_cache(tmp_path / "file", 10)


def test_a_limit_that_cannot_be_read_is_none(tmp_path):
    limit_cache(tmp_path, 1)
    (tmp_path / "limit.json").write_text("half a li")
    rows(tmp_path, ["a"])
    rows(tmp_path, ["a"], never)


def test_embedders_of_a_cleared_folder_begin_anew(tmp_path, tiny_encoder):
    embedder = SentenceEmbedder(tiny_encoder, cache_folder=tmp_path).fit([])
    first = embedder.transform(["a good film"])
    assert bytes_of(tmp_path)
    clear_cache(tmp_path)
    assert not bytes_of(tmp_path)
    np.testing.assert_array_equal(embedder.transform(["a good film"]), first)


def test_what_a_kill_has_left_in_the_folder_is_cleared_away(tmp_path):
    old, new = tmp_path / f"{'a' * 32}.tmp", tmp_path / f"{'b' * 32}.tmp"
    for path in (old, new):
        path.write_text("half a limit")
    os.utime(old, (0, 0))
    limit_cache(tmp_path, 10)
    assert not old.exists()
    assert new.exists()  # another process may be at it
