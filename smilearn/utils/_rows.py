"""Embeddings as tensors, and their rows in pieces."""

import numpy as np
import torch


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
