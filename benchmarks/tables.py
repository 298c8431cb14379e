"""How far are PSMI read from tables from those computed exactly?

    python benchmarks/tables.py [--write]

Both densities, each sample left out and not, 1, 16, 64 and 256 slices, double
precision, on made samples (classes of like sizes; heavy tails and classes of .5 to 60
%) and, where the folder in SMILEARN_DATA (default ``../shared/data``) has them, on the
embeddings of real fine-tunes. The exact path is what the tests compare with as well.
Prints the largest error of any PSMI, in nats; ``--write`` puts the table into
docs/performance.md.
"""

import argparse
from unittest.mock import patch

import numpy as np
from pages import DATA, put, table

from smilearn import SlicedMIScorer
from smilearn.scoring import _reader

SLICES = (1, 16, 64, 256)
KINDS = [
    (f"{density}, {place}", {"density": density, "leave_one_out": left_out})
    for density in ("student", "gaussian")
    for place, left_out in (("left out", True), ("in sample", False))
]


def samples():
    rng = np.random.default_rng(0)
    for n, d, k in ((3_000, 384, 6), (3_000, 64, 20), (2_000, 16, 2)):
        y = rng.integers(0, k, n)
        X = rng.normal(size=(n, d)) + rng.normal(size=(k, d))[y]
        yield f"normal, {n:,} x {d}, K = {k}", X, y
    y = rng.choice(5, 3_000, p=[0.6, 0.3, 0.08, 0.015, 0.005])
    X = rng.standard_t(2.5, size=(3_000, 32)) + rng.normal(size=(5, 32))[y]
    yield "heavy tails, 3,000 x 32, unequal classes", X, y
    for path in sorted((DATA / "lira").glob("*.npz")):
        with np.load(path) as file:
            for moment in ("sentence", "1.31_last"):
                yield f"{path.stem}, {moment}", file[f"X_{moment}"], file["y"]


def scores(X, y, n_slices, options, exact):
    def no_nodes(density, moments):
        return 0 * nodes_needed(density, moments)

    nodes_needed = _reader.nodes_needed
    options = {"pooled": False, "outliers": None, "random_state": 0} | options
    scorer = SlicedMIScorer(n_slices, dtype="float64", **options)
    with patch.object(_reader, "nodes_needed", no_nodes if exact else nodes_needed):
        return scorer.fit(X.astype(np.float64), y).scores_


def largest_error(X, y, n_slices, options):
    read, computed = (scores(X, y, n_slices, options, exact) for exact in (False, True))
    return float(np.abs(read - computed).max())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="docs/performance.md")
    arguments, rows = parser.parse_args(), []
    for name, X, y in samples():
        errors = [[largest_error(X, y, s, o) for s in SLICES] for _, o in KINDS]
        rows.append([name, *(" / ".join(f"{e:.1e}" for e in each) for each in errors)])
        print(rows[-1], flush=True)
    text = table(["samples", *(kind for kind, _ in KINDS)], rows)
    print(text)
    if arguments.write:
        put("performance", "tables", text)


if __name__ == "__main__":
    main()
