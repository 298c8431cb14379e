"""Arrays too large for memory, in files that go away with them."""

import os
import tempfile

import numpy as np

from smilearn.exceptions import InvalidInputError

LARGE = 2**28  # bytes from which on an array is a memory map: 256 MB


def large_array(shape, dtype, folder=None):
    """Make room for an array: in memory, or from 256 MB on in a file."""
    dtype = np.dtype(dtype)
    n_bytes = int(np.prod(shape, dtype=int)) * dtype.itemsize
    if n_bytes < LARGE:
        return np.empty(shape, dtype)
    for place in dict.fromkeys([folder, None]):
        try:
            with tempfile.TemporaryFile(dir=place) as file:
                _set_aside(file, n_bytes)
                return np.memmap(file, dtype, "r+", shape=shape)
        except OSError as error:
            failure = error
    raise InvalidInputError(
        f"No room for {n_bytes / 2**30:.1f} GiB of rows in {tempfile.gettempdir()!r}: "
        f"{failure}. Point the environment variable TMPDIR to a larger disk, take "
        "fewer layers, or transform fewer texts at a time."
    ) from failure


def _set_aside(file, n_bytes):
    """Give a file its space now, as a page of a map that finds none is a crash."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, n_bytes)
        return
    zeros = bytes(2**20)
    for begin in range(0, n_bytes, len(zeros)):
        file.write(zeros[: n_bytes - begin])
    file.flush()
