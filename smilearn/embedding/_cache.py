"""Rows made from texts, kept in an SQLite database under what they depend on.

``cache_folder`` of the embedders is the folder of such a database; :class:`RowCache`
serves any other way to make rows of texts.
"""

import contextlib
import hashlib
import json
import os
import sqlite3
import stat
import time
from numbers import Integral
from pathlib import Path
from zlib import crc32

import numpy as np

from smilearn.exceptions import CacheError, CacheWarning, InvalidInputError
from smilearn.utils._indexing import large_array
from smilearn.utils._warnings import warn

_FILE = "rows.sqlite"
_SCHEMA = (
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value)",
    "CREATE TABLE rows (id INTEGER PRIMARY KEY, key BLOB UNIQUE, row BLOB, crc, used)",
    "CREATE INDEX by_use ON rows (used)",
)
_FORMAT = 2  # of a key and a row
_WAIT = 60  # seconds for other processes that write
_SECONDS = 1.0  # between two times that computed rows are written
_AT_ONCE = 500  # rows asked for in one statement
_HOUR = 3600 * 10**9  # ns; `used` is exact where there is a limit, else to the hour


class RowCache:
    """Rows that depend on a text and on a key, computed once.

    Several processes of one machine may share a folder, and a process that is killed
    loses the rows of its last second. A row that is damaged is found by its checksum
    and computed again. A folder that cannot be written to is read.

    Parameters
    ----------
    folder : str or path-like
        Folder of the cache, made where it is not there; not one that several machines
        write to over a network.

    key : dict or list of dict
        All that a row depends on but its text; as JSON would have it. Of a list each
        is the key of a part of a row, along its first axis: parts are kept apart, and
        found by whoever asks for some of them.

    row_shape : tuple of int
        Shape of a row.

    dtype : dtype, default="float32"
        Of the rows.

    max_bytes : int, default=None
        Size of the whole cache, of all keys, above which rows that have not been used
        for longest are deleted. Rows of the present call are never deleted for others
        of it: those that do not fit are not kept. None takes the limit of the folder
        (:func:`limit_cache`), if any.

    Raises
    ------
    InvalidInputError
        If rows would hold nothing, or objects.

    CacheError
        If the folder holds no rows and cannot be written to, or something else than a
        database is in its place.

    Examples
    --------
    >>> import tempfile
    >>> from smilearn.embedding import RowCache
    >>> def lengths(texts):
    ...     for index, text in enumerate(texts):
    ...         yield [index], [[len(text)]]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = RowCache(folder, {"of": "lengths"}, (1,))
    ...     cache.rows(["film", "a", "film"], lengths).ravel().tolist()
    [4.0, 1.0, 4.0]
    """

    def __init__(self, folder, key, row_shape, *, dtype="float32", max_bytes=None):
        self.folder, self.max_bytes = Path(folder), max_bytes
        self.row_shape = tuple(int(length) for length in row_shape)
        self.dtype = np.dtype(dtype)
        keys, self._part_shape = [key], self.row_shape
        if isinstance(key, list):
            keys, self._part_shape = key, self.row_shape[1:]
            if self.row_shape[:1] != (len(key),):
                raise InvalidInputError(
                    f"{len(key)} keys of parts ask for as many parts of a row; got "
                    f"shape {self.row_shape}."
                )
        n_numbers = int(np.prod(self._part_shape, dtype=int))
        self._part_bytes = n_numbers * self.dtype.itemsize
        if self.dtype.hasobject or self._part_bytes < 1:
            raise InvalidInputError(
                f"rows must hold numbers; got shape {self.row_shape}, {self.dtype}."
            )
        about = [[_FORMAT, each, self._part_shape, self.dtype.str] for each in keys]
        texts = [json.dumps(each, sort_keys=True) for each in about]
        self._prefixes = [digest(text) for text in texts]
        with _database(self.folder) as db:  # an error here comes before any work
            self._limit(db)

    def rows(self, texts, compute):
        """Give the row of each text, from the cache or computed.

        Parameters
        ----------
        texts : list of str
            Texts; equal ones have one row.

        compute : callable
            From a list of texts, those not in the cache, to an iterator of pairs:
            indices into that list, and their rows. They are written about once a
            second.

        Returns
        -------
        rows : ndarray of shape (n_texts,) + row_shape
            In the order of the texts. From 256 MB on a memory map of a file that is
            deleted with it.

        Raises
        ------
        InvalidInputError
            If `compute` gives rows of another shape, or not all.

        Warns
        -----
        CacheWarning
            If rows or the database are damaged, or rows cannot be kept.
        """
        keys, first = [digest(text) for text in texts], {}
        for place, key in enumerate(keys):
            first.setdefault(key, place)
        out = large_array((len(texts), *self.row_shape), self.dtype, self.folder)
        parts = out.reshape(len(texts), len(self._prefixes), *self._part_shape)
        start, missing = time.time_ns(), {}
        for part, prefix in enumerate(self._prefixes):
            missing |= self._find(prefix, first, parts[:, part], start)
        if missing:
            self._compute(missing, texts, compute, parts, start)
        for place, key in enumerate(keys):
            if first[key] != place:
                out[place] = out[first[key]]
        return out

    def clear(self):
        """Delete the rows of this key."""
        for prefix in self._prefixes:
            _delete(self.folder, prefix, prefix + b"\xff" * 17)

    def _find(self, prefix, places, out, start):
        """Copy the rows that are in the database; keys and places of those missing."""
        missing, keys, n_damaged, unused = dict(places), list(places), 0, []
        try:
            with _database(self.folder) as db:
                oldest = start if self._limit(db) else start - _HOUR
                for begin in range(0, len(keys), _AT_ONCE):
                    chunk = keys[begin : begin + _AT_ONCE]
                    marks = ", ".join("?" * len(chunk))
                    query = "SELECT key, row, crc, used >= ? FROM rows WHERE key IN"
                    whole_keys = [prefix + key for key in chunk]
                    answers = db.execute(f"{query} ({marks})", (oldest, *whole_keys))
                    for key, row, crc, is_recent in answers:
                        whole = isinstance(row, bytes) and len(row) == self._part_bytes
                        if not whole or crc32(row, crc32(key)) != crc:
                            n_damaged += 1
                            continue
                        place = missing.pop(key[len(prefix) :])
                        numbers = np.frombuffer(row, self.dtype)
                        out[place] = numbers.reshape(self._part_shape)
                        if not is_recent:
                            unused.append((start, key))
                with contextlib.suppress(sqlite3.OperationalError), db:
                    if unused:
                        db.execute("BEGIN IMMEDIATE")
                    query = "UPDATE rows SET used = ? WHERE key = ?"
                    db.executemany(query, unused)
        except CacheError as error:
            _warn(f"{error} Its rows are computed.")
        if n_damaged:
            _warn(
                f"{n_damaged} rows of the cache in {str(self.folder)!r} are damaged; "
                "they are computed again."
            )
        return missing

    def _compute(self, missing, texts, compute, out, start):
        keys, places = list(missing), np.array(list(missing.values()))
        computed, written = np.zeros((2, len(keys)), bool)
        keeps, last = True, time.monotonic()

        def write():
            new = np.flatnonzero(computed & ~written)
            written[new] = True
            new_keys = [keys[index] for index in new]
            return not new_keys or self._keep(new_keys, out[places[new]], start)

        try:
            for indices, rows in compute([texts[place] for place in places]):
                indices, rows = np.asarray(indices, int), np.asarray(rows, self.dtype)
                shape = (len(indices), *self.row_shape)
                if rows.shape != shape:
                    raise InvalidInputError(
                        f"rows of shape {shape} were expected; got {rows.shape}."
                    )
                out[places[indices]] = rows.reshape(len(rows), *out.shape[1:])
                computed[indices] = True
                if keeps and time.monotonic() - last >= _SECONDS:
                    keeps, last = write(), time.monotonic()
        finally:
            if keeps:
                write()
        if not computed.all():
            raise InvalidInputError(
                f"no rows were computed for {(~computed).sum()} of {len(keys)} texts."
            )

    def _keep(self, keys, rows, start):
        """Write rows; whether the cache takes more of them in this call."""
        keys = [prefix + key for key in keys for prefix in self._prefixes]
        raw = [part.tobytes() for row in rows for part in row]
        pairs = zip(keys, raw, strict=True)
        values = [(key, row, crc32(row, crc32(key)), start) for key, row in pairs]
        query = "REPLACE INTO rows (key, row, crc, used) VALUES (?, ?, ?, ?)"
        try:
            with _database(self.folder) as db:
                limit = self._limit(db)
                with db:
                    db.execute("BEGIN IMMEDIATE")
                    db.executemany(query, values)
                    if limit and not _make_room(db, limit, start):
                        raise CacheError(
                            f"max_bytes={limit} is less than this call needs."
                        )
                if limit:
                    db.executescript("PRAGMA incremental_vacuum")
        except CacheError as error:
            _warn(f"{error} The rest of this call is computed but not kept.")
            return False
        return True

    def _limit(self, db):
        query = "SELECT value FROM settings WHERE name = 'max_bytes'"
        [limit] = db.execute(query).fetchone() or [None]
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise CacheError(
                f"The limit in the cache folder {str(self.folder)!r} is {limit!r}, no "
                "number of bytes. Set it again with limit_cache."
            )
        return self.max_bytes or limit


def limit_cache(folder, max_bytes):
    """Limit the size of a cache from now on; rows used longest ago go first.

    The limit lies in the folder, so it holds for all embedders and processes that keep
    rows there.

    Parameters
    ----------
    folder : str or path-like
        Folder of the cache, which is made where it is not there.

    max_bytes : int or None
        Size of all rows together; None lifts the limit.

    Raises
    ------
    InvalidInputError
        If `max_bytes` is no whole number above 0.

    CacheError
        If the folder cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> from smilearn.embedding import limit_cache
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     limit_cache(folder, 10 * 2**30)
    """
    if max_bytes is not None and (not isinstance(max_bytes, Integral) or max_bytes < 1):
        raise InvalidInputError(
            f"max_bytes must be a whole number above 0, or None; got {max_bytes!r}."
        )
    with _database(folder) as db:
        setting = (max_bytes and min(int(max_bytes), 2**62),)
        with db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("REPLACE INTO settings VALUES ('max_bytes', ?)", setting)
            if max_bytes is not None:
                _make_room(db, max_bytes, time.time_ns())
        db.executescript("PRAGMA incremental_vacuum")


def clear_cache(folder):
    """Delete all rows of a cache, of every key; its limit and other files stay.

    Parameters
    ----------
    folder : str or path-like
        Folder of the cache.

    Raises
    ------
    CacheError
        If the rows cannot be deleted.

    Examples
    --------
    >>> import tempfile
    >>> from smilearn.embedding import clear_cache
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clear_cache(folder)
    """
    _delete(folder, b"", b"\xff" * 33)


def digest(text):
    """16 bytes of a text; lone surrogates are texts too."""
    whole = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(whole, digest_size=16).digest()


@contextlib.contextmanager
def _database(folder):
    """A connection for one use, so that none crosses a fork; damage is warned of."""
    path = Path(folder, _FILE).absolute()
    try:
        db = _connected(path)
    except (OSError, sqlite3.Error) as error:
        _set_aside(path, error)
        db = _connected(path)
    with contextlib.closing(db):
        try:
            yield db
        except sqlite3.Error as error:
            db.close()
            _set_aside(path, error)


def _set_aside(path, error):
    """Rename a damaged database and warn; CacheError where it is not damaged."""
    inside = not isinstance(error, (OSError, sqlite3.OperationalError))
    code = getattr(error, "sqlite_errorcode", None)
    damaged = inside or code == sqlite3.SQLITE_ERROR
    try:
        for end in ("", "-wal", "-shm") if damaged else ():
            if Path(f"{path}{end}").exists():  # a new database must not find old logs
                Path(f"{path}{end}").replace(f"{path}.damaged{end}")
    except OSError:  # and nor can a new one be made
        damaged = False
    if not damaged:
        raise CacheError(
            f"The cache folder {str(path.parent)!r} cannot be used ({error}). Give "
            "cache_folder another one, or none."
        ) from error
    _warn(
        f"The cache {str(path)!r} is damaged ({error}). It is now {_FILE}.damaged, and "
        "what it holds is computed again."
    )


def _connected(path):
    """Open a database, and make it where there is none; read-only where it must be."""
    for end in ("", "-wal", "-shm", "-journal"):  # a FIFO would be waited for
        with contextlib.suppress(FileNotFoundError):  # asked once: others come and go
            if not stat.S_ISREG(Path(f"{path}{end}").stat().st_mode):
                raise OSError(f"{_FILE}{end} is no file")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or all(os.access(p, os.W_OK) for p in (path, path.parent)):
        return _opened(path, "rwc")
    with contextlib.suppress(sqlite3.OperationalError):
        return _opened(path, "ro")
    return _opened(path, "ro&immutable=1")  # no files can be made to lock it


def _opened(path, mode):
    uri = f"{path.as_uri()}?mode={mode}"
    with contextlib.ExitStack() as stack:
        db = sqlite3.connect(uri, _WAIT, isolation_level=None, uri=True)
        stack.callback(db.close)
        db.text_factory = bytes
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA synchronous = NORMAL")
        if mode == "rwc" and not _tables(db):
            db.execute("PRAGMA page_size = 8192")
            with contextlib.suppress(sqlite3.OperationalError):  # another does it now
                db.execute("PRAGMA auto_vacuum = INCREMENTAL")
                db.execute("PRAGMA journal_mode = WAL")
            with db:
                db.execute("BEGIN IMMEDIATE")
                for statement in _SCHEMA if not _tables(db) else ():
                    db.execute(statement)
        if _tables(db) != {statement.encode() for statement in _SCHEMA}:
            raise sqlite3.DatabaseError("it holds other tables than those of a cache")
        stack.pop_all()
    return db


def _tables(db):
    query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"
    return {sql for (sql,) in db.execute(query)}


def _delete(folder, low, high):
    if Path(folder, _FILE).exists():
        with _database(folder) as db:
            db.execute("DELETE FROM rows WHERE key BETWEEN ? AND ?", (low, high))
            db.executescript("PRAGMA incremental_vacuum")


def _make_room(db, max_bytes, before):
    """Delete rows used longest ago, none used since `before`; whether the rest fits."""
    query = "SELECT id, length(row) FROM rows WHERE used < ? ORDER BY used, id"
    while True:
        names = ("page_count", "freelist_count", "page_size")
        n, free, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
        excess, old = (n - free) * size - max_bytes, []
        if excess <= 0:
            return True
        for row_id, n_bytes in db.execute(query, (before,)):
            old.append((row_id,))
            excess -= n_bytes
            if excess <= 0:
                break
        if not old:
            return False
        db.executemany("DELETE FROM rows WHERE id = ?", old)


def _warn(message):
    warn(message, CacheWarning)
