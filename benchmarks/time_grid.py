"""Does `fit` take a time that the size does not explain? A grid over n, d and K.

    python benchmarks/time_grid.py [--threads 2] [--most 60] [--cpu] [--write]

Each cell is `SlicedMIScorer(random_state=0).fit(X, y)` over what cannot be spared, in
torch, float32, as many threads: ``X @ directions.T`` for the slices that the fit took,
and the covariance ``X.T @ X``. Classes are of like size, or all but two of one sample.
Judged: no cell takes above 20 times its products where these take a second or more,
and none above 5 s where they take less. Cells beyond `--memory` are left out, and those
that are larger, in each of n, d and K, than one that took above `--most` seconds.
"""

import argparse
import itertools
import os
import time
import warnings

from pages import keep, put, table

N_SAMPLES = (50, 500, 5_000, 50_000)
N_FEATURES = (1, 16, 256, 2_048, 8_192)
N_CLASSES = (2, 30, 300, 3_000)
MOST_RATIO, ENOUGH, MOST_SECONDS = 20, 1.0, 5.0
N_SHOWN = 12  # cells in the table, the worst
HEADER = ["n", "d", "K", "slices", "products", "fit", "fit over products", "judged"]


def cells(memory):
    """Shapes from small to large: n, d, K, and whether classes are of one sample."""
    found = []
    for n, d, k in itertools.product(N_SAMPLES, N_FEATURES, N_CLASSES):
        if 2 * k <= n and 4 * n * (2 * d + 3 * k) <= memory * 2**30:
            found += [(n, d, k, alone) for alone in (False, True)[: 1 + (k > 2)]]
    return sorted(found, key=lambda cell: cell[0] * (cell[1] + cell[2]))


def made(n, d, k, alone):
    """Samples and their labels, with some separation between classes."""
    import numpy as np

    rng = np.random.default_rng(0)
    y = np.arange(n) % (2 if alone else k)
    if alone:
        y[: k - 2] = np.arange(2, k)
    centres = rng.normal(size=(k, d)).astype(np.float32)
    return rng.standard_normal((n, d), np.float32) + 0.2 * centres[y], y


def seconds_of(function, clock):
    """Give seconds of a call, the least of several if it is short, and its result."""
    least, total = float("inf"), 0.0
    while total < 0.3:
        begin = clock()
        result = function()
        taken = clock() - begin
        least, total = min(least, taken), total + max(taken, 0.03)
        if taken > ENOUGH:
            break
    return least, result


def measured(cell, clock):
    import torch

    from smilearn import SlicedMIScorer

    X, y = made(*cell)
    fit, scorer = seconds_of(lambda: SlicedMIScorer(random_state=0).fit(X, y), clock)
    rows, slices = torch.from_numpy(X), torch.randn(scorer.n_slices_, X.shape[1])
    products = sum(
        seconds_of(work, clock)[0]
        for work in (lambda: rows @ slices.T, lambda: rows.T @ rows)
    )
    names = ("n", "d", "k", "classes_of_one", "slices", "products", "fit")
    return dict(zip(names, (*cell, scorer.n_slices_, products, fit), strict=True))


def excess(result):
    """How often a cell takes what is allowed; above 1 it is too slow."""
    if result["products"] >= ENOUGH:
        return result["fit"] / result["products"] / MOST_RATIO
    return result["fit"] / MOST_SECONDS


def as_row(result):
    of_one = f", {result['k'] - 2:,} of one" if result["classes_of_one"] else ""
    products, fit = result["products"], result["fit"]
    return [
        f"{result['n']:,}",
        f"{result['d']:,}",
        f"{result['k']:,}{of_one}",
        f"{result['slices']:,}",
        f"{products:.3g} s",
        f"{fit:.3g} s",
        f"{fit / products:.1f}",
        "ok" if excess(result) <= 1 else "too slow",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--memory", type=float, default=4.0, help="GiB of a cell")
    parser.add_argument("--most", type=float, default=120.0, help="seconds of a cell")
    parser.add_argument("--until", type=float, help="minutes after which to stop")
    parser.add_argument(
        "--cpu", action="store_true", help="CPU seconds: a busy machine"
    )
    parser.add_argument("--write", action="store_true", help="docs/performance.md")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # before torch is there
    warnings.filterwarnings("ignore")  # of classes too small to be scored well
    clock = time.process_time if arguments.cpu else time.perf_counter
    end = time.monotonic() + 60 * (arguments.until or float("inf"))
    measured((50, 16, 2, False), clock)  # all imported and warm
    results, slow, n_left_out = [], [], 0
    for cell in cells(arguments.memory):
        larger = (all(map(lambda a, b: a >= b, cell, each)) for each in slow)
        if any(larger) or time.monotonic() > end:
            n_left_out += 1
            continue
        results.append(measured(cell, clock))
        print(*as_row(results[-1]), sep="\t", flush=True)
        if results[-1]["fit"] > arguments.most:
            slow.append(cell)
    worst = sorted(results, key=excess, reverse=True)
    n_slow = sum(excess(each) > 1 for each in worst)
    text = table(HEADER, map(as_row, worst[:N_SHOWN]))
    text += (
        f"\nThe worst of {len(results)} cells on {arguments.threads} thread(s); "
        f"{n_slow} of them too slow, {n_left_out} left out.\n"
    )
    print(text)
    if arguments.write:
        keep("time_grid", {"threads": arguments.threads, "rows": results})
        put("performance", "time grid", text)


if __name__ == "__main__":
    main()
