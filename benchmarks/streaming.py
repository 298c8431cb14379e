"""Does time grow as the samples, and does memory stay, on a file larger than memory?

    python benchmarks/streaming.py [--rows 100000 1000000] [--repeats 3] [--write]

Writes a float32 memory map for each number of rows into a temporary folder, and fits it
in a process of its own, as by default and with ``pooled=False``. Before it is timed the
process fits a few rows, so that all is imported and compiled. Memory is the peak
resident set of the process: in all, and above what it held after that first fit; pages
of the file that are mapped count. The ways are taken in turn; figures are medians of
the repeats. Below 2**24 numbers `fit` reads the file whole. The file has just been
written, so it is read from the page cache where it fits there.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from pages import keep, put, table

HEADER = [
    "memory map",
    "score",
    "fit (range)",
    "CPU time",
    "a million rows",
    "in CPU time",
    "peak in all",
    "peak above what is loaded",
]
WAYS = {"default": True, "`pooled=False`": False}
WRITTEN_AT_ONCE = 10_000  # rows
SHAPE = ("features", "classes", "slices", "repeats")


def write_file(folder, n_rows, n_features, n_classes):
    """Write X and y; the memory of the writer stays small, as a child inherits it."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, n_classes, n_rows)
    centres = rng.normal(size=(n_classes, n_features)).astype(np.float32)
    with (folder / f"X{n_rows}").open("wb") as file:
        for begin in range(0, n_rows, WRITTEN_AT_ONCE):
            own = centres[y[begin : begin + WRITTEN_AT_ONCE]]
            noise = rng.standard_normal(own.shape, dtype=np.float32)
            (noise + own).tofile(file)
    np.save(folder / f"y{n_rows}.npy", y)


def resident():
    """Resident set now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def run_fit(folder, n_rows, n_features, n_slices, pooled):
    import torch

    from smilearn import SlicedMIScorer

    X = np.memmap(folder / f"X{n_rows}", np.float32, "r", shape=(n_rows, n_features))
    y = np.load(folder / f"y{n_rows}.npy")
    options = {"pooled": bool(pooled), "device": "cpu", "random_state": 0}
    scorer = SlicedMIScorer(n_slices, **options)
    few = np.array(X[:2_000])
    scorer.fit_batches([(few, y[:2_000])])
    loaded, begin, cpu = resident(), time.perf_counter(), time.process_time()
    scorer.fit(X, y)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_mb": peak,
        "peak_above_loaded_mb": peak - loaded,
        "threads": torch.get_num_threads(),
    }


def in_own_process(folder, n_rows, pooled, arguments):
    sizes = n_rows, arguments.features, arguments.slices, int(pooled)
    command = [sys.executable, __file__, "--child", str(folder), *map(str, sizes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def summary(n_rows, way, runs):
    """Medians of the repeats; of memory the largest."""
    seconds = [run["seconds"] for run in runs]
    cpu = statistics.median(run["cpu_seconds"] for run in runs)
    return {
        "rows": n_rows,
        "score": way,
        "runs": runs,
        "seconds": statistics.median(seconds),
        "seconds_range": [min(seconds), max(seconds)],
        "cpu_seconds": cpu,
        "microseconds_a_row": statistics.median(seconds) / n_rows * 1e6,
        "cpu_microseconds_a_row": cpu / n_rows * 1e6,
        "peak_mb": max(run["peak_mb"] for run in runs),
        "peak_above_loaded_mb": max(run["peak_above_loaded_mb"] for run in runs),
    }


def cells(row, n_features):
    low, high = row["seconds_range"]
    return [
        f"{row['rows']:,} x {n_features}",
        row["score"],
        f"{row['seconds']:.2f} s ({low:.2f} to {high:.2f})",
        f"{row['cpu_seconds']:.2f} s",
        f"{row['microseconds_a_row']:.1f} s",
        f"{row['cpu_microseconds_a_row']:.1f} s",
        f"{row['peak_mb']:,.0f} MB",
        f"{row['peak_above_loaded_mb']:,.0f} MB",
    ]


def ratios(few, many, what):
    """What a row costs in one set of runs over another, run by run."""
    return [
        large[what] / many["rows"] / (small[what] / few["rows"])
        for small, large in zip(few["runs"], many["runs"], strict=True)
    ]


def measure(arguments):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for n_rows in arguments.rows:
            write_file(folder, n_rows, arguments.features, arguments.classes)
        runs = {(n_rows, way): [] for way in WAYS for n_rows in arguments.rows}
        for _ in range(arguments.repeats):
            for (n_rows, way), its in runs.items():
                its.append(in_own_process(folder, n_rows, WAYS[way], arguments))
    return runs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--features", type=int, default=384)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--slices", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help="docs/performance.md")
    arguments = parser.parse_args()
    if arguments.child:
        folder, *sizes = arguments.child
        print(json.dumps(run_fit(Path(folder), *map(int, sizes))))
        return
    rows = {key: summary(*key, runs) for key, runs in measure(arguments).items()}
    few, many = min(arguments.rows), max(arguments.rows)
    default, plain = WAYS
    compared = {
        f"a row among {many:,} over one among {few:,}": (default, few, many),
        f"`pooled=False`, {many:,} over {few:,}": (plain, few, many),
    }
    found = {
        name: {
            what: ratios(rows[small, way], rows[large, way], what)
            for what in ("seconds", "cpu_seconds")
        }
        for name, (way, small, large) in compared.items()
    }
    found["default over `pooled=False`"] = {
        what: ratios(rows[many, plain], rows[many, default], what)
        for what in ("seconds", "cpu_seconds")
    }
    text = table(HEADER, [cells(row, arguments.features) for row in rows.values()])
    threads = rows[many, default]["runs"][0]["threads"]
    text += f"\nK = {arguments.classes}, {arguments.slices} slices, {threads} threads. "
    text += "Ratio of times, and of CPU times: "
    text += "; ".join(
        f"{name} " + ", ".join(f"{statistics.median(v):.2f}" for v in each.values())
        for name, each in found.items()
    )
    text += ".\n"
    print(text)
    if arguments.write:
        shape = {name: getattr(arguments, name) for name in SHAPE}
        machine = {"machine": platform.machine(), "cores": os.cpu_count()}
        results = machine | shape | {"ratios": found, "rows": [*rows.values()]}
        keep("streaming", results)
        put("performance", "streaming", text)


if __name__ == "__main__":
    main()
