"""Rows made from texts, kept on disk under what the texts are.

``cache_folder`` of the embedders is such a folder; :class:`RowCache` serves any other
way to make rows of texts.
"""

import hashlib
import json
from numbers import Integral
from pathlib import Path

import numpy as np

from smilearn.embedding._row_store import RowStore
from smilearn.embedding._segment_upkeep import LIMIT, empty, evict, remove_left_over
from smilearn.embedding._segments import text_digests, write_whole
from smilearn.exceptions import CacheError, InvalidInputError
from smilearn.utils._indexing import large_array

__all__ = ["RowCache", "clear_cache", "limit_cache"]

_FORMAT = 1
_COPIED_AT_ONCE = 4096  # rows


class RowCache:
    """Rows that depend on a text and on a key, computed once.

    Several processes may share a folder: each writes files of its own, and looks for
    those of the others at each call. A file that is damaged is found by its checksums,
    and what it held is computed anew.

    Parameters
    ----------
    folder : str or path-like
        Folder of the cache; made where it is not there.

    key : dict
        All that a row depends on but its text; as JSON would have it.

    row_shape : tuple of int
        Shape of a row.

    dtype : dtype, default="float32"
        Of the rows.

    max_bytes : int, default=None
        Size of the whole folder, of all keys, above which files that have not been used
        for longest are deleted. Rows of the present call are never deleted for others
        of it: those that do not fit are not kept. A merge takes up to 64 MB more for a
        moment. None takes the limit of the folder (:func:`limit_cache`), if any.

    Raises
    ------
    CacheError
        If the folder cannot be written to.

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
        self.root = Path(folder)
        self.row_shape = tuple(int(length) for length in row_shape)
        self.dtype = np.dtype(dtype)
        row_bytes = int(np.prod(self.row_shape, dtype=int)) * self.dtype.itemsize
        if self.dtype.hasobject or row_bytes < 1:
            raise InvalidInputError(
                f"rows must hold numbers; got shape {self.row_shape}, {self.dtype}."
            )
        self._about = {
            "format": _FORMAT,
            "dtype": self.dtype.str,
            "row_shape": list(self.row_shape),
            "key": key,
        }
        canonical = json.dumps(self._about, sort_keys=True).encode()
        digest = hashlib.blake2b(canonical, digest_size=16).hexdigest()
        self.folder = self.root / digest
        self._store = RowStore(self.folder, row_bytes, max_bytes)
        self._prepare()

    def rows(self, texts, compute):
        """Give the row of each text, from disk or computed.

        Parameters
        ----------
        texts : list of str
            Texts; equal ones have one row.

        compute : callable
            From a list of texts, those not in the cache, to an iterator of pairs:
            indices into that list, and their rows. What has come is on disk before the
            next is asked for.

        Returns
        -------
        rows : ndarray of shape (n_texts, *row_shape)
            In the order of the texts. From 256 MB on a memory map of a file that is
            deleted with it.

        Raises
        ------
        InvalidInputError
            If `compute` gives rows of another shape, or not all.

        Warns
        -----
        CacheWarning
            If a file is damaged, or rows cannot be kept.
        """
        self._store.begin()
        digests = text_digests(texts)
        unique, first, place = np.unique(
            digests, return_index=True, return_inverse=True
        )
        out = large_array((len(texts), *self.row_shape), self.dtype, self.folder)
        found = self._store.find(unique, out, first)
        missing = np.sort(first[~found])
        if len(missing):
            self._compute(texts, digests, missing, compute, out)
        copies = np.flatnonzero(first[place] != np.arange(len(texts)))
        for begin in range(0, len(copies), _COPIED_AT_ONCE):
            few = copies[begin : begin + _COPIED_AT_ONCE]
            out[few] = out[first[place[few]]]
        return out

    def clear(self):
        """Delete the rows of this key."""
        self._store.clear()

    def _prepare(self):
        """Make the folder, state the key in it, and see that it can be written to."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(self._about, indent=1, sort_keys=True) + "\n"
            write_whole(self.folder / "key.json", [text.encode()])
        except OSError as error:
            raise CacheError(
                f"The cache folder {str(self.root)!r} cannot be written to "
                f"({error.strerror or error}). Give cache_folder another one, or none."
            ) from error

    def _compute(self, texts, digests, missing, compute, out):
        done = np.zeros(len(missing), bool)
        for indices, rows in compute([texts[place] for place in missing]):
            rows = np.asarray(rows, self.dtype)
            indices = np.asarray(indices, int)
            if rows.shape != (len(indices), *self.row_shape):
                raise InvalidInputError(
                    f"rows of shape {(len(indices), *self.row_shape)} were expected; "
                    f"got {rows.shape}."
                )
            out[missing[indices]] = rows
            done[indices] = True
            self._store.keep(digests[missing[indices]], rows)
        if not done.all():
            raise InvalidInputError(
                f"no rows were computed for {(~done).sum()} of {len(done)} texts."
            )


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
    root = Path(folder)
    if max_bytes is not None and (not isinstance(max_bytes, Integral) or max_bytes < 1):
        raise InvalidInputError(
            f"max_bytes must be a whole number above 0, or None; got {max_bytes!r}."
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        remove_left_over(root)
        text = json.dumps({"max_bytes": max_bytes and int(max_bytes)})
        write_whole(root / LIMIT, [text.encode()])
    except OSError as error:
        raise CacheError(
            f"The cache folder {str(root)!r} cannot be written to "
            f"({error.strerror or error})."
        ) from error
    if max_bytes is not None:
        evict(root, 0, max_bytes, ())


def clear_cache(folder):
    """Delete all rows of a cache, of every key; other files in the folder stay.

    Parameters
    ----------
    folder : str or path-like
        Folder of the cache.

    Examples
    --------
    >>> import tempfile
    >>> from smilearn.embedding import clear_cache
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clear_cache(folder)
    """
    empty(Path(folder))
