"""How fast is `fit` on a GPU, against its bare product and against the CPU?

    python benchmarks/gpu.py [--n 1000000] [--device cuda] [--profile] [--write]

Samples are drawn on the device and stay there. Each figure is a median of runs side by
side, after one to warm up: the bare product ``slices @ X.T`` in full float32, block by
block into one buffer; `SlicedMIScorer.fit` with training scores, as it is by default,
with ``pooled=False``, and that without its search for outliers. Then the first of the
samples are copied to the host, for the same two fits there and on the device: their
times, and the largest differences of scores. All in all it takes less than ten minutes.
It runs on a CPU too, where it only shows that it runs.
"""

import argparse
import cProfile
import json
import os
import platform
import pstats
import re
import statistics
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from smilearn import SlicedMIScorer
from smilearn.scoring._points import project
from smilearn.scoring._reader import Settings
from smilearn.utils._devices import resolve_device, working_on

RESULTS = Path(__file__).parent / "results"
CPU_SLICES = 512


def drawn(n_samples, n_features, n_classes, device):
    """Normal classes around normal centres, (n, d) float32, and labels, on a device."""
    generator = torch.Generator(device).manual_seed(0)
    options = {"device": device, "generator": generator}
    y = torch.randint(n_classes, (n_samples,), **options)
    X = torch.randn((n_samples, n_features), **options)
    return X.add_(0.2 * torch.randn((n_classes, n_features), **options)[y]), y


def timed(function, device):
    """Seconds of a call, and of what it has put in the queue of a GPU."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    begin = time.perf_counter()
    function()
    wait()
    return time.perf_counter() - begin


def bare_product(X, n_slices):
    """The products of a fit, and nothing else."""
    settings = Settings("student", X.device, "float32")
    directions = np.random.default_rng(0).normal(size=(n_slices, X.shape[1]))
    blocks = settings.blocks(0, n_slices, len(X))
    parts = [settings.tensor(directions[block]) for block in blocks]
    buffer = X.new_empty((max(map(len, parts)), len(X)))

    def run():
        with working_on(X.device):
            for part in parts:
                project(part, X, buffer[: len(part)])

    return run


def fit(X, y, n_slices, device, **parameters):
    parameters = {"dtype": "float32", "device": str(device), **parameters}
    scorer = SlicedMIScorer(n_slices, random_state=0, **parameters)
    return scorer.fit(X, y)


FITS = {
    "default": {},
    "pooled=False": {"pooled": False},
    "pooled=False, outliers=None": {"pooled": False, "outliers": None},
}


def measured(arguments, device):
    X, y = drawn(arguments.n, arguments.d, arguments.k, device)
    works = {"bare product": bare_product(X, arguments.slices)} | {
        name: partial(fit, X, y, arguments.slices, device, **parameters)
        for name, parameters in FITS.items()
    }
    first = {name: timed(work, device) for name, work in works.items()}
    rounds = [
        {name: timed(work, device) for name, work in works.items()}
        for _ in range(arguments.repeats)
    ]
    row = {
        "seconds": {n: statistics.median(r[n] for r in rounds) for n in works},
        "seconds_first": first,
        "over_bare": {
            n: statistics.median(r[n] / r["bare product"] for r in rounds)
            for n in works
        },
        "default_over_psmi": statistics.median(
            r["default"] / r["pooled=False"] for r in rounds
        ),
    }
    if arguments.profile:
        profile = cProfile.Profile()
        profile.runcall(timed, works["default"], device)
        pstats.Stats(profile).sort_stats("cumulative").print_stats(40)
    if device.type != "cpu" and not arguments.no_cpu:
        row["cpu"] = against_cpu(X[: arguments.on_cpu], y[: arguments.on_cpu], device)
    return row


def against_cpu(X, y, device):
    """The same fits of few samples on the device and on the host."""
    places = {"device": (X, y, device), "cpu": (X.cpu(), y.cpu(), torch.device("cpu"))}
    found = {"n": len(X), "n_slices": CPU_SLICES}
    for name in ("default", "pooled=False"):
        scorers, seconds = {}, {}
        for place, (own, labels, its) in places.items():
            run = partial(fit, own, labels, CPU_SLICES, its, **FITS[name])
            run()  # loops get compiled
            begin = time.perf_counter()
            scorers[place] = run()
            seconds[place] = time.perf_counter() - begin
        one, other = scorers.values()
        found[name] = {
            "seconds": seconds,
            "scores_off_nats": off(one.scores_, other.scores_),
            "psmi_off_nats": off(one.psmi_, other.psmi_),
        }
    return found


def off(one, other):
    """Largest difference of two sets of scores, in nats."""
    return float(np.abs(one - other).max())


def machine(device):
    name = platform.machine()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return re.sub(r"\W+", "-", name.lower())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1_000_000, help="samples")
    parser.add_argument("--d", type=int, default=1024, help="features")
    parser.add_argument("--k", type=int, default=10, help="classes")
    parser.add_argument("--slices", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--on-cpu", type=int, default=100_000, help="samples there")
    parser.add_argument("--no-cpu", action="store_true", help="leave the CPU out")
    parser.add_argument("--profile", action="store_true", help="where one fit spends")
    parser.add_argument("--write", action="store_true", help=f"keep in {RESULTS.name}/")
    arguments = parser.parse_args()
    device = resolve_device(arguments.device)
    about = {
        "device": machine(device),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "shape": [arguments.n, arguments.d, arguments.k],
        "n_slices": arguments.slices,
    }
    text = json.dumps(about | measured(arguments, device), indent=1)
    print(text)
    if arguments.write:
        (RESULTS / f"gpu-{machine(device)}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
