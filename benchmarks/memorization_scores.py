"""All predictors at one moment against the truth, for ``memorization.py``.

Scores of the two runs are put together by their ranks within each run, as a loss or a
PSMI of one run is not on the scale of the other.
"""

import numpy as np
from memorization_moments import LAYERS
from scipy.stats import rankdata
from sklearn.model_selection import StratifiedKFold, cross_val_score

from smilearn import SlicedMIScorer, compare_scorers
from smilearn.baselines import (
    LDAScorer,
    LeverageScorer,
    MahalanobisScorer,
    NeighborScorer,
    ProbeScorer,
    logit_scores,
    rank_mean,
)

DEFAULT = SlicedMIScorer(random_state=0)
MODELS = {
    "score": DEFAULT,
    "psmi": SlicedMIScorer(1_000, pooled=False, random_state=0),
    "LDA, left out": LDAScorer(),
    "30 neighbours": NeighborScorer(),
    "probe, in folds": ProbeScorer(),
    "Mahalanobis, in folds": MahalanobisScorer(),
    "leverage, softmax": LeverageScorer(link="softmax"),
}
OF_LOGITS = {
    "loss": "loss",
    "margin": "margin",
    "EL2N": "el2n",
    "entropy": "entropy",
    "grand": "grand",
}
RIVAL = "LDA, left out"
FUSION, EARLY_LOSS = "rank mean of score and loss", "loss, at the early point"
N_TENTHS = 10
COLUMNS = (
    "value",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "verdict",
)


def compared(pool, audit, halves, at, early):
    """Compare all predictors of a moment.

    Parameters
    ----------
    pool : Pool
        Texts and labels.

    audit : ShadowAudit or None
        The truth, where it was measured.

    halves : list of ndarray
        Rows of each run.

    at, early : list of dict
        Each run at the moment, and at the early point.

    Returns
    -------
    result : dict
        Progress, the layer, and a table for each truth.
    """
    labels = [pool.y[rows] for rows in halves]
    log_likelihoods = np.mean(
        [layer_scores(run["X"], y) for run, y in zip(at, labels, strict=True)], 0
    )
    layer, layers = int(np.argmax(log_likelihoods)), log_likelihoods.tolist()
    scores = joined(
        halves,
        [
            predictors(run["X"], layer, y, run.get("logits"))
            for run, y in zip(at, labels, strict=True)
        ],
    )
    reference = "loss"
    if "loss" not in scores:
        reference = EARLY_LOSS
        losses = [
            {reference: logit_scores(run["logits"], y)}
            for run, y in zip(early, labels, strict=True)
        ]
        scores |= joined(halves, losses)
    progress = ("epoch", "reached", "share_fitted", "median_loss")
    return {
        "runs": [{k: run[k].item() for k in progress if k in run} for run in at],
        "layer": LAYERS[layer],
        "mean_log_probability": dict(zip(map(str, LAYERS), layers, strict=True)),
        "reference": reference,
        **tables(pool, audit, scores, reference),
    }


def layer_scores(X, y):
    """Mean log probability of the labels by each layer, on folds not fitted."""
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return [
        cross_val_score(DEFAULT, X[:, layer], y, cv=folds).mean()
        for layer in range(X.shape[1])
    ]


def predictors(states, layer, y, logits):
    """Scores of one run by each predictor, low = at risk."""
    X, last = (states[:, each].astype(np.float64) for each in (layer, -1))
    scores = {name: model.fit(X, y).scores_ for name, model in MODELS.items()}
    if logits is None:
        return scores
    losses = {
        name: logit_scores(logits, y, kind=kind, features=last)  # what the head reads
        for name, kind in OF_LOGITS.items()
    }
    return losses | scores | {FUSION: rank_mean(scores["score"], losses["loss"])}


def joined(halves, runs):
    """Scores of all texts: ranks within the run of each, divided by its size."""
    n_texts = sum(map(len, halves))
    scores = {name: np.empty(n_texts) for name in runs[0]}
    for rows, run in zip(halves, runs, strict=True):
        for name, values in run.items():
            scores[name][rows] = rankdata(values) / len(rows)
    return scores


def tables(pool, audit, scores, reference):
    """Compare with what was memorized, with flips, and with what people say."""
    clean = ~pool.flipped
    found = {"flips": against(scores, pool.flipped, None, reference)}
    if audit is not None:
        for name, rows in (("", clean | True), (", without flips", clean)):
            found[f"memorized{name}"] = against_audit(audit, scores, rows, reference)
        two = {name: scores[name] for name in ("score", RIVAL)}
        found["score and LDA"] = against_audit(audit, two, clean | True, RIVAL)
    known, truth, graded = human_truth(pool)
    if known is None or truth[known].all() or not truth[known].any():
        return found
    human = {name: values[known] for name, values in scores.items()}
    if audit is not None:
        human["the audit itself"] = -audit.lira_[known]
    graded = None if graded is None else graded[known]
    found["people"] = against(human, truth[known], graded, reference)
    found["tenths"] = {
        name: tenths(human[name], truth[known] if graded is None else graded)
        for name in ("score", reference)
    }
    return found


def human_truth(pool):
    """Rows that people judged and we left alone, those they dispute, and how much."""
    if pool.disagreement is not None:
        known = ~pool.flipped & np.isfinite(pool.disagreement)
        return known, pool.disagreement > 0.5, pool.disagreement
    if pool.found_wrong is not None:
        return ~pool.flipped, pool.found_wrong, None
    return None, None, None


def tenths(scores, truth):
    """Mean of the truth in each tenth by risk, the riskiest first."""
    parts = np.array_split(np.argsort(scores, kind="stable"), N_TENTHS)
    return [float(truth[part].mean()) for part in parts]


def against_audit(audit, scores, rows, reference):
    table = compare_scorers(
        {name: values[rows] for name, values in scores.items()},
        lira=audit.lira_[rows],
        reference=reference,
        truth=lambda models: audit.lira_of(models)[rows],
        n_models=audit.n_shadow,
        random_state=0,
    )
    return as_dict(table, table["scorer"], table["metric"])


def against(scores, truth, graded, reference):
    table = compare_scorers(
        scores, truth, lira=graded, reference=reference, random_state=0
    )
    return as_dict(table, table["scorer"], table["metric"])


def as_dict(table, outer, inner):
    """Names outside and inside of each row -> its `COLUMNS`."""
    found, columns = {}, [table[name].tolist() for name in COLUMNS]
    for row, names in enumerate(zip(outer, inner, strict=True)):
        cells = [column[row] for column in columns]
        found.setdefault(str(names[0]), {})[str(names[1])] = cells
    return found
