"""How fast is `fit`, how much memory does it take? Ratios of things timed side by side.

    python benchmarks/engine.py [--repeats 7] [--no-psmi] [--write]

For each shape, in a process of its own: the bare product ``X @ slices.T`` in torch,
`SlicedMIScorer.fit` with training scores, the same with adaptive slices, and the
package psmi at the same number of slices; the figure is the median of ratios. Memory
is the largest resident set above what the process held with X loaded, sampled every
millisecond.
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

RESULTS = Path(__file__).parent / "results" / "engine.json"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
HEADER = (
    "| X | bare product | fit | fit / bare (range) | adaptive / fit | psmi / fit | "
    "memory above X | with 4 x the slices | psmi's memory / fit's |\n"
    f"|{'---|' * 9}"
)
SHAPES = [(20_000, 384, 6), (10_000, 384, 77), (50_000, 768, 2)]
# psmi takes minutes for these
LARGE = [(50_000, 384, 5), (50_000, 384, 6), (50_000, 384, 77), (50_000, 384, 150)]
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


def run_shape(n_samples, n_features, n_classes, repeats, with_psmi):
    import numpy as np
    import torch

    from smilearn import SlicedMIScorer

    rng = np.random.default_rng(0)
    y = rng.integers(0, n_classes, n_samples)
    centres = rng.normal(size=(n_classes, n_features)).astype(np.float32)
    X = rng.normal(size=(n_samples, n_features)).astype(np.float32) + centres[y]
    slices = rng.normal(size=(N_SLICES, n_features)).astype(np.float32)
    tensor, directions = torch.from_numpy(X), torch.from_numpy(slices)

    def bare():
        return tensor @ directions.T

    def fit(n_slices=N_SLICES, slicing="isotropic"):
        scorer = SlicedMIScorer(n_slices, slicing=slicing, device="cpu", random_state=0)
        return scorer.fit(X, y)

    fit(8)  # everything imported and warm
    memory = {n: peak_above(lambda n=n: fit(n)) for n in (N_SLICES, 4 * N_SLICES)}
    bare()
    pairs = [(timed(bare), timed(fit)) for _ in range(repeats)]
    row = {
        "shape": [n_samples, n_features, n_classes],
        "bare_s": statistics.median(b for b, _ in pairs),
        "fit_s": statistics.median(f for _, f in pairs),
        "fit_over_bare": statistics.median(f / b for b, f in pairs),
        "fit_over_bare_range": [
            min(f / b for b, f in pairs),
            max(f / b for b, f in pairs),
        ],
        "memory_mb": memory[N_SLICES],
        "memory_mb_at_4x_slices": memory[4 * N_SLICES],
    }
    fit(8, "adaptive")
    row["adaptive_over_fit"] = statistics.median(
        timed(lambda: fit(slicing="adaptive")) / timed(fit) for _ in range(3)
    )
    if with_psmi:
        from psmi import PSMI

        def reference():
            return PSMI(n_estimators=N_SLICES).fit_transform(X, y)

        row["psmi_s"] = timed(reference)
        row["psmi_memory_mb"] = peak_above(reference)
        row["psmi_over_fit"] = row["psmi_s"] / row["fit_s"]
    return row


def in_own_process(shape, arguments):
    command = [sys.executable, __file__, "--shape", *map(str, shape)]
    command += ["--repeats", str(arguments.repeats)]
    command += ["--no-psmi"] * (arguments.no_psmi or shape in LARGE)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def as_markdown(row):
    n, d, k = row["shape"]
    low, high = row["fit_over_bare_range"]
    psmi = memory = "not run"
    if "psmi_over_fit" in row:
        psmi = f"{row['psmi_over_fit']:.0f} x"
        memory = f"{row['psmi_memory_mb'] / row['memory_mb']:.0f} x"
    return (
        f"| {n:,} x {d}, K = {k} | {row['bare_s']:.3f} s | {row['fit_s']:.3f} s | "
        f"{row['fit_over_bare']:.2f} ({low:.2f} to {high:.2f}) | "
        f"{row['adaptive_over_fit']:.1f} | {psmi} | "
        f"{row['memory_mb']:.0f} MB | {row['memory_mb_at_4x_slices']:.0f} MB | "
        f"{memory} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, help="run one shape, print JSON")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-psmi", action="store_true", help="leave psmi out")
    parser.add_argument("--write", action="store_true", help=f"keep in {RESULTS.name}")
    arguments = parser.parse_args()
    if arguments.shape:
        row = run_shape(*arguments.shape, arguments.repeats, not arguments.no_psmi)
        print(json.dumps(row))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, {N_SLICES} slices, float32")
    print(HEADER)
    rows = []
    for shape in SHAPES + LARGE:
        rows.append(in_own_process(shape, arguments))
        print(as_markdown(rows[-1]), flush=True)
    if arguments.write:
        machine = {"machine": platform.machine(), "cores": os.cpu_count()}
        RESULTS.write_text(json.dumps(machine | {"rows": rows}, indent=1) + "\n")
        head, rest = PAGE.read_text().split("<!-- engine -->\n")
        tail = rest.split("<!-- end of engine -->")[1]
        table = "\n".join([HEADER, *map(as_markdown, rows)])
        PAGE.write_text(f"{head}<!-- engine -->\n{table}\n<!-- end of engine -->{tail}")


if __name__ == "__main__":
    main()
