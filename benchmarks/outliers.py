"""What do outliers do to the scores, and does `outliers` prevent it?

    python benchmarks/outliers.py [--write]

Reads ``lira/*.npz`` in the folder in SMILEARN_DATA (default ``../shared/data``).
Plants 1, 3 or 10 samples in one class of real embeddings, some spreads from its mean
(a spread is the root mean square distance from it), in one place or scattered, and
scores all with 256 slices, once with ``outliers=None`` and once with ``outliers=5.0``.
Prints the rank of the planted samples, which is the share of the other samples of their
class that score below them, and the AUC of the others against LiRA (memorized: the top
tenth). Means over four sets and three seeds. Also counts the samples of each moment as
it is, nothing planted, that lie beyond some ratios. ``--write`` puts the tables into
docs/detection.md.
"""

import argparse

import numpy as np
from pages import DATA, keep, put, table
from sklearn.metrics import roc_auc_score

from smilearn import SlicedMIScorer

N_SLICES, SEEDS, RATIOS = 256, (0, 1, 2), (2.0, 3.0, 5.0)
# truth file, moment, class that gets the planted samples
SETS = [
    ("rt_2class", "sentence", 0),
    ("trec_6class", "sentence", 1),
    ("trec_6class", "0.56_last", 1),
    ("trec_6class", "sentence", 0),  # the class of 18
]
SETTINGS = {
    "default": {},
    "`pooled=False`": {"pooled": False},
    "the paper: gaussian, in sample": {
        "pooled": False,
        "density": "gaussian",
        "leave_one_out": False,
    },
}
WAYS = {"all fitted": None, "`outliers=5.0`": 5.0}
# how many, how many spreads away, whether in one place
CASES = {
    "none": None,
    "1 at 10": (1, 10, True),
    "1 at 100": (1, 100, True),
    "3 at 3 c": (3, 3, True),
    "3 at 10 c": (3, 10, True),
    "3 at 100 s": (3, 100, False),
    "10 at 100 c": (10, 100, True),
    "3 at 100,000 c": (3, 100_000, True),
}


def planted(X, y, label, case, seed):
    """X and y with far samples of a class behind the others."""
    if case is None:
        return X, y
    count, spreads, together = case
    rng = np.random.default_rng(seed)
    own = X[y == label]
    mean = own.mean(0)
    spread = np.sqrt(((own - mean) ** 2).sum(1).mean())
    ways = rng.normal(size=(1 if together else count, X.shape[1]))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    # not at one point: each a little off, as some sample of the class is
    off = 0.3 * (own[rng.integers(0, len(own), count)] - mean)
    far = mean + spreads * spread * ways + off
    return np.concatenate([X, far]), np.append(y, np.full(count, label))


def run_case(data, label, case, options, outliers, seed):
    """Rank of the planted samples, AUC of the others, outliers found among each."""
    X, y, memorized = data
    n = len(y)
    some, labels = planted(X, y, label, case, seed)
    scorer = SlicedMIScorer(N_SLICES, random_state=seed, outliers=outliers, **options)
    scores = scorer.fit(some.astype(np.float32), labels).scores_
    own = np.sort(scores[:n][y == label])
    below = np.searchsorted(own, scores[n:]) / len(own)
    return [
        float(below.mean()) if case else None,
        roc_auc_score(memorized, -scores[:n]),
        int(scorer.outliers_[n:].sum()),
        int(scorer.outliers_[:n].sum()),
    ]


def loaded(name, moment):
    with np.load(DATA / "lira" / f"{name}.npz") as file:
        memorized = file["lira"] >= np.quantile(file["lira"], 0.9)
        return file[f"X_{moment}"].astype(np.float64), file["y"], memorized


def evaluate():
    """One row for each set, setting, case and way: means over seeds."""
    rows = []
    for name, moment, label in SETS:
        data = loaded(name, moment)
        place = f"{name} {moment}, class of {(data[1] == label).sum()}"
        print(place, flush=True)
        for setting, options in SETTINGS.items():
            for case, what in CASES.items():
                for way, ratio in WAYS.items():
                    runs = [
                        run_case(data, label, what, options, ratio, seed)
                        for seed in SEEDS
                    ]
                    ranks, areas, found, wrong = zip(*runs, strict=True)
                    row = {"set": place, "setting": setting, "case": case, "way": way}
                    row["rank"] = float(np.mean(ranks)) if what else None
                    row["auc"] = float(np.mean(areas))
                    row |= {"planted_found": sum(found), "others_found": sum(wrong)}
                    rows.append(row)
    return rows


def flagged():
    """Samples beyond each ratio in each moment with nothing planted."""
    counts = {}
    for path in sorted((DATA / "lira").glob("*.npz")):
        with np.load(path) as file:
            names = ["sentence", "base_low", *(f"{s}_last" for s in file["stages"])]
            for name in names:
                X, y = file[f"X_{name}"].astype(np.float32), file["y"]
                scorers = [
                    SlicedMIScorer(1, pooled=False, outliers=ratio).fit(X, y)
                    for ratio in RATIOS
                ]
                found = [int(scorer.outliers_.sum()) for scorer in scorers]
                counts[f"{path.stem} {name}"] = found
    return counts


def mean_of(rows, measure, **wanted):
    values = [
        row[measure]
        for row in rows
        if all(row[name] == value for name, value in wanted.items())
    ]
    return None if None in values else float(np.mean(values))


def without_zero(value):
    return "-" if value is None else f"{value:.3f}"[1:] if value < 0.9995 else "1"


def cells(rows, **wanted):
    """Rank / AUC of each case."""
    return [
        " / ".join(
            without_zero(mean_of(rows, name, case=case, **wanted))
            for name in ("rank", "auc")
        )
        for case in CASES
    ]


def as_markdown(rows, counts):
    everywhere = [
        [f"{setting}, {way}", *cells(rows, setting=setting, way=way)]
        for setting in SETTINGS
        for way in WAYS
    ]
    kept = {"setting": "default", "way": "`outliers=5.0`"}
    places = dict.fromkeys(row["set"] for row in rows)
    by_place = [[place, *cells(rows, set=place, **kept)] for place in places]
    beyond = [f"beyond {ratio:g}" for ratio in RATIOS]
    return "\n".join(
        [
            table(["rank / AUC", *CASES], everywhere),
            table(["default, `outliers=5.0`, in", *CASES], by_place),
            table(
                ["nothing planted", *beyond],
                [[name, *found] for name, found in counts.items() if any(found)],
            ),
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="update docs/detection.md")
    arguments = parser.parse_args()
    if not any((DATA / "lira").glob("*.npz")):
        print(f"Skipped: no truth files in {DATA / 'lira'}; set SMILEARN_DATA.")
        return
    rows, counts = evaluate(), flagged()
    tables = as_markdown(rows, counts)
    print(tables)
    if arguments.write:
        beyond = {"ratios": RATIOS, "counts": counts}
        keep("outliers", {"rows": rows, "beyond": beyond})
        put("detection", "outliers", tables)


if __name__ == "__main__":
    main()
