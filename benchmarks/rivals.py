"""Which cheap score finds memorized samples? All rivals on real fine-tunes.

    python benchmarks/rivals.py [--write]

Reads ``lira/*.npz`` below the folder in SMILEARN_DATA (default ``../shared/data``), as
``detection.py`` does, and compares all rivals with loss by ``compare_scorers``, before
training (sentence embeddings) and at epochs 0.56 and 1.31 (last layer). ``--write``
puts the tables into docs/baselines.md.
"""

import argparse
import time

import numpy as np
from pages import DATA, put, table
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilearn import HeldOutScorer, SlicedMIScorer, compare_scorers
from smilearn.baselines import (
    LDAScorer,
    LeverageScorer,
    MahalanobisScorer,
    NeighborScorer,
    logit_scores,
    rank_mean,
    trace_scores,
)

SETS = {"rt_2class": "Film reviews, 2 classes", "trec_6class": "Questions, 6 classes"}
EPOCHS = ("0.19", "0.56", "0.94", "1.31")
MODELS = {
    "default": SlicedMIScorer(random_state=0),
    "`pooled=False`": SlicedMIScorer(1000, pooled=False, random_state=0),
    "LDA, left out": LDAScorer(),
    "30 neighbours": NeighborScorer(),
    "probe, in folds": HeldOutScorer(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        n_folds=5,
        prior=None,
        random_state=0,
    ),
    "Mahalanobis, in folds": MahalanobisScorer(),
    "leverage, ridge": LeverageScorer(),
    "leverage, softmax": LeverageScorer(link="softmax"),
}
COLUMNS = ("auc", "fpr_at_tpr_0.75", "tpr_at_fpr_0.01", "precision_in_top_0.1")
MARKS = {"better": " +", "worse": " -", "even": ""}


def scores_at(data, moment):
    """Scores of every rival that a moment allows, low = at risk."""
    y = data["y"]
    X = data["X_sentence" if moment == "before" else f"X_{moment}_last"]
    X = X.astype(np.float64)
    scores = {}
    for name, model in MODELS.items():
        fitted = model.fit(X, y)
        scores[name] = getattr(fitted, "margin_", fitted.scores_)
    if moment == "before":
        return scores
    logits = data[f"logits_{moment}"].astype(np.float64)
    loss = {"loss": logit_scores(logits, y)}
    for kind in ("el2n", "entropy", "grand"):
        loss[kind] = logit_scores(logits, y, kind=kind, features=X)
    history = [data[f"logits_{e}"] for e in EPOCHS[: EPOCHS.index(moment) + 1]]
    for kind in ("aum", "cumulative_loss"):
        loss[f"{kind} so far"] = trace_scores(history, y, kind=kind)
    loss["rank mean of default and loss"] = rank_mean(scores["default"], loss["loss"])
    return loss | scores


def comparison(data, moment):
    scores = scores_at(data, moment)
    reference = "loss" if "loss" in scores else None
    start = time.perf_counter()
    found = compare_scorers(
        scores, lira=data["lira"], reference=reference, random_state=0
    )
    return found, time.perf_counter() - start


def markdown(found):
    """A row a scorer; what differs from loss is marked."""
    has_verdict = "verdict" in found.columns
    verdict = found["verdict"] if has_verdict else np.full(len(found), "even")
    rows = {}
    for place, name in enumerate(found["scorer"].tolist()):
        if found["metric"][place] in COLUMNS:
            value, low, high = (found[c][place] for c in ("value", "low", "high"))
            cell = f"{value:.3f} [{low:.2f}, {high:.2f}]{MARKS[verdict[place]]}"
            rows.setdefault(name, [name]).append(cell)
    return table(
        ["score", "AUC", "FPR at TPR .75", "TPR at FPR .01", "top tenth"], rows.values()
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    write, parts = parser.parse_args().write, []
    for name, title in SETS.items():
        data = np.load(DATA / "lira" / f"{name}.npz")
        for moment in ("before", "0.56", "1.31"):
            found, seconds = comparison(data, moment)
            when = "before training" if moment == "before" else f"epoch {moment}"
            part = f"### {title}, {when}\n\n{markdown(found)}"
            print(f"{part}\n(compared in {seconds:.1f} s)\n", flush=True)
            parts.append(part)
    if write:
        put("baselines", "rivals", "\n".join(parts))


if __name__ == "__main__":
    main()
