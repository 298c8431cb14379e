"""Rows on disk under digests: found, added, merged and evicted."""

import contextlib
import errno
import os
import warnings

import numpy as np

from smilearn.embedding._segment_upkeep import (
    MOST_BYTES,
    evict,
    limit_of,
    many_of_a_size,
    merge,
    only_one,
    remove_left_over,
)
from smilearn.embedding._segments import (
    common_digests,
    open_segment,
    remove,
    segment_bytes,
    segment_paths,
    temporary_paths,
    write_segment,
)
from smilearn.exceptions import CacheWarning

_TRIES = 3  # to read what others merge or evict meanwhile


class RowStore:
    """The files of rows in one folder of a cache."""

    def __init__(self, folder, row_bytes, max_bytes):
        self.folder = folder
        self.row_bytes = row_bytes
        self._given, self._segments = max_bytes, {}
        self.begin()

    def begin(self):
        """Begin a call: no file is in use yet, and rows are kept again."""
        self._used, self._keeps = set(), True
        self.max_bytes = self._given or limit_of(self.folder.parent)

    def find(self, digests, out, places):
        """Copy rows that are on disk to where they are asked for."""
        found = np.zeros(len(digests), bool)
        for _ in range(_TRIES):
            self._refresh()
            taken = [
                self._take(segment, digests, out, places, found)
                for segment in list(self._segments.values())
            ]
            if all(taken):
                break
        return found

    def _refresh(self):
        """Learn of files that others have written, merged or deleted."""
        paths = segment_paths(self.folder)
        names = {path.name for path in paths}
        self._segments = {n: s for n, s in self._segments.items() if n in names}
        for path in paths:
            if path.name not in self._segments:
                self._open(path)
        remove_left_over(self.folder)

    def _open(self, path):
        try:
            segment = open_segment(path, self.row_bytes)
        except OSError as error:
            _warn_unread(path, error)
            return
        if segment is None:
            remove(path)
            _warn(f"{path} is damaged and deleted; what it held is computed anew.")
        else:
            self._segments[path.name] = segment

    def _take(self, segment, digests, out, places, found):
        """Copy the rows of one file; False if it is gone, perhaps into another."""
        its, asked = common_digests(segment.digests, digests)
        fresh = ~found[asked]
        its, asked = its[fresh], asked[fresh]
        if not len(its):
            return True
        name = segment.path.name
        try:
            good = segment.read(its, out, places[asked])
        except OSError as error:
            del self._segments[name]
            _warn_unread(segment.path, error)
            return False
        found[asked[good]] = True
        self._used.add(name)
        if good.all():
            with contextlib.suppress(OSError):  # deleted by now
                os.utime(segment.path)  # what was used longest ago goes first
        else:
            self._merge([segment])
        return True

    def keep(self, digests, rows):
        """Put rows on disk; where that cannot be done, warn once a call and go on."""
        step = max(1, MOST_BYTES // self.row_bytes)
        for begin in range(0, len(digests), step):
            few = slice(begin, begin + step)
            if not (self._keeps and self._make_room(len(digests[few]))):
                return
            try:
                segment = write_segment(self.folder, digests[few], rows[few])
            except OSError as error:
                self._keeps = False
                _warn_full(self.folder.parent, error)
                return
            self._segments[segment.path.name] = segment
            self._used.add(segment.path.name)
            self._merge_small()

    def _make_room(self, n_rows):
        n_bytes = segment_bytes(n_rows, self.row_bytes)
        if self.max_bytes is None:
            return True
        self._keeps = evict(self.folder.parent, n_bytes, self.max_bytes, self._used)
        if not self._keeps:
            _warn(
                f"The rows of this call do not fit into max_bytes={self.max_bytes}; "
                "the rest of them is computed but not kept. Give a larger max_bytes."
            )
        return self._keeps

    def _merge_small(self):
        chosen = many_of_a_size(self._segments.values())
        if chosen:
            with only_one(self.folder) as alone:
                if alone:
                    self._merge(chosen)

    def _merge(self, segments):
        """Put one file in the place of some; damaged rows are left out."""
        try:
            merged, n_damaged = merge(self.folder, segments)
        except OSError:  # no space for both; or another has deleted one
            return
        names = {segment.path.name for segment in segments}
        if merged is not None:
            self._segments[merged.path.name] = merged
            if names & self._used:
                self._used.add(merged.path.name)
        for segment in segments:
            remove(segment.path)
            self._segments.pop(segment.path.name, None)
        if n_damaged:
            _warn(
                f"{n_damaged} rows of {', '.join(sorted(names))} in {self.folder} are "
                "damaged; they are computed anew when asked for."
            )

    def clear(self):
        """Delete all files of rows."""
        for path in segment_paths(self.folder) + temporary_paths(self.folder):
            remove(path)
        self._segments = {}


def _warn(message):
    warnings.warn(message, CacheWarning, stacklevel=2)


def _warn_unread(path, error):
    """Say that a file cannot be read, unless another process has deleted it."""
    if not isinstance(error, FileNotFoundError):
        _warn(
            f"{path} cannot be read ({error.strerror or error}); what it holds is "
            "computed anew."
        )


def _warn_full(root, error):
    full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None))
    reason = "the disk is full" if full else error.strerror or error
    _warn(
        f"The cache in {str(root)!r} takes no more rows ({reason}); the rest of this "
        "call is computed but not kept. Free space, clear the cache, or give another "
        "folder."
    )
