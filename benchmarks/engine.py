"""How fast is `fit`, how much memory does it take? Ratios of things timed side by side.

    python benchmarks/engine.py [--repeats 7] [--write]

For each shape, in a process of its own: the bare product ``X @ slices.T`` in torch,
`SlicedMIScorer.fit` with ``pooled=False``, which does little else, and the default, all
with training scores; the figures are medians of ratios. Memory is the largest resident
set of the default above what the process held with X loaded, sampled every millisecond.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from pages import keep, put, table

HEADER = [
    "X",
    "bare product",
    "`pooled=False`",
    "over bare (range)",
    "default",
    "over `pooled=False` (range)",
    "memory above X",
    "with 4 x the slices",
]
SHAPES = [(n, 384, k) for n in (20_000, 50_000) for k in (6, 77)]
N_SLICES = 1_000


def timed(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak_above(function):
    """Largest resident set during a call, above that before it, in MB."""
    base, peak, done = resident(), 0, threading.Event()

    def watch():
        nonlocal peak
        while not done.is_set():
            peak = max(peak, resident())
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    function()
    done.set()
    watcher.join()
    return (peak - base) / 2**20


def run_shape(n_samples, n_features, n_classes, repeats):
    import numpy as np
    import torch

    from smilearn import SlicedMIScorer

    rng = np.random.default_rng(0)
    y = rng.integers(0, n_classes, n_samples)
    centres = rng.normal(size=(n_classes, n_features)).astype(np.float32)
    X = rng.normal(size=(n_samples, n_features)).astype(np.float32) + 0.2 * centres[y]
    slices = rng.normal(size=(N_SLICES, n_features)).astype(np.float32)
    tensor, directions = torch.from_numpy(X), torch.from_numpy(slices)

    def fit(n_slices=N_SLICES, **options):
        scorer = SlicedMIScorer(n_slices, device="cpu", random_state=0, **options)
        return scorer.fit(X, y)

    works = {
        "bare": lambda: tensor @ directions.T,
        "psmi": lambda: fit(pooled=False),
        "default": fit,
    }
    weights = fit(8).pool_["weights"]  # everything imported and warm
    memory = {n: peak_above(lambda n=n: fit(n)) for n in (N_SLICES, 4 * N_SLICES)}
    works["bare"]()
    rounds = [
        {name: timed(work) for name, work in works.items()} for _ in range(repeats)
    ]
    ratios = {
        "psmi_over_bare": [each["psmi"] / each["bare"] for each in rounds],
        "default_over_psmi": [each["default"] / each["psmi"] for each in rounds],
    }
    return {
        "shape": [n_samples, n_features, n_classes],
        "seconds": {n: statistics.median(each[n] for each in rounds) for n in works},
        **{name: statistics.median(values) for name, values in ratios.items()},
        **{f"{name}_range": [min(v), max(v)] for name, v in ratios.items()},
        "memory_mb": memory[N_SLICES],
        "memory_mb_at_4x_slices": memory[4 * N_SLICES],
        "weight_of_slices": weights["slices"],
    }


def in_own_process(shape, repeats):
    command = [sys.executable, __file__, "--shape", *map(str, shape)]
    command += ["--repeats", str(repeats)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def cells(result):
    n, d, k = result["shape"]
    seconds = result["seconds"]

    def ratio(name):
        low, high = result[f"{name}_range"]
        return f"{result[name]:.2f} ({low:.2f} to {high:.2f})"

    return [
        f"{n:,} x {d}, K = {k}",
        f"{seconds['bare']:.3f} s",
        f"{seconds['psmi']:.3f} s",
        ratio("psmi_over_bare"),
        f"{seconds['default']:.3f} s",
        ratio("default_over_psmi"),
        f"{result['memory_mb']:.0f} MB",
        f"{result['memory_mb_at_4x_slices']:.0f} MB",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, help="run one shape, print JSON")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="docs/performance.md")
    arguments = parser.parse_args()
    if arguments.shape:
        print(json.dumps(run_shape(*arguments.shape, arguments.repeats)))
        return
    results = [in_own_process(shape, arguments.repeats) for shape in SHAPES]
    text = table(HEADER, map(cells, results))
    text += f"\n{N_SLICES:,} slices, float32, {os.cpu_count()} cores.\n"
    print(text)
    if arguments.write:
        machine = {"machine": platform.machine(), "cores": os.cpu_count()}
        keep("engine", machine | {"rows": results})
        put("performance", "engine", text)


if __name__ == "__main__":
    main()
