"""Rows of texts kept on disk: found again, whole, shared, and within a size."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from cached_rows import KEY, TEXTS, Compute, computed, expected

import smilearn
from smilearn.embedding import RowCache, _cache, clear_cache, limit_cache
from smilearn.exceptions import CacheError, CacheWarning, InvalidInputError
from smilearn.utils import _indexing

FILE = "rows.sqlite"
WIDE = (4096,)  # of a row, 16 kB
DAMAGED = pytest.mark.filterwarnings("ignore::smilearn.exceptions.CacheWarning")


def never(texts):
    raise AssertionError(f"computed again: {texts}")


def python(code, *arguments, **options):
    """Another process that runs code, with this folder of tests to import from."""
    paths = [Path(smilearn.__file__).parents[1], Path(__file__).parents[1]]
    command = [sys.executable, "-c", f"import sys; {code}", *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=env, stderr=pipe, text=True, **options)


def statement(folder, query, *values):
    with closing(sqlite3.connect(folder / FILE)) as db, db:
        return db.execute(query, values).fetchall()


def test_rows_in_the_order_of_the_texts_and_equal_texts_once(tmp_path):
    texts = ["b", "a", "b", "", "c", "a", "b\0", "\ud800", "é"]
    assert sorted(computed(tmp_path, texts)) == sorted(set(texts))
    assert len(np.unique(expected(texts), axis=0)) == len(set(texts))
    rows = RowCache(tmp_path, KEY, (3, 2)).rows([], never)
    assert (rows.shape, rows.dtype) == ((0, 3, 2), np.float32)


def test_shuffles_folds_and_restarts_compute_nothing(tmp_path, seed):
    computed(tmp_path)
    order = np.random.default_rng(seed).permutation(len(TEXTS))
    for fold in (order, order[:13], order[13:]):
        assert computed(tmp_path, [TEXTS[place] for place in fold]) == []
    more = [*TEXTS[::3], "new", "newer"]
    assert sorted(computed(tmp_path, more)) == ["new", "newer"]
    many = [f"{text} {i}" for text in TEXTS for i in range(30)]
    assert len(computed(tmp_path, many)) == len(many)
    assert computed(tmp_path, many[::-1] * 2) == []


def test_another_key_shape_or_dtype_has_other_rows(tmp_path):
    computed(tmp_path)
    another, usual = {**KEY, "layer": [2, 1]}, {"key": KEY, "row_shape": (3,)}
    for other in ({"key": another}, {"dtype": "float64"}, {"row_shape": (1, 3)}):
        options = {**usual, **other}
        compute = Compute(shape=options["row_shape"])
        RowCache(tmp_path, **options).rows(TEXTS, compute)
        assert len(compute.texts) == len(TEXTS)
    turned = dict(reversed(KEY.items()))  # the order of keys is no difference
    assert computed(tmp_path, key=turned) == []


def test_clear_forgets_one_key_and_clear_cache_all(tmp_path):
    many = [f"text {i}" for i in range(2000)]
    cache, other = RowCache(tmp_path, KEY, (3,)), RowCache(tmp_path, {"b": 1}, (3,))
    cache.rows(many, Compute(500))
    other.rows(TEXTS, Compute())
    size = (tmp_path / FILE).stat().st_size
    cache.clear()
    other.rows(TEXTS, never)
    assert (tmp_path / FILE).stat().st_size < size / 2
    assert len(computed(tmp_path)) == len(TEXTS)
    (tmp_path / "notes").touch()
    clear_cache(tmp_path)
    assert (tmp_path / "notes").exists()
    compute = Compute()
    other.rows(TEXTS, compute)  # an open cache goes on
    assert len(compute.texts) == len(TEXTS)
    clear_cache(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_what_was_computed_before_an_interrupt_is_kept(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        RowCache(tmp_path, KEY, (3,)).rows(TEXTS, Compute(8, end=24))
    assert sorted(computed(tmp_path)) == sorted(TEXTS[:16])


# Windows has no signal that a process cannot catch
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_killed_process_loses_the_last_second(tmp_path):
    code = """import os, time
from cached_rows import *
def compute(texts):
    yield [0], expected(texts[:1])
    time.sleep(1)
    yield [1], expected(texts[1:2])
    yield [2], expected(texts[2:3])
    os.kill(os.getpid(), 9)
RowCache(sys.argv[1], KEY, (3,)).rows(TEXTS, compute)"""
    killed = python(code.replace("import os", "\nimport os", 1), tmp_path)
    assert killed.communicate()[1] == ""
    assert killed.returncode == -9
    assert sorted(computed(tmp_path)) == sorted(TEXTS[2:])


def test_processes_share_a_folder(tmp_path):
    code = """
import warnings
from cached_rows import *
warnings.simplefilter("error")
rng = np.random.default_rng(int(sys.argv[2]))
cache = RowCache(sys.argv[1], KEY, (3,))
for _ in range(40):
    texts = [f"text {i}" for i in rng.integers(0, 300, 30)]
    np.testing.assert_array_equal(cache.rows(texts, Compute(4)), expected(texts))"""
    sharers = [python(code, tmp_path / "made", number) for number in range(3)]
    for process in sharers:
        assert process.communicate(timeout=120)[1] == ""
    assert len(computed(tmp_path / "made", [f"text {i}" for i in range(300)])) < 30
    assert computed(tmp_path / "made", [f"text {i}" for i in range(300)]) == []


def test_damaged_rows_are_computed_again_and_mended(tmp_path):
    computed(tmp_path)
    [(one,), (other,)] = statement(tmp_path, "SELECT row FROM rows WHERE id IN (3, 9)")
    for query, value in (
        ("UPDATE rows SET row = ? WHERE id = 3", one[:-1] + b"\x55"),
        ("UPDATE rows SET row = ? WHERE id = 7", other),  # whole, of another text
        ("UPDATE rows SET row = ? WHERE id = 11", other[:-4]),
        ("UPDATE rows SET crc = ? WHERE id = 13", "x"),
    ):
        statement(tmp_path, query, value)
    statement(tmp_path, "UPDATE rows SET used = 'never', crc = crc WHERE id = 20")
    with pytest.warns(CacheWarning, match="4 rows of the cache in .* are damaged"):
        assert len(computed(tmp_path)) == 4
    assert computed(tmp_path) == []


@DAMAGED
def test_a_byte_flipped_anywhere_gives_no_wrong_row(tmp_path, seed):
    computed(tmp_path / "whole", TEXTS[:12])
    whole = (tmp_path / "whole" / FILE).read_bytes()
    folder = tmp_path / "damaged"
    drawn, n_read = np.random.default_rng(seed).integers(len(whole), size=60), 0
    places = [*range(0, 108, 3), *drawn]
    for place in places:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        flipped = bytearray(whole)
        flipped[place] ^= 0x10
        (folder / FILE).write_bytes(flipped)
        try:
            n_read += 12 - len(computed(folder, TEXTS[:12]))  # rows are checked there
        except CacheError:  # a version of SQLite to come, or a mode of locks
            assert place < 20
    assert n_read > 6 * len(places)


@pytest.mark.parametrize("end", ["rubbish", "half", "other tables", "a view"])
def test_a_damaged_database_is_put_aside(tmp_path, end):
    many = [f"text {i}" for i in range(3000)]
    computed(tmp_path, many)
    file = tmp_path / FILE
    if end == "rubbish":
        file.write_text("no database at all " * 999)
    elif end == "half":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif end == "other tables":
        statement(tmp_path, "CREATE TABLE another (x)")
    else:
        statement(tmp_path, "ALTER TABLE rows RENAME TO hidden")
        statement(tmp_path, "CREATE VIEW rows AS SELECT * FROM hidden")
    with pytest.warns(CacheWarning, match=r"is damaged .* now rows\.sqlite\.damaged"):
        assert computed(tmp_path, many)
    assert computed(tmp_path, many) == []
    assert len((tmp_path / f"{FILE}.damaged").read_bytes()) > 10_000


def test_the_log_of_a_database_goes_with_it(tmp_path):
    """A new database would take it for its own."""
    computed(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.execute("CREATE TABLE another (x)")  # in the log as long as it is open
        with pytest.warns(CacheWarning, match="other tables than those of a cache"):
            assert len(computed(tmp_path)) == len(TEXTS)
        assert (tmp_path / f"{FILE}.damaged-wal").stat().st_size
        assert computed(tmp_path) == []


def test_a_database_damaged_while_rows_are_computed(tmp_path):
    def compute(texts):
        yield [0], expected(texts[:1])
        (tmp_path / FILE).write_text("no database at all " * 999)
        yield [1], expected(texts[1:])

    cache = RowCache(tmp_path, KEY, (3,))
    with pytest.warns(CacheWarning, match="is damaged"):
        rows = cache.rows(TEXTS[:2], compute)
    np.testing.assert_array_equal(rows, expected(TEXTS[:2]))
    assert computed(tmp_path, TEXTS[:2]) == []


@pytest.mark.parametrize("make", ["mkfifo", "mkdir"])
@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal"])
def test_something_else_in_the_place_of_a_file(tmp_path, make, end):
    if end:
        computed(tmp_path)
    getattr(os, make)(tmp_path / f"{FILE}{end}")
    match = rf"rows\.sqlite{end} is no file\)\. Give cach"
    for use in (computed, clear_cache, lambda folder: limit_cache(folder, 10**6)):
        with pytest.raises(CacheError, match=match):
            use(tmp_path)


def test_other_special_files_in_the_folder_are_left_alone(tmp_path):
    os.mkfifo(tmp_path / "0.rows")
    assert len(computed(tmp_path)) == len(TEXTS)
    assert computed(tmp_path) == []


def test_a_folder_that_cannot_be_written_to_is_an_error_up_front(tmp_path):
    (tmp_path / "file").write_text("no folder")
    match = r"'.*file.*' cannot be used \(.+\)\. Give cache_folder another"
    for folder in (tmp_path / "file", tmp_path / "file" / "sub"):
        with pytest.raises(CacheError, match=match) as caught:
            RowCache(folder, KEY, (3,))
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize("refused", [None, "ro"])
def test_a_folder_that_cannot_be_written_to_is_read(tmp_path, monkeypatch, refused):
    computed(tmp_path)
    whole, opened = (tmp_path / FILE).read_bytes(), _cache._opened

    def refuse(path, mode):  # where no file can be made beside the database
        if mode == refused:
            raise sqlite3.OperationalError("unable to open database file")
        return opened(path, mode)

    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write
    monkeypatch.setattr(_cache, "_opened", refuse)
    assert computed(tmp_path) == []
    with pytest.warns(CacheWarning, match="readonly.* computed but not kept") as caught:
        assert computed(tmp_path, [*TEXTS, "new"]) == ["new"]
    assert len(caught) == 1
    for use in (clear_cache, lambda folder: limit_cache(folder, 10**6)):
        with pytest.raises(CacheError, match="readonly"):
            use(tmp_path)
    assert (tmp_path / FILE).read_bytes() == whole
    (tmp_path / FILE).write_text("no database at all " * 99)
    monkeypatch.setattr(Path, "replace", lambda *paths: tmp_path.rmdir())
    with pytest.raises(CacheError, match="not a database"):
        computed(tmp_path)


def test_a_database_that_another_process_writes_to(tmp_path, monkeypatch):
    computed(tmp_path, TEXTS[:4])
    monkeypatch.setattr(_cache, "_WAIT", 0.01)
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.warns(CacheWarning, match="is locked.* not kept") as caught:
            assert sorted(computed(tmp_path)) == sorted(TEXTS[4:])
    assert len(caught) == 1


def test_a_full_disk_is_warned_of_once_and_loses_nothing(tmp_path, monkeypatch):
    opened = _cache._opened

    def full(path, mode):
        db = opened(path, mode)
        db.execute("PRAGMA max_page_count = 1")
        return db

    texts = [f"text {i}" for i in range(3000)]
    cache, compute = RowCache(tmp_path, KEY, (3,)), Compute(100)
    with monkeypatch.context() as patch:
        patch.setattr(_cache, "_opened", full)
        patch.setattr(_cache, "_SECONDS", 0)
        with pytest.warns(CacheWarning, match=r"disk is full.* not kept") as caught:
            rows = cache.rows(texts, compute)
    assert len(caught) == 1
    np.testing.assert_array_equal(rows, expected(texts))
    again = computed(tmp_path, texts)
    assert 0 < len(again) < 3000  # what fitted was kept
    assert computed(tmp_path, texts) == []


@pytest.mark.parametrize("shape", [(2,), (3, 1)])
def test_rows_of_another_shape_are_an_error_and_not_kept(tmp_path, shape):
    cache = RowCache(tmp_path, KEY, (3,))
    with pytest.raises(InvalidInputError, match=r"shape \(2, 3\) were expected; got"):
        cache.rows(["a", "b"], lambda texts: [([0, 1], np.ones((2, *shape)))])
    assert computed(tmp_path, ["a", "b"]) == ["b", "a"]


@pytest.mark.parametrize("shape, dtype", [((0,), float), ((3,), object)])
def test_rows_of_nothing_or_objects_are_an_error(tmp_path, shape, dtype):
    with pytest.raises(InvalidInputError, match="rows must hold numbers"):
        RowCache(tmp_path, KEY, shape, dtype=dtype)


def test_a_large_result_is_a_map_of_a_file_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(_indexing, "LARGE", 100)
    texts = [*TEXTS, *TEXTS[::-1]]
    for compute in (Compute(), never):
        rows = RowCache(tmp_path, KEY, (3,)).rows(texts, compute)
        assert isinstance(rows, np.memmap)
        np.testing.assert_array_equal(rows, expected(texts))
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def wide(folder, *texts, **options):
    return computed(folder, texts, shape=WIDE, **options)


def test_a_limit_holds_for_all_who_keep_rows_there(tmp_path):
    texts, limit = [str(i) for i in range(20)], 12 * 4 * 4096
    for text in texts:
        wide(tmp_path, text)
    limit_cache(tmp_path, limit)
    assert 0.5 * limit < (tmp_path / FILE).stat().st_size <= limit  # at once
    for text in ("new", "newer", "newest"):
        wide(tmp_path, text, key={"another": text})
        assert (tmp_path / FILE).stat().st_size <= limit
        assert wide(tmp_path, text, key={"another": text}) == []
    limit_cache(tmp_path, None)
    wide(tmp_path, *texts)
    assert (tmp_path / FILE).stat().st_size > limit


def test_rows_used_longest_ago_go_first_whatever_their_key(tmp_path):
    limit = 12 * 4 * 4096
    limit_cache(tmp_path, limit)
    names = [f"old {i}" for i in range(8)]
    for name in names:
        wide(tmp_path, name, key={"for": name})
    assert wide(tmp_path, names[0], key={"for": names[0]}) == []  # so it is used again
    wide(tmp_path, *(f"new {i}" for i in range(4)))
    left = [name for name in names if not wide(tmp_path, name, key={"for": name})]
    assert names[0] in left
    assert names[1] not in left


def test_rows_of_the_call_are_not_deleted_for_others_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(_cache, "_SECONDS", 0)
    wide(tmp_path, "old", "older")
    texts = [f"text {i}" for i in range(60)]
    match = r"max_bytes=500000 is less than this call needs.* not kept"
    with pytest.warns(CacheWarning, match=match) as caught:
        wide(tmp_path, "old", *texts, max_bytes=500_000)
    assert len(caught) == 1
    again = wide(tmp_path, "old", *texts)
    assert "old" not in again
    assert 20 < len(again) < 60


@pytest.mark.parametrize("max_bytes", [0, -1, 2.5, "1 GB"])
def test_a_limit_that_is_none_is_refused(tmp_path, max_bytes):
    with pytest.raises(InvalidInputError, match="max_bytes must be a whole number"):
        limit_cache(tmp_path, max_bytes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["many", "12", -5, 2.5, b"\x00\xff", 0])
def test_a_limit_on_disk_that_is_none_is_refused(tmp_path, value):
    limit_cache(tmp_path, 10**6)
    statement(tmp_path, "UPDATE settings SET value = ?", value)
    with pytest.raises(CacheError, match=r"no number of bytes\. Set it again with lim"):
        RowCache(tmp_path, KEY, (3,))
    limit_cache(tmp_path, 10**6)
    assert len(computed(tmp_path)) == len(TEXTS)


def test_parts_of_a_row_are_found_by_their_own_keys(tmp_path):
    a, b, c = ({"part": name} for name in "abc")
    rows = expected(TEXTS, (2, 3))

    def compute(texts):
        yield range(len(texts)), expected(texts, (2, 3))

    cache = RowCache(tmp_path, [a, b], (2, 3))
    np.testing.assert_array_equal(cache.rows(TEXTS[:30], compute), rows[:30])
    np.testing.assert_array_equal(cache.rows(TEXTS[::-1], compute), rows[::-1])
    turned = RowCache(tmp_path, [b, a], (2, 3)).rows(TEXTS, never)
    np.testing.assert_array_equal(turned, rows[:, ::-1])
    np.testing.assert_array_equal(
        RowCache(tmp_path, b, (3,)).rows(TEXTS, never), rows[:, 1]
    )
    asked = Compute(shape=(2, 3))  # one part is there, the other is not
    RowCache(tmp_path, [a, c], (2, 3)).rows(TEXTS, asked)
    assert sorted(asked.texts) == sorted(TEXTS)
    cache.clear()
    RowCache(tmp_path, c, (3,)).rows(TEXTS, never)
    assert statement(tmp_path, "SELECT count(*) FROM rows") == [(len(TEXTS),)]
    with pytest.raises(InvalidInputError, match=r"2 keys .* shape \(3,\)"):
        RowCache(tmp_path, [a, b], (3,))
