"""What does Dask cost, and what do two workers give, beside a fit on one machine?

    python benchmarks/scaling.py [--rows 2000000] [--repeats 2] [--write]

Writes a float32 file chunk by chunk, never held whole, and fits it with one thread each
way: as a memory map in a process of its own, and as a dask array with one and with two
worker processes, which read their chunks from the same file. Ways are taken in turn;
figures are medians of the repeats, of memory the largest. Memory is the peak resident
set of a worker above what it held after a first small fit. Bytes moved are those that
workers sent each other, by their own counters; what went to the client is told from
the shapes. The cost model of docs/scaling.md is fitted to these runs, and a tree of
merges is timed for states of several sizes.
"""

import argparse
import heapq
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # of this process and its workers, before torch

import numpy as np
from pages import keep, put, table
from streaming import resident, write_file

WAYS = ("memory map", "Dask, 1 worker", "Dask, 2 workers")
HEADER = [
    "way",
    "fit (range)",
    "over the memory map",
    "peak of a worker above what is loaded",
    "sent by each worker",
]
N_CLASSES = 10
FEW = 2_000  # samples of the first fit
PASSES = 8  # over the data: look, two rounds of outliers, sums, scores, probabilities
NETWORK = 1_000  # MB a second between workers, as assumed


def read_chunk(path, begin, end, n_features):
    rows = np.memmap(path, np.float32, "r", shape=(end, n_features))
    return np.array(rows[begin:])


def facts_of_worker():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return peak, resident()


def fit_map(folder, arguments):
    """Seconds of a fit to the memory map, in this process."""
    from smilearn import SlicedMIScorer

    path, y, shape = files(folder, arguments)
    X = np.memmap(path, np.float32, "r", shape=shape)
    scorer = SlicedMIScorer(arguments.slices, random_state=0)
    scorer.fit_batches([(np.array(X[:FEW]), y[:FEW])])
    loaded, begin = resident(), time.perf_counter()
    scorer.fit(X, y)
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "peak_mb": facts_of_worker()[0] - loaded, "sent_mb": 0}


def fit_dask(folder, arguments, n_workers):
    """Seconds of a fit on workers of this machine."""
    import dask
    import dask.array as da
    from distributed import Client, LocalCluster

    from smilearn import SlicedMIScorer

    path, y, (n_rows, width) = files(folder, arguments)
    read, ends = dask.delayed(read_chunk), [*range(0, n_rows, arguments.chunk), n_rows]
    chunks = [
        da.from_delayed(read(path, begin, end, width), (end - begin, width), np.float32)
        for begin, end in pairwise(ends)
    ]
    X = da.concatenate(chunks)
    options = {"threads_per_worker": 1, "dashboard_address": None}
    with (
        LocalCluster(n_workers=n_workers, **options) as cluster,
        Client(cluster) as own,
    ):
        scorer = SlicedMIScorer(arguments.slices, random_state=0)
        few = da.from_array(
            np.tile(read_chunk(path, 0, FEW, width), (4, 1)), chunks=FEW
        )
        scorer.fit(few, np.tile(y[:FEW], 4))
        before, begin = own.run(facts_of_worker), time.perf_counter()
        sent = sum(own.run(sent_bytes).values())
        scorer.fit(X, y)
        seconds = time.perf_counter() - begin
        after = own.run(facts_of_worker)
        sent = sum(own.run(sent_bytes).values()) - sent
    peak = max(after[each][0] - before[each][1] for each in after)
    sent = sent / 2**20 / n_workers
    return {"seconds": seconds, "peak_mb": peak, "sent_mb": sent}


def sent_bytes(dask_worker):
    return dask_worker.transfer_outgoing_bytes_total


def merge_seconds(n_classes, width, n_slices):
    """Seconds in which two states are merged, and their size in MB."""
    import pickle

    from smilearn import SlicedMIScorer

    rng = np.random.default_rng(0)
    y = np.arange(4 * n_classes) % n_classes
    states = []
    for _ in range(2):
        X = rng.normal(size=(len(y), width)).astype(np.float32)
        scorer = SlicedMIScorer(n_slices, random_state=0).partial_fit(X, y)
        states.append(scorer.sums_)
    directions = scorer.recipe_.directions
    begin = time.perf_counter()
    states[0].merged(states[1], directions)
    return time.perf_counter() - begin, len(pickle.dumps(states[0], 5)) / 2**20


def simulated(n_chunks, n_workers, chunk, merge, transfer, fanout=8):
    """Seconds of one pass and its tree, played through task by task.

    Chunks go to the worker that is free first and take `chunk` seconds, give or take a
    tenth; each merge waits for its parts, which travel `transfer` seconds each.
    """
    free, done = [0.0] * n_workers, []  # when workers are free, and parts are there
    for noise in np.random.default_rng(0).lognormal(0, 0.1, n_chunks):
        done.append(heapq.heappop(free) + chunk * noise)
        heapq.heappush(free, done[-1])
    while len(done) > 1:
        parts = [done[i : i + fanout] for i in range(0, len(done), fanout)]
        done = []
        for part in parts:
            there = max(part) + transfer * (len(part) - 1)
            begin = max(there, heapq.heappop(free))
            done.append(begin + merge * (len(part) - 1))
            heapq.heappush(free, done[-1])
    return max(*free, *done)


def foretold(n_chunks, n_workers, chunk, merge, transfer, fanout=8):
    """The same by the cost model: work shared out, and the depth of the tree."""
    depth = math.ceil(math.log(n_chunks, fanout))
    shared = (n_chunks * chunk + (n_chunks - 1) * merge) / n_workers
    return shared + depth * (fanout - 1) * (merge + transfer)


def files(folder, arguments):
    y = np.load(folder / f"y{arguments.rows}.npy")
    return folder / f"X{arguments.rows}", y, (arguments.rows, arguments.features)


def in_own_process(folder, way, arguments):
    names = ("rows", "features", "slices", "chunk")
    options = [f"--{name}={getattr(arguments, name)}" for name in names]
    call = [sys.executable, __file__, *options, "--child", str(folder), way]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def as_row(way, runs, base):
    seconds = [run["seconds"] for run in runs]
    median = statistics.median(seconds)
    peak, sent = (max(run[name] for run in runs) for name in ("peak_mb", "sent_mb"))
    return [
        way,
        f"{median:.1f} s ({min(seconds):.1f} to {max(seconds):.1f})",
        f"{median / base:.2f}",
        f"{peak:,.0f} MB",
        f"{sent:,.0f} MB" if sent else "",
    ]


def text_of(runs, states, arguments):
    """What docs/scaling.md shows."""
    base = statistics.median(run["seconds"] for run in runs[WAYS[0]])
    text = table(HEADER, [as_row(way, runs[way], base) for way in WAYS])
    shape = f"{arguments.rows:,} x {arguments.features}"
    megabytes = arguments.chunk * arguments.features * 4 / 2**20
    text += (
        f"\n{shape}, {N_CLASSES} classes, {arguments.slices} slices, chunks of "
        f"{arguments.chunk:,} rows ({megabytes:.0f} MB), one thread a process.\n"
    )
    rows = [[name, f"{mb:.1f} MB", f"{s:.3f} s"] for name, (s, mb) in states.items()]
    text += "\n" + table(["state", "size", "a merge of two"], rows)
    # seconds a chunk and pass: of a fit there are about PASSES over the data
    n_chunks = math.ceil(arguments.rows / arguments.chunk)
    one = statistics.median(run["seconds"] for run in runs[WAYS[1]])
    chunk, merge = one / n_chunks / PASSES, states["10 classes, 4,096 slices"][0]
    transfer = states["10 classes, 4,096 slices"][1] / NETWORK
    rows = []
    for n_rows, n_workers in ((10**8, 16), (10**9, 64), (10**9, 256)):
        task = n_rows // arguments.chunk, n_workers, chunk, merge, transfer
        model, played = foretold(*task), simulated(*task)
        fit = f"{PASSES * played / 60:.0f} min"
        row = [f"{n_rows:,}", n_workers, f"{model:,.0f} s", f"{played:,.0f} s", fit]
        rows.append(row)
    header = ["rows", "workers", "a pass by the model", "played through", "a fit"]
    text += "\n" + table(header, rows)
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--features", type=int, default=384)
    parser.add_argument("--slices", type=int, default=256)
    parser.add_argument("--chunk", type=int, default=50_000, help="rows")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="docs/scaling.md")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        folder, way = Path(arguments.child[0]), arguments.child[1]
        found = (
            fit_map(folder, arguments)
            if way == WAYS[0]
            else fit_dask(folder, arguments, WAYS.index(way))
        )
        print(json.dumps(found))
        return
    runs = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_file(folder, arguments.rows, arguments.features, N_CLASSES)
        for _ in range(arguments.repeats):
            for way in WAYS:
                runs[way].append(in_own_process(folder, way, arguments))
                print(way, runs[way][-1], flush=True)
    states = {
        f"{k} classes, {slices:,} slices": merge_seconds(k, arguments.features, slices)
        for k, slices in ((10, 256), (10, 4096), (1000, 4096))
    }
    text = text_of(runs, states, arguments)
    print(text)
    if arguments.write:
        keep("scaling", {"runs": runs, "states": states, **vars(arguments)})
        put("scaling", "dask", text)


if __name__ == "__main__":
    main()
