"""Scores of the baselines stay what they are (golden/baselines.json)."""

import numpy as np
import pytest
from golden_files import check_golden, fitted, made_samples, sample

from smilearn import baselines

X, Y = made_samples()
X_NEW, Y_NEW = made_samples(40, seed=8)
RIVALS = {
    "LDAScorer": baselines.LDAScorer(),
    "LDAScorer, shrinkage 0.1": baselines.LDAScorer(shrinkage=0.1),
    "LeverageScorer": baselines.LeverageScorer(),
    "LeverageScorer, softmax": baselines.LeverageScorer(link="softmax", alpha=0.1),
    "MahalanobisScorer": baselines.MahalanobisScorer(),
    "MahalanobisScorer, not in folds": baselines.MahalanobisScorer(cross_fit=None),
    "NeighborScorer": baselines.NeighborScorer(),
    "NeighborScorer, distance": baselines.NeighborScorer(
        7, weights="distance", metric="cosine"
    ),
}


@pytest.mark.parametrize("name", RIVALS)
def test_baselines(name):
    model = RIVALS[name].fit(X, Y)
    result = {
        "attributes": fitted(model),
        "scores": sample(model.scores_),
        "new": sample(model.score_samples(X_NEW, Y_NEW)),
        "best": sample(model.score_samples(X_NEW)),
        "table": sample(model.score_table(X_NEW), step=20),
    }
    # solved in steps
    iterative = name == "LeverageScorer, softmax"
    check_golden("baselines", name, result, tolerance=1e-6 if iterative else 1e-10)


def test_scores_of_logits_and_traces():
    rng = np.random.default_rng(3)
    history, codes = rng.normal(size=(5, 30, 3)), rng.integers(0, 3, 30)
    result = {
        kind: baselines.logit_scores(history[0], codes, kind=kind)
        for kind in ("loss", "margin", "el2n", "entropy")
    }
    result["grand"] = baselines.logit_scores(
        history[0], codes, kind="grand", features=history[1]
    )
    for kind in ("aum", "cumulative_loss", "forgetting", "loss_iqr"):
        result[kind] = baselines.trace_scores(history, codes, kind=kind)
    result["rank_mean"] = baselines.rank_mean(result["loss"], result["aum"])
    result = {name: sample(values) for name, values in result.items()}
    check_golden("baselines", "logits and traces", result)
