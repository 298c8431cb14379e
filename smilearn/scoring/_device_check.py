"""Whether a device computes what the CPU does, asked once a process."""

import threading

import numpy as np
import torch

from smilearn.exceptions import InvalidInputError
from smilearn.scoring._engine import project
from smilearn.scoring._moments import plain_moments
from smilearn.scoring._reader import PmiReader, Settings
from smilearn.scoring._sums import SliceSums
from smilearn.scoring._tables import nodes_needed
from smilearn.utils._devices import is_out_of_memory, working_on

# Largest error of a projection (up to 6) and of a score in nats. Rounding alone makes
# 1e-7 of both in float32, as measured between two ways to compute on the CPU; factors
# rounded to TF32 make 2e-3 of the first and 3e-4 of the second.
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
_lock = threading.Lock()
_trusted = set()


def check_device(settings):
    """Compare a device with the CPU before its first use, in this precision."""
    device, dtype = settings.device, settings.dtype
    if device.type == "cpu" or (device, dtype) in _trusted:
        return
    with _lock:
        if (device, dtype) in _trusted:
            return
        trouble = _trouble(device, dtype)
        if trouble:
            raise InvalidInputError(
                f"device={str(device)!r} does not compute what the CPU does: {trouble}"
                '. Take device="cpu", or another version of torch or of its driver.'
            )
        _trusted.add((device, dtype))


def _trouble(device, dtype):
    """What is wrong with a device, in words; None if nothing is."""
    on_host = computed_on(torch.device("cpu"), dtype)
    try:
        with working_on(device):
            on_device = computed_on(device, dtype)
    # what torch raises for a kernel, an operation or a number type that is not there
    except (RuntimeError, NotImplementedError, TypeError) as error:
        if is_out_of_memory(error):
            raise
        return f"a tiny projection or look-up in {dtype} failed with {error}"
    for what, *both in zip(("projection", "look-up"), on_device, on_host, strict=True):
        error = np.abs(both[0] - both[1]).max()
        if not error <= TOLERANCE[dtype]:  # NaN is no number to trust either
            return (
                f"a tiny {what} in {dtype} is off by {error:.1e}, and rounding "
                f"explains {TOLERANCE[dtype]:.0e} at most"
            )
    return None


def computed_on(device, dtype):
    """Tiny projections (8, 60) on a device, and scores (60,) read by their tables."""
    rng, settings = np.random.default_rng(0), Settings("student", device, dtype)
    directions, points = rng.normal(size=(8, 32)), rng.normal(size=(60, 32))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    codes = np.arange(60) % 3
    points += codes[:, None] * rng.normal(size=32)
    X = settings.tensor(points)
    Z = project(settings.tensor(directions), X, X.new_empty((8, 60)))
    projections = Z.cpu().double().numpy()

    on_host = Settings("student", torch.device("cpu"), dtype)
    exact = torch.from_numpy(directions @ points.T)
    moments = plain_moments(exact, torch.from_numpy(codes), 3)
    nodes = nodes_needed(on_host.densities(moments), moments)
    reader, sums = PmiReader(settings, moments, nodes), SliceSums(np.arange(8), 8, Z)
    reader.add_to([sums], Z, [torch.as_tensor(codes, device=device)])
    return projections, sums.values()[0].mean(0)
