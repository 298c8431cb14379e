"""How far are scores read from tables from those computed exactly?

    python benchmarks/tables.py [--write]

Both densities, each sample left out and not, 1, 16, 64 and 256 slices, double
precision, on made samples (classes of like sizes; heavy tails and classes of .5 to 60
%) and, where the folder in SMILEARN_DATA (default ``../shared/data``) has them, on the
embeddings of real fine-tunes. The exact path is what the tests compare with as well.
Prints the largest error of any score, in nats; ``--write`` puts the table into
docs/performance.md.
"""

import argparse
import os
from pathlib import Path
from unittest.mock import patch

import numpy as np

from smilearn import SlicedMIScorer
from smilearn.scoring import _engine

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SMILEARN_DATA", HERE.parent.parent / "shared" / "data"))
PAGE = HERE.parent / "docs" / "performance.md"
SLICES = (1, 16, 64, 256)
KINDS = [
    (f"{density}, {place}", {"density": density, "leave_one_out": left_out})
    for density in ("student", "gaussian")
    for place, left_out in (("left out", True), ("in sample", False))
]
HEADER = (
    f"| samples | {' | '.join(kind for kind, _ in KINDS)} |\n"
    f"|{'---|' * (len(KINDS) + 1)}"
)


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
    def no_table(density, moments):
        return 0 * nodes_needed(density, moments)

    nodes_needed = _engine.nodes_needed
    scorer = SlicedMIScorer(
        n_slices, slicing="isotropic", dtype="float64", random_state=0, **options
    )
    with patch.object(_engine, "nodes_needed", no_table if exact else nodes_needed):
        return scorer.fit(X.astype(np.float64), y).scores_


def largest_error(X, y, n_slices, options):
    read, computed = (scores(X, y, n_slices, options, exact) for exact in (False, True))
    return float(np.abs(read - computed).max())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"keep in {PAGE.name}")
    arguments = parser.parse_args()
    lines = [HEADER]
    print(HEADER)
    for name, X, y in samples():
        errors = [[largest_error(X, y, s, o) for s in SLICES] for _, o in KINDS]
        cells = [" / ".join(f"{error:.1e}" for error in both) for both in errors]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    if arguments.write:
        head, rest = PAGE.read_text().split("<!-- tables -->\n")
        tail = rest.split("<!-- end of tables -->")[1]
        table = "\n".join(lines)
        PAGE.write_text(f"{head}<!-- tables -->\n{table}\n<!-- end of tables -->{tail}")


if __name__ == "__main__":
    main()
