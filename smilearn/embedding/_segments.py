"""Files of rows under digests, with checksums, that are whole or not there.

A file holds a header, the digests of the rows in ascending order, a checksum of each
row, and the rows. The header has a checksum of itself and of both tables, and a row's
checksum starts from its digest: no byte can change without being seen.
"""

import contextlib
import hashlib
import os
import re
import struct
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DIGEST = np.dtype("S16")  # compared whole, zero bytes at the end included
_MAGIC = b"smirows1"
_HEADER = struct.Struct("<8sQQ16s")  # magic, rows, bytes of a row, checksum
_CHECK = np.dtype("<u4")
_NAME = re.compile(r"[0-9a-f]{32}\.rows")
_TEMPORARY = re.compile(r"[0-9a-f]{32}\.tmp")
_WINDOW = 2**20  # bytes looked through at once for rows that lie near each other


@dataclass(frozen=True)
class Segment:
    """The tables of one file."""

    path: Path
    digests: np.ndarray
    checks: np.ndarray
    row_bytes: int

    @property
    def n_bytes(self):
        """Size of the file."""
        return segment_bytes(len(self.digests), self.row_bytes)

    def read(self, indices, out, places):
        """Copy rows to where they are asked for, and tell which are undamaged."""
        good = np.zeros(len(indices), bool)
        window = indices // max(1, _WINDOW // self.row_bytes)
        cuts = np.flatnonzero(np.diff(window)) + 1
        begin = _tables_end(len(self.digests))
        with self.path.open("rb", buffering=0) as file:
            for few in np.split(np.arange(len(indices)), cuts):
                rows, first = indices[few], indices[few[0]]
                file.seek(begin + int(first) * self.row_bytes)
                block = file.read(int(rows[-1] - first + 1) * self.row_bytes)
                if len(block) != (rows[-1] - first + 1) * self.row_bytes:
                    break  # the file has been cut short since it was opened
                block = np.frombuffer(block, np.uint8).reshape(-1, self.row_bytes)
                block = block[rows - first]  # (few, row_bytes)
                good[few] = _row_checks(self.digests[rows], block) == self.checks[rows]
                block = block.reshape(-1).view(out.dtype)
                out[places[few]] = block.reshape(len(few), *out.shape[1:])
        return good


def segment_bytes(n_rows, row_bytes):
    """Size of a file of rows."""
    return _tables_end(n_rows) + n_rows * row_bytes


def write_segment(folder, digests, rows):
    """Put rows on disk: under a temporary name, then, once whole, under their own."""
    order = np.argsort(digests)
    digests = digests[order]
    raw = np.ascontiguousarray(rows[order]).reshape(len(order), -1).view(np.uint8)
    checks = _row_checks(digests, raw)
    path = folder / f"{uuid.uuid4().hex}.rows"
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, [_header(digests, checks, raw.shape[1]), digests, checks, raw])
    return Segment(path, digests, checks, raw.shape[1])


def write_whole(path, pieces):
    """Write pieces of bytes to a file that has its name only when it is whole."""
    temporary = path.with_name(f"{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        remove(temporary)
        raise


def open_segment(path, row_bytes):
    """Read the tables of a file."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return None
        magic, n_rows, its_row_bytes, _ = _HEADER.unpack(header)
        if (magic, its_row_bytes) != (_MAGIC, row_bytes):
            return None
        if segment_bytes(n_rows, row_bytes) != size:
            return None
        digests = np.frombuffer(file.read(n_rows * DIGEST.itemsize), DIGEST)
        checks = np.frombuffer(file.read(n_rows * _CHECK.itemsize), _CHECK)
    if header != _header(digests, checks, row_bytes):
        return None
    return Segment(path, digests, checks, row_bytes)


def segment_paths(folder):
    """List the files of rows in a folder; [] where there is no such folder."""
    return _listed(folder, _NAME)


def temporary_paths(folder):
    """List what is being written in a folder, or was when its writer was killed."""
    return _listed(folder, _TEMPORARY)


def remove(path):
    """Delete a file where that can be done; it may be gone, or held by another."""
    with contextlib.suppress(OSError):
        path.unlink()


def common_digests(one, other):
    """Find equal digests in two ascending lists of distinct ones."""
    if len(one) > len(other):
        return common_digests(other, one)[::-1]
    places = np.searchsorted(other, one)
    found = places < len(other)
    found[found] = other[places[found]] == one[found]
    return np.flatnonzero(found), places[found]


def text_digests(texts):
    """Digest of each text; lone surrogates are texts too."""
    blake2b = hashlib.blake2b
    raw = b"".join(
        blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        for text in texts
    )
    return np.frombuffer(raw, DIGEST)


def _listed(folder, pattern):
    try:
        return sorted(each for each in folder.iterdir() if pattern.fullmatch(each.name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _tables_end(n_rows):
    return _HEADER.size + n_rows * (DIGEST.itemsize + _CHECK.itemsize)


def _header(digests, checks, row_bytes):
    numbers = struct.pack("<QQ", len(digests), row_bytes)
    check = hashlib.blake2b(numbers, digest_size=16)
    check.update(digests)
    check.update(checks)
    return _HEADER.pack(_MAGIC, len(digests), row_bytes, check.digest())


def _row_checks(digests, raw):
    """Checksum of each row, begun with its digest; raw (n, row_bytes) bytes."""
    starts = np.ascontiguousarray(digests).view(np.uint8).reshape(len(digests), -1)
    crc32 = zlib.crc32
    checks = [crc32(row, crc32(start)) for row, start in zip(raw, starts, strict=True)]
    return np.array(checks, _CHECK)
