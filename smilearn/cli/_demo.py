"""The demonstration: planted label flips, found before and early."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score

from smilearn.cli._score import Outcome, score_texts
from smilearn.datasets import flip_labels, load_rotten_tomatoes, packaged_minilm
from smilearn.filtering._filter import RiskFilter
from smilearn.report._report import write_report
from smilearn.tables._io import write_frame

FLIPPED_SHARE = 0.03
REMOVED_SHARE = 0.05
_SHARES = (0.03, 0.10)


@dataclass
class Demo:
    """What the demonstration found."""

    outcome: Outcome
    flipped: np.ndarray
    comparison: list
    kept_flips: int
    files: dict


def run_demo(folder, *, n_samples, max_epochs, seed=0, verbose=False):
    """Score film reviews with flipped labels, filter them, write table and report."""
    reviews = load_rotten_tomatoes(n_samples, random_state=seed)
    codes, flipped = flip_labels(reviews.labels, FLIPPED_SHARE, random_state=seed)
    labels = np.array(reviews.target_names)[codes]
    common = {"model": packaged_minilm(), "seed": seed, "verbose": verbose}
    before = score_texts(reviews.texts, labels, moment="before", **common)
    early = score_texts(reviews.texts, labels, max_epochs=max_epochs, **common)
    comparison = [
        _found("PSMI, before any training", before.table["risk"], flipped),
        _found("PSMI, at the early point", early.table["risk"], flipped),
        _found("plain loss, at the early point", early.embedder.losses_, flipped),
    ]
    files = {
        name: Path(folder) / name for name in ("risk.csv", "kept.csv", "report.html")
    }
    early.table.to_csv(files["risk.csv"])
    rows = RiskFilter(early.table, share=REMOVED_SHARE).fit(None, labels)
    data = pl.DataFrame({"text": reviews.texts, "label": labels})
    write_frame(data[rows.sample_indices_], files["kept.csv"])
    _report(early, comparison, flipped, files["report.html"])
    kept_flips = int(flipped[rows.support_].sum())
    return Demo(early, flipped, comparison, kept_flips, files)


def _found(name, risk, flipped):
    """Count the planted flips among the riskiest samples."""
    order = np.argsort(-np.asarray(risk), kind="stable")
    counts = [int(flipped[order[: round(s * len(order))]].sum()) for s in _SHARES]
    auc = float(roc_auc_score(flipped, risk))
    return {"name": name, "top 3 %": counts[0], "top 10 %": counts[1], "auc": auc}


def _report(early, comparison, flipped, path):
    rows = [
        [row["name"], row["top 3 %"], row["top 10 %"], f"{row['auc']:.3f}"]
        for row in comparison
    ]
    header = ["predictor", "flips in top 3 %", "flips in top 10 %", "AUC"]
    write_report(
        early.table,
        path,
        title="Film reviews with flipped labels",
        facts=[
            f"{len(flipped)} Rotten Tomatoes sentences; {flipped.sum()} labels were "
            "flipped on purpose, with a fixed seed.",
            "Embeddings of MiniLM, fine-tuned to the early point.",
        ],
        tables=[{"title": "Planted flips found", "header": header, "rows": rows}],
        embedder=early.embedder,
    )
