"""Samples in any container, taken by index; arrays that are read a piece at a time."""

import os
import sys
import tempfile

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.utils.validation import _num_samples

from smilearn.exceptions import InvalidInputError
from smilearn.utils._sklearn_compat import take


def take_samples(X, indices):
    """Some samples, in the container that they came in."""
    if is_dataset(X):
        return X.select(indices)
    if _home(X) == "pyarrow":
        return X.take(indices)
    if _home(X) == "pandas" and not hasattr(X, "iloc"):  # an index, an array of strings
        return X[indices]
    if sp.issparse(X) and X.format not in ("csr", "csc", "lil"):
        return take(X.tocsr(), indices).asformat(X.format)
    taken = take(X if hasattr(X, "__getitem__") else np.asarray(X), indices)
    return tuple(taken) if isinstance(X, tuple) else taken


def _home(X):
    """Package that a container comes from."""
    return type(X).__module__.partition(".")[0]


def is_dataset(X):
    """Tell whether X is a Dataset of Hugging Face."""
    datasets = sys.modules.get("datasets")
    return datasets is not None and isinstance(X, datasets.Dataset)


def check_aligned(X, named):
    """Refuse what does not hold one value for each sample."""
    n_samples = _num_samples(X)
    for name, values in named.items():
        if values is None:
            continue
        try:
            length = _num_samples(values)
        except TypeError:
            length = f"a {type(values).__name__}"
        if length != n_samples:
            raise InvalidInputError(
                f"{name} must hold one value for each of the {n_samples} samples; got "
                f"{length}."
            )


def is_aligned(values, n_samples):
    """Tell whether a parameter holds a value for each sample."""
    if isinstance(values, (str, bytes, dict)):
        return False
    if not (hasattr(values, "__len__") or hasattr(values, "shape")):
        return False
    if getattr(values, "shape", None) == ():
        return False
    return _num_samples(values) == n_samples


def index_of(X):
    """The index of a pandas frame or series, or None."""
    return X.index if hasattr(X, "iloc") else None


class _Writable:
    """The memory of an array without the mark that it must not be written to."""

    def __init__(self, array):
        self._owner = array
        self.__array_interface__ = array.__array_interface__ | {
            "data": (array.__array_interface__["data"][0], False)
        }


def as_tensor(X, device=None):
    """Put embeddings on a device, without a copy where they are there already."""
    device = torch.device(X.device if device is None else device)
    device = torch.device("cpu") if device.type == "mps" else device
    if isinstance(X, torch.Tensor):
        return X.to(device)
    if any(stride < 0 or stride % X.itemsize for stride in X.strides):
        X = np.ascontiguousarray(X)
    if not X.flags.writeable:
        X = np.asarray(_Writable(X))
    return torch.as_tensor(X, device=device)


def row_blocks(X, order=None, megabytes=None):
    """Cut the rows of a tensor into pieces that fit a cache."""
    megabytes = megabytes or (1 if X.device.type == "cpu" else 256)
    step = max(1, int(megabytes * 2**20) // (X.itemsize * X.shape[1]))
    for start in range(0, len(X) if order is None else len(order), step):
        rows = slice(start, start + step)
        yield X[rows] if order is None else X.index_select(0, order[rows])


LARGE = 2**28  # bytes from which on an array is a memory map: 256 MB


_FEWER = "take fewer layers, or transform fewer texts at a time"


def large_array(shape, dtype, folder=None, limit=None, advice=_FEWER):
    """Make room for an array: in memory, or from `limit` bytes on in a file."""
    dtype = np.dtype(dtype)
    n_bytes = int(np.prod(shape, dtype=int)) * dtype.itemsize
    if n_bytes < (limit or LARGE):
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
        f"{failure}. Point the environment variable TMPDIR to a larger disk, {advice}."
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
