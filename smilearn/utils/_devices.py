"""Devices: which one, and in what precision it multiplies."""

import gc
import math
from contextlib import contextmanager, nullcontext

import torch

from smilearn.exceptions import DeviceMemoryError, InvalidInputError
from smilearn.utils._threads import SharedContext, own_threads

# From torch 2.9 on there is a switch for CUDA alone, which can always be read. Those
# of before raise an error once somebody has touched the new one.
_FULL = "ieee" if hasattr(torch.backends.cuda.matmul, "fp32_precision") else "highest"
_SIGNS = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
_most_bytes = {}  # of projections in a block, by device: learnt from failures


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
    full = full_float32() if device.type == "cuda" else nullcontext()
    with own_threads(device), full:
        yield


@SharedContext
@contextmanager
def full_float32():
    """Keep CUDA from rounding the factors of float32 products to TF32, until the end"""
    before = _precision()
    _set_precision(_FULL)
    yield
    _set_precision(before)


def _precision():
    if _FULL == "highest":
        return torch.get_float32_matmul_precision()
    return torch.backends.cuda.matmul.fp32_precision


def _set_precision(value):
    if _FULL == "highest":
        torch.set_float32_matmul_precision(value)
    else:
        torch.backends.cuda.matmul.fp32_precision = value


def most_slices(device, slice_bytes):
    """Slices that a block may hold, by what has failed before in this process."""
    most_bytes = _most_bytes.get(device)
    return math.inf if most_bytes is None else max(1, most_bytes // slice_bytes)


def in_blocks(work, settings, start, stop, n_samples, free=lambda: None):
    """Work on slices a block at a time, in halved blocks from a lack of memory on."""
    blocks = settings.blocks(start, stop, n_samples)
    while blocks:
        block = blocks.pop(0)
        try:
            for stop_of_part, result in work(block):
                yield stop_of_part, result
                start = stop_of_part
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            length = block.stop - block.start
            if length == 1:
                raise _no_memory(settings.device, n_samples) from error
        else:
            continue
        # the error is gone by now, and with it the tensors that its traceback held
        slice_bytes = torch.finfo(settings.torch_dtype).bits // 8 * n_samples
        _most_bytes[settings.device] = length // 2 * slice_bytes
        free()
        empty_cache(settings.device)
        blocks = settings.blocks(start, stop, n_samples)


def is_out_of_memory(error):
    """Tell a lack of memory from other errors of torch."""
    signs = any(sign in str(error) for sign in _SIGNS)  # of mps and cuBLAS
    return signs or isinstance(error, torch.OutOfMemoryError)


def _no_memory(device, n_samples):
    return DeviceMemoryError(
        f"device={str(device)!r} has no memory left for the projections of {n_samples} "
        "samples on one slice. Score fewer samples at a time, fit them by "
        'fit_batches, free what else is on the device, or take device="cpu".'
    )


def empty_cache(device):
    """Give unused memory back to a device."""
    if device.type in ("cuda", "mps"):
        gc.collect()
        getattr(torch, device.type).empty_cache()
