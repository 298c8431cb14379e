"""Dask collections as lists of chunks, and work on them wherever Dask runs it."""

import ctypes
import functools
import os
import sys
from contextlib import contextmanager, suppress
from itertools import pairwise
from threading import Event, Thread

import numpy as np

from smilearn.exceptions import ClusterError, InvalidInputError, SmilearnError
from smilearn.utils._optional import require

_LOSSES = {"CommClosedError", "CancelledError", "FutureCancelledError"}
_LOOK, _PATIENCE = 10, 120  # seconds between looks for workers, and without any


def is_dask(*values):
    """Tell whether some value is a dask collection; dask is not imported."""
    dask = sys.modules.get("dask")
    return dask is not None and any(map(dask.is_dask_collection, values))


def use_dask(caller):
    """Import dask, which the extra `distributed` brings."""
    return require("dask", extra="distributed", caller=caller)


def chunks_of(values, name):
    """Chunks of a dask array, frame, series or bag, each a Delayed; and their rows.

    Rows (n_chunks,) are NaN where they are not known before the work.
    """
    if not hasattr(values, "to_delayed") or getattr(values, "ndim", 1) > 2:
        raise InvalidInputError(
            f"{name} must be a dask array of 2 dimensions at most, a bag, or columns "
            f"of a dask dataframe; got {type(values).__name__} of "
            f"{getattr(values, 'ndim', 1)} dimensions."
        )
    if hasattr(values, "simplify"):  # of a dataframe: reads no more columns than these
        # fusion, left out here, would cut columns of one file differently
        values = values.simplify()
        chunks = values.to_delayed(optimize_graph=False)
        return chunks, np.full(len(chunks), np.nan)
    if not hasattr(values, "chunks"):  # of a bag
        chunks = values.to_delayed()
        return chunks, np.full(len(chunks), np.nan)
    if values.ndim > 1 and len(values.chunks[1]) > 1:
        values = values.rechunk({1: -1})
    return values.to_delayed().ravel().tolist(), np.array(values.chunks[0], float)


def aligned_chunks(values, rows, name, beside="X"):
    """Chunks of what is beside a collection of such rows; arrays are cut alike."""
    if values is None:
        return [None] * len(rows)
    if is_dask(values):
        chunks, own = chunks_of(values, name)
        known = not np.isnan([*own, *rows]).any()
        if known and own.sum() == rows.sum():
            cut = tuple(rows.astype(int).tolist())
            return values.rechunk({0: cut}).to_delayed().ravel().tolist()
        if not known and len(chunks) == len(rows):
            return chunks
        raise InvalidInputError(
            f"{name} must be cut into chunks as {beside} is; got {len(chunks)} chunks "
            f"of {own.sum():.0f} rows beside {len(rows)} of {rows.sum():.0f} (nan: not "
            "known). Make both from one collection, or repartition one of them."
        )
    if np.isnan(rows).any():
        raise InvalidInputError(
            f"The chunks of {beside} have unknown sizes, so that {name} in memory "
            f"cannot be cut alike. Give {name} as a dask collection of the same "
            f"partitions, or call {beside}.compute_chunk_sizes() on an array."
        )
    values, ends = np.asarray(values), np.cumsum([0, *rows.astype(int)])
    if len(values) != ends[-1]:
        raise InvalidInputError(
            f"{beside} and {name} must have as many rows; got {ends[-1]} and "
            f"{len(values)}."
        )
    return [values[begin:end] for begin, end in pairwise(ends)]


def computed(dask, parts):
    """Results of delayed parts; what befalls a cluster becomes one clear error."""
    with cluster_errors():
        client = _client()
        if client is None:
            return list(dask.compute(*parts))
        futures = client.compute(list(parts))
        with _watched(client, futures):
            return client.gather(futures)


def _client():
    """Client of a cluster that is in use, or None."""
    distributed = sys.modules.get("distributed")
    scheduler = sys.modules["dask"].config.get("scheduler", None)
    if distributed is None or scheduler not in (None, "dask.distributed"):
        return None
    try:
        return distributed.get_client()
    except ValueError:
        return None


@contextmanager
def _watched(client, futures):
    """Give the work up where no worker is left for so long that none will come."""
    done, lost = Event(), []

    def watch():
        idle = 0
        while not done.wait(_LOOK):
            idle = 0 if client.scheduler_info()["workers"] else idle + _LOOK
            if idle >= _PATIENCE:
                lost.append(idle)
                client.cancel(futures)
                return

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except Exception as error:
        if lost:
            raise ClusterError(
                f"The Dask cluster has had no worker for {_PATIENCE} s. Start workers, "
                "and fit again."
            ) from error
        raise
    finally:
        done.set()


@contextmanager
def cluster_errors():
    """Make one clear error of what befalls a cluster."""
    try:
        yield
    except SmilearnError:
        raise
    except Exception as error:
        if type(error).__name__ == "KilledWorker":
            raise ClusterError(
                f"A piece of work killed its worker each time it was tried ({error}). "
                "Most often a worker has too little memory: it needs that of two "
                "chunks and the state. Cut the data into smaller chunks, or give "
                "workers more memory."
            ) from error
        if {each.__name__ for each in type(error).__mro__} & _LOSSES:
            raise ClusterError(
                f"The Dask cluster was lost before the work was done ({error!r:.300}). "
                "See the log of the scheduler; connect a new Client, and fit again."
            ) from error
        raise


@functools.cache
def reuse_freed_memory():
    """Let malloc reuse up to 128 MB; workers of Dask give freed memory back at once."""
    # and maps and clears temporaries anew: 2.3 times the time (docs/scaling.md)
    if "MALLOC_TRIM_THRESHOLD_" in os.environ:
        with suppress(OSError, AttributeError):  # there is no glibc
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(-3, 2**25)  # M_MMAP_THRESHOLD
            mallopt(-1, 2**27)  # M_TRIM_THRESHOLD


@contextmanager
def naming_chunk(number):
    """Say in errors about input which chunk holds it."""
    try:
        yield
    except ValueError as error:
        kind = (
            type(error) if isinstance(error, InvalidInputError) else InvalidInputError
        )
        raise kind(f"Chunk {number} (counted from 0): {error}") from error


def as_array(parts, rows, *, shape=(), dtype=float):
    """Delayed results of chunks, (rows, *shape), as one dask array."""
    arrays = require("dask.array", extra="distributed", caller="A dask collection")
    pieces = [
        arrays.from_delayed(part, (n if np.isnan(n) else int(n), *shape), dtype)
        for part, n in zip(parts, rows, strict=True)
    ]
    return arrays.concatenate(pieces, allow_unknown_chunksizes=True)


def as_scalar(part):
    """A delayed number as a dask array without dimensions."""
    arrays = require("dask.array", extra="distributed", caller="A dask collection")
    return arrays.from_delayed(part, (), float)
