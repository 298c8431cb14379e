"""Files of rows kept few and small: merged, evicted, cleared away."""

import contextlib
import json
import os
import re
import time

import numpy as np

from smilearn.embedding._segments import (
    remove,
    segment_paths,
    temporary_paths,
    write_segment,
)

MOST_BYTES = 2**26  # of a file of rows
MANY = 16  # files of like size, which are then merged
STALE = 3600.0  # seconds after which what is half-written, or locked, is left over
SUB_FOLDER = re.compile(r"[0-9a-f]{32}")  # one for each key
_LOCK = "merge.lock"
LIMIT = "limit.json"


def merge(folder, segments):
    """Write the undamaged rows of several files into one; equal digests once."""
    used = max(segment.path.stat().st_mtime_ns for segment in segments)
    digests = np.concatenate([segment.digests for segment in segments])
    rows = np.empty((len(digests), segments[0].row_bytes), np.uint8)
    good, begin = [], 0
    for segment in segments:
        indices = np.arange(len(segment.digests))
        good.append(segment.read(indices, rows, begin + indices))
        begin += len(indices)
    kept = np.flatnonzero(np.concatenate(good))
    kept = kept[np.unique(digests[kept], return_index=True)[1]]
    n_damaged = sum(int((~each).sum()) for each in good)
    if not len(kept):
        return None, n_damaged
    merged = write_segment(folder, digests[kept], rows[kept])
    os.utime(merged.path, ns=(used, used))
    return merged, n_damaged


def many_of_a_size(segments):
    """Choose files to merge, so that there are few of each size."""
    sizes = {}
    for segment in segments:
        if segment.n_bytes <= MOST_BYTES // 2:
            sizes.setdefault(segment.n_bytes.bit_length() // 3, []).append(segment)
    for size in sorted(sizes):
        if len(sizes[size]) >= MANY:
            total = np.cumsum([segment.n_bytes for segment in sizes[size]])
            return sizes[size][: np.searchsorted(total, MOST_BYTES, side="right")]
    return []


@contextlib.contextmanager
def only_one(folder):
    """Tell whether this process alone may merge the files of a folder for now."""
    lock = folder / _LOCK
    if seconds_old(lock) > STALE:
        remove(lock)
    try:
        lock.open("x").close()
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        remove(lock)


def evict(root, n_bytes, max_bytes, spared):
    """Delete the files of a cache used longest ago, of any key, until some bytes fit"""
    files = []
    for path in (path for sub in _sub_folders(root) for path in segment_paths(sub)):
        with contextlib.suppress(OSError):  # deleted by another
            stat = path.stat()
            files.append((stat.st_mtime_ns, stat.st_size, path))
    total = n_bytes + sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= max_bytes:
            break
        if path.name not in spared:
            remove(path)
            total -= size
    return total <= max_bytes


def limit_of(root):
    """Size that a cache is limited to, or None."""
    try:
        return json.loads((root / LIMIT).read_text(encoding="utf-8"))["max_bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def empty(root):
    """Delete all rows of a cache, of every key; other files in the folder stay."""
    for sub in _sub_folders(root):
        for path in segment_paths(sub) + temporary_paths(sub):
            remove(path)
        remove(sub / "key.json")
        remove(sub / _LOCK)
        with contextlib.suppress(OSError):  # holds files of others
            sub.rmdir()


def remove_left_over(folder):
    """Delete what was being written when its writer was killed."""
    for path in temporary_paths(folder):
        if seconds_old(path) > STALE:
            remove(path)


def seconds_old(path):
    """Seconds since a file was changed; 0 where there is none."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _sub_folders(root):
    try:
        return sorted(
            each for each in root.iterdir() if SUB_FOLDER.fullmatch(each.name)
        )
    except (FileNotFoundError, NotADirectoryError):
        return []
