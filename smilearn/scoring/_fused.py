"""The look-up on CUDA: reading, interpolating and adding up in one kernel.

In plain torch every step writes an array of the size of the projections. Compiled by
torch they are one kernel, which reads each projection once.
"""

import threading
import warnings

import torch

from smilearn.exceptions import SmilearnWarning

GROUPS = 4  # of slices that are summed apart, at most
_WORTH = 2**24  # projections in a block; for fewer, compiling costs more than it saves
_OFF = 1e-4  # what sums of the compiled function may be off
_lock = threading.Lock()
_known = {}  # compiled functions by device and precision, None where there is none


def read_sums(Z, rows, grid, table, offset, group):
    """Read a table for each projection, and add up what it says of each sample."""
    origin, step, n_nodes = grid
    place = (Z[rows] - origin[:, None]) * (1 / step)[:, None]
    place = place.clamp(0, n_nodes - 1)
    node = place.to(torch.int64)
    index = node + offset
    value, change = (table[..., part].gather(1, index) for part in range(2))
    pmi = value + change * (place - node)
    total = [
        torch.where(group[:, None] == each, pmi, 0).sum(0) for each in range(GROUPS)
    ]
    return torch.stack(total), pmi.square().sum(0)


def fused_for(Z, n_groups):
    """The fused look-up, where it can be had and is worth its while."""
    if Z.device.type != "cuda" or Z.numel() < _WORTH or n_groups > GROUPS:
        return None
    key = Z.device, Z.dtype
    with _lock:
        if key not in _known:
            _known[key] = compiled(Z.device, Z.dtype)
    return _known[key]


def compiled(device, dtype):
    """Compile `read_sums` and try it, so that no real sums can be spoiled."""
    try:
        look_up, some = torch.compile(read_sums, dynamic=True), _sample(device, dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch would have us multiply in TF32
            found = look_up(*some)
        pairs = zip(found, read_sums(*some), strict=True)
        off = max(float((a - b).abs().max()) for a, b in pairs)
        trouble = None if off <= _OFF else f"its sums are off by {off:.1e}"
    except Exception as error:  # a compiler may fail in any way, and is only for speed
        trouble = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    if trouble is None:
        return look_up
    warnings.warn(
        f"torch.compile does not work for {device} ({trouble}); scores are looked up "
        "in plain torch, which is slower and gives the same numbers.",
        SmilearnWarning,
        stacklevel=2,
    )
    return None


def _sample(device, dtype):
    """Arguments of `read_sums`, small; no size is 1, which would be compiled in."""
    n_slices, n_samples, n_classes, n_nodes = 6, 50, 3, 8
    steps = torch.arange(1.0, n_slices * n_samples + 1, device=device, dtype=dtype)
    Z = torch.sin(steps).reshape(n_slices, n_samples)
    table = torch.cos(torch.arange(5.0 * n_classes * n_nodes * 2, device=device))
    rows = torch.arange(5, device=device)
    codes = torch.arange(n_samples, device=device) % n_classes
    grid = Z.new_full((5,), -0.9), Z.new_full((5,), 0.25), n_nodes
    table = table.to(dtype).reshape(5, n_classes * n_nodes, 2)
    return Z, rows, grid, table, codes * n_nodes, rows % GROUPS
