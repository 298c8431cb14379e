"""Which score ranks memorized samples best? Real fine-tunes with LiRA ground truth.

    python benchmarks/detection.py [--write]

Reads ``lira/*.npz`` below the folder in SMILEARN_DATA (default ``../shared/data``):
embeddings, labels, logits and LiRA of the training half of real fine-tunes. Memorized
is the top tenth by LiRA. Prints AUC / FPR at TPR 0.75 / TPR at FPR 0.01 at each moment,
and the mean difference in AUC to isotropic slices with a 95 % bootstrap interval over
samples. ``--write`` puts the tables into docs/detection.md.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from smilearn import SlicedMIScorer
from smilearn.metrics import fpr_at_tpr, tpr_at_fpr

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SMILEARN_DATA", HERE.parent.parent / "shared" / "data"))
PAGE = HERE.parent / "docs" / "detection.md"
RESULTS = HERE / "results" / "detection.json"
N_SLICES, SEEDS, N_BOOTSTRAP = 1_000, (0, 1, 2), 1_000
PLAIN = {"slicing": "isotropic"}
SETTINGS = {
    "isotropic, student, left out": PLAIN,
    "default: adaptive": {},
    "joint": {"slicing": "joint"},
    "isotropic, gaussian, left out": PLAIN | {"density": "gaussian"},
    "isotropic, student, in sample": PLAIN | {"leave_one_out": False},
    "isotropic, gaussian, in sample (the paper)": PLAIN
    | {"density": "gaussian", "leave_one_out": False},
}
PLAIN_ROW, *_ = SETTINGS


def margin(logits, y):
    own = logits[np.arange(len(y)), y]
    others = logits.copy()
    others[np.arange(len(y)), y] = -np.inf
    return others.max(1) - own


def psmi_package(X, y, seed):
    from psmi import PSMI

    np.random.seed(seed)  # noqa: NPY002 -- the package draws from the global stream
    return -PSMI(n_estimators=N_SLICES).fit_transform(X.astype(np.float64), y)[0]


def predictors(data, moment, with_package):
    """Risk of each sample by each predictor: name -> (n_runs, n_samples)."""
    X, y = data[f"X_{moment}"].astype(np.float32), data["y"]
    risks = {
        name: [
            -SlicedMIScorer(N_SLICES, random_state=seed, **options).fit(X, y).scores_
            for seed in SEEDS
        ]
        for name, options in SETTINGS.items()
    }
    if with_package:
        risks["package psmi 0.2.0"] = [psmi_package(X, y, seed) for seed in SEEDS]
    stage = moment.removesuffix("_last")
    if f"loss_{stage}" in data:
        risks["loss"] = [data[f"loss_{stage}"]]
        risks["margin"] = [margin(data[f"logits_{stage}"], y)]
    return {name: np.stack(runs) for name, runs in risks.items()}


def quality(memorized, runs):
    measures = (roc_auc_score, fpr_at_tpr, tpr_at_fpr)
    return [float(np.mean([m(memorized, risk) for risk in runs])) for m in measures]


def auc_differences(memorized, moments, name, rng):
    """Mean over moments of AUC(isotropic) - AUC(name), with its bootstrap interval."""

    def mean_difference(rows):
        truth = memorized[rows]
        gaps = [
            roc_auc_score(truth, risks[PLAIN_ROW][0][rows])
            - roc_auc_score(truth, risks[name][0][rows])
            for risks in moments
            if name in risks
        ]
        return np.mean(gaps)

    n = len(memorized)
    draws = [mean_difference(rng.integers(0, n, n)) for _ in range(N_BOOTSTRAP)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return [float(mean_difference(np.arange(n))), float(low), float(high)]


def evaluate(path, with_package):
    with np.load(path) as file:
        data = dict(file)
    memorized = data["lira"] >= np.quantile(data["lira"], 0.9)
    names = ["sentence", "base_low", *(f"{stage}_last" for stage in data["stages"])]
    moments = [predictors(data, name, with_package) for name in names]
    table = {
        moment: {name: quality(memorized, runs) for name, runs in risks.items()}
        for moment, risks in zip(names, moments, strict=True)
    }
    rng = np.random.default_rng(0)
    rivals = [name for name in moments[-1] if name != PLAIN_ROW]
    gaps = {name: auc_differences(memorized, moments, name, rng) for name in rivals}
    counts = np.bincount(data["y"]).tolist()
    return {"class_sizes": counts, "quality": table, "auc_gap_to_isotropic": gaps}


def as_markdown(name, result):
    names = list(dict.fromkeys(n for row in result["quality"].values() for n in row))
    lines = [
        f"### {name}, classes of {', '.join(map(str, result['class_sizes']))}",
        "",
        f"| moment | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    for moment, row in result["quality"].items():
        cells = [
            "/".join(f"{value:.3f}"[1:] if value < 1 else "1" for value in row[n])
            if n in row
            else "-"
            for n in names
        ]
        lines.append(f"| {moment} | {' | '.join(cells)} |")
    lines += [
        "",
        "| AUC of isotropic slices minus that of | mean over moments | 95 % interval |",
        "|---|---|---|",
    ]
    for rival, (gap, low, high) in result["auc_gap_to_isotropic"].items():
        lines.append(f"| {rival} | {gap:+.4f} | {low:+.4f} to {high:+.4f} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="update docs/detection.md")
    arguments = parser.parse_args()
    paths = sorted((DATA / "lira").glob("*.npz"))
    if not paths:
        print(f"Skipped: no truth files in {DATA / 'lira'}; set SMILEARN_DATA.")
        return
    try:
        import psmi  # noqa: F401

        with_package = True
    except ModuleNotFoundError:
        with_package = False
        print("The package psmi is not installed; its column is left out.")
    results = {path.stem: evaluate(path, with_package) for path in paths}
    tables = "\n".join(as_markdown(name, result) for name, result in results.items())
    print(tables)
    if arguments.write:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        head, rest = PAGE.read_text().split("<!-- tables -->\n")
        tail = rest.split("<!-- end of tables -->")[1]
        PAGE.write_text(f"{head}<!-- tables -->\n{tables}<!-- end of tables -->{tail}")


if __name__ == "__main__":
    main()
