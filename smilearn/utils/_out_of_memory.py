"""Blocks of slices that shrink when a device runs out of memory."""

import gc
import math

import torch

from smilearn.exceptions import DeviceMemoryError

_SIGNS = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
_most_bytes = {}  # of projections in a block, by device: learnt from failures


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
            for done, found in work(block):
                yield done, found
                start = done
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
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return any(sign in str(error) for sign in _SIGNS)  # of mps and cuBLAS


def _no_memory(device, n_samples):
    return DeviceMemoryError(
        f"device={str(device)!r} has no memory left for the projections of {n_samples} "
        "samples on one slice. Score fewer samples at a time, fit them by "
        'fit_batches, free what else is on the device, or take device="cpu".'
    )


def empty_cache(device):
    """Give unused memory back to a device."""
    gc.collect()
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).empty_cache()
