"""Room for arrays that may not fit in memory (floor 1)."""

import math
import os
import tempfile

import numpy as np

from smilearn.exceptions import InvalidInputError

LARGE = 256 * 2**20  # bytes, from which on an array is a file


def empty_rows(shape):
    """Make room for rows: in memory, or from 256 MiB on in a temporary file.

    The file has no name in any folder, where the system allows it: it goes away with
    the array. It lies where ``tempfile`` puts files, which ``TMPDIR`` says.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.

    Returns
    -------
    rows : ndarray of shape `shape`
        Not filled, float32; a ``numpy.memmap`` when large.

    Raises
    ------
    InvalidInputError
        If the disk has no room for it.
    """
    n_bytes = 4 * math.prod(shape)
    if n_bytes < LARGE:
        return np.empty(shape, np.float32)
    with tempfile.TemporaryFile() as file:
        try:  # a map of a file without room kills the process when it is written to
            _reserve(file, n_bytes)
        except OSError as error:
            raise InvalidInputError(
                f"No room for {n_bytes / 2**30:.1f} GiB of hidden states in "
                f"{tempfile.gettempdir()!r}: {error}. Point the environment variable "
                "TMPDIR to a larger disk, take fewer layers, or transform fewer texts "
                "at a time."
            ) from error
        return np.memmap(file, np.float32, mode="r+", shape=shape)


def _reserve(file, n_bytes):
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, n_bytes)
    else:
        file.truncate(n_bytes)
