"""Devices: which one, and in what precision it multiplies."""

import threading
from contextlib import ExitStack, contextmanager

import torch

from smilearn.exceptions import InvalidInputError
from smilearn.utils._threads import own_threads

_lock = threading.Lock()
_guard = {"users": 0, "before": None}


def resolve_device(device):
    """Turn "auto" into cuda, mps or cpu, whichever comes first on this machine."""
    if device != "auto":
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            raise InvalidInputError(
                f"device={device!r} is not to be had on this machine: {error}"
            ) from error
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@contextmanager
def working_on(device):
    """Compute on a device: threads of our own on the host, full float32 on CUDA."""
    with ExitStack() as stack:
        stack.enter_context(own_threads(device))
        if device.type == "cuda":
            stack.enter_context(full_float32())
        yield


@contextmanager
def full_float32():
    """Keep CUDA from rounding the factors of float32 products to TF32, until the end"""
    with _lock:
        if not _guard["users"]:
            _guard["before"] = _precision()
            _set_precision(_FULL)
        _guard["users"] += 1
    try:
        yield
    finally:
        with _lock:
            _guard["users"] -= 1
            if not _guard["users"]:
                _set_precision(_guard["before"])


# From torch 2.9 on there is a switch for CUDA alone, which can always be read. Those
# of before raise an error once somebody has touched the new one.
_FULL = "ieee" if hasattr(torch.backends.cuda.matmul, "fp32_precision") else "highest"


def _precision():
    if _FULL == "highest":
        return torch.get_float32_matmul_precision()
    return torch.backends.cuda.matmul.fp32_precision


def _set_precision(value):
    if _FULL == "highest":
        torch.set_float32_matmul_precision(value)
    else:
        torch.backends.cuda.matmul.fp32_precision = value
