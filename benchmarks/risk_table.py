"""How long does a table of a million rows take, beside polars alone?

    python benchmarks/risk_table.py [--rows 1000000] [--repeats 5] [--write]

The same columns (ids, 6 string classes, texts of about 100 characters, scores and their
errors) are put in a `RiskTable` and in a polars frame with the same made columns (risk,
rank, class support), sorted by rank, written as Parquet and as CSV and read back, in
turn, in one process. A ratio is that of two times of the same turn; figures are medians
over the turns, with their range. The first turn is warm-up and left out.
"""

import argparse
import gc
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from smilearn import RiskTable

RESULTS = Path(__file__).parent / "results" / "risk_table.json"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
MARKERS = "<!-- risk table -->\n", "<!-- end of risk table -->"
HEADER = (
    "| step | polars (range) | `RiskTable` (range) | over polars (range) |\n"
    "|---|---|---|---|"
)
CLASSES = ["sports", "politics", "science", "business", "arts", "travel"]


def columns_of(n_rows):
    """Columns as a person has them: lists of strings, arrays of numbers."""
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(5_000)]
    drawn = rng.integers(0, len(words), (n_rows, 18)).tolist()
    return {
        "id": [f"doc-{i}" for i in range(n_rows)],
        "label": [CLASSES[i] for i in rng.integers(0, 6, n_rows).tolist()],
        "text": [" ".join(map(words.__getitem__, row)) for row in drawn],
        "score": rng.normal(size=n_rows),
        "std": rng.random(n_rows),
    }


def polars_frame(columns):
    return pl.DataFrame(columns).select(
        pl.exclude("score"),
        risk=-pl.col("score"),
        rank=pl.col("score").rank("ordinal"),
        class_support=pl.len().over("label"),
    )


def timed(function, *arguments):
    gc.collect()
    begin = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - begin, result


def one_turn(columns, folder):
    """Seconds of each step, (polars, RiskTable); checks that both ways agree."""
    steps = {}
    built, frame = timed(polars_frame, columns)
    own, table = timed(lambda: RiskTable(**columns))
    steps["build"] = built, own
    built, ordered = timed(frame.sort, "rank")
    own, riskiest = timed(table.riskiest)
    steps["sort"] = built, own
    if ordered["id"].to_list() != riskiest["id"].tolist():
        raise SystemExit("The two orders differ; nothing is to be compared.")
    sizes = {}
    for kind, write, write_own, read in (
        ("Parquet", frame.write_parquet, table.to_parquet, pl.read_parquet),
        ("CSV", frame.write_csv, table.to_csv, pl.read_csv),
    ):
        paths = [folder / f"{name}.{kind.lower()}" for name in ("polars", "table")]
        steps[f"write {kind}"] = (
            timed(write, paths[0])[0],
            timed(write_own, paths[1])[0],
        )
        built, frame_again = timed(read, paths[0])
        own, table_again = timed(RiskTable.read, paths[1])
        steps[f"read {kind}"] = built, own
        if not frame_again["text"].equals(table_again.frame["text"]):
            raise SystemExit("The two texts differ; nothing is to be compared.")
        sizes[kind] = [path.stat().st_size for path in paths]
    return steps, sizes


def with_range(values, unit=""):
    low, high = (f"{value:.2f}" for value in (min(values), max(values)))
    return f"{statistics.median(values):.2f}{unit} ({low} to {high})"


def as_markdown(step, turns):
    polars, own = zip(*(turn[step] for turn in turns), strict=True)
    ratios = [b / a for a, b in zip(polars, own, strict=True)]
    cells = [with_range(polars, " s"), with_range(own, " s"), with_range(ratios)]
    return f"| {step} | {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", action="store_true", help=f"keep in {RESULTS.name}")
    arguments = parser.parse_args()
    columns = columns_of(arguments.rows)
    with tempfile.TemporaryDirectory() as folder:
        one_turn(columns, Path(folder))
        results = [one_turn(columns, Path(folder)) for _ in range(arguments.repeats)]
    turns, sizes = [steps for steps, _ in results], results[0][1]
    table = "\n".join([HEADER, *(as_markdown(step, turns) for step in turns[0])])
    megabytes = [
        f"{kind}: {polars / 2**20:.0f} MB by polars, {own / 2**20:.0f} MB by RiskTable"
        for kind, (polars, own) in sizes.items()
    ]
    table += f"\n\n{arguments.rows:,} rows, {os.cpu_count()} cores. Files of "
    table += "; ".join(megabytes) + ".\n"
    print(table)
    if arguments.write:
        machine = {"machine": platform.machine(), "cores": os.cpu_count()}
        raw = {"rows": arguments.rows, "bytes": sizes, "seconds": turns}
        RESULTS.write_text(json.dumps(machine | raw, indent=1) + "\n")
        start, end = MARKERS
        head, rest = PAGE.read_text().split(start)
        tail = rest.split(end)[1]
        PAGE.write_text(f"{head}{start}{table}{end}{tail}")


if __name__ == "__main__":
    main()
