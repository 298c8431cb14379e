"""Does the score find memorized samples? Real fine-tunes with LiRA as ground truth.

    python benchmarks/detection.py [--write]

Reads ``lira/*.npz`` in the folder in SMILEARN_DATA (default ``../shared/data``):
embeddings, logits and losses of checkpoints of a fine-tune, and the LiRA score of each
sample; and the truth files of ``memorization.py``, before any training: three layers of
the base model, and its sentence embedding. Memorized is the top tenth by LiRA. Prints
AUC / FPR at TPR 0.75 of the score and of simpler ones at each moment, the mean over the
sentence embedding and the last layer of checkpoints up to epoch 2.5, the mean later,
differences of the former with 95 % bootstrap intervals over samples, and what the pool
has chosen. ``--write`` puts the tables into docs/detection.md.
"""

import argparse
from unittest.mock import patch

import numpy as np
from pages import DATA, keep, put, table
from truth import Truth, measures_of

from smilearn import HiddenStateEmbedder, SentenceEmbedder, SlicedMIScorer
from smilearn.datasets import packaged_minilm
from smilearn.scoring import _model

N_SLICES, N_BOOTSTRAP, EARLY = 1_000, 1_000, 2.5
PAPER = {"pooled": False, "density": "gaussian", "leave_one_out": False}
SETTINGS = {
    "default": {},
    "LDA and prior alone": {},
    "`pooled=False`": {"pooled": False},
    "the paper: gaussian, in sample": PAPER,
}
NAMES = [*SETTINGS, "loss"]
MEANS = ["mean up to epoch 2.5", "later"]


def fitted(name, X, y):
    """A scorer; for LDA alone, slices would have to save more than can be saved."""
    least = np.inf if name == "LDA and prior alone" else _model._LEAST_GAIN
    with patch.object(_model, "_LEAST_GAIN", least):
        scorer = SlicedMIScorer(N_SLICES, random_state=0, **SETTINGS[name])
        return scorer.fit(X.astype(np.float32), y)


def at_moment(data, moment):
    """Risks by name, and what the pool has chosen."""
    X, y = data[f"X_{moment}"], data["y"]
    scorers = {name: fitted(name, X, y) for name in SETTINGS}
    risks = {name: -scorer.scores_ for name, scorer in scorers.items()}
    loss = f"loss_{moment.removesuffix('_last')}"
    if loss in data:
        risks["loss"] = data[loss]
    return risks, scorers["default"].pool_


def data_of(truth):
    """Of a truth file, what the files in ``lira`` hold."""
    model = packaged_minilm()
    spread = HiddenStateEmbedder(model, layer="spread").fit_transform(truth.texts)
    return {
        "y": truth.label,
        "lira": truth.lira(),
        "stages": np.array([]),
        "X_sentence": SentenceEmbedder(model).fit_transform(truth.texts),
        "X_spread": spread,
    }


def evaluate(data):
    """Quality at each moment and on average, differences, and the pool."""
    memorized = data["lira"] >= np.quantile(data["lira"], 0.9)
    n, rng = len(memorized), np.random.default_rng(0)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=N_BOOTSTRAP)
    weights = np.vstack([np.ones(n), weights])  # the first row: the samples as they are
    stages = data["stages"].tolist()
    moments = ["sentence", "spread", "base_low", *(f"{each}_last" for each in stages)]
    moments = [moment for moment in moments if f"X_{moment}" in data]
    found, pools = {}, {}
    for moment in moments:
        risks, pools[moment] = at_moment(data, moment)
        found[moment] = {
            name: measures_of(memorized, risk, weights) for name, risk in risks.items()
        }
    late = [f"{stage}_last" for stage in stages if float(stage) > EARLY]
    early = [m for m in moments if m not in late and m != "base_low"]
    for title, some in zip(MEANS, (early, late), strict=True):
        if not stages:
            continue
        found[title] = {
            name: np.mean([found[m][name] for m in some if name in found[m]], 0)
            for name in NAMES
        }
    gaps = {}
    for name in NAMES[1:]:
        some = [m for m in early if name in found[m]]
        if not some:
            continue
        gap = np.mean([found[m]["default"] - found[m][name] for m in some], 0)
        gaps[name] = np.stack([gap[0], *np.quantile(gap[1:], [0.025, 0.975], axis=0)])
    return {
        "class_sizes": np.unique(data["y"], return_counts=True)[1].tolist(),
        "quality": {
            moment: {name: values[0].tolist() for name, values in each.items()}
            for moment, each in found.items()
        },
        "default_minus": {name: gap.T.tolist() for name, gap in gaps.items()},
        "pool": pools,
    }


def short(values):
    return " / ".join(f"{value:.3f}".removeprefix("0") for value in values)


def as_markdown(name, result):
    rows = []
    for moment, found in result["quality"].items():
        cells = [short(found[name]) if name in found else "-" for name in NAMES]
        pool = result["pool"].get(moment)
        chosen = ["", "", "", ""]
        if pool:
            w = pool["weights"]
            chosen = [f"{w[part]:.2f}" for part in ("lda", "slices", "prior")]
            chosen.append(f"{pool['shrinkage']:.2f}")
        rows.append([moment, *cells, *chosen])
    pool_names = ["w LDA", "w slices", "w prior", "shrinkage"]
    gaps = [
        [
            name,
            *(f"{gap:+.3f} ({low:+.3f} to {high:+.3f})" for gap, low, high in values),
        ]
        for name, values in result["default_minus"].items()
    ]
    sizes = ", ".join(map(str, result["class_sizes"]))
    when = MEANS[0] if MEANS[0] in result["quality"] else "mean before training"
    return "\n".join(
        [
            f"### {name}, classes of {sizes}\n",
            table(["moment", *NAMES, *pool_names], rows),
            table([f"default minus, {when}", "AUC", "FPR"], gaps),
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="update docs/detection.md")
    arguments = parser.parse_args()
    paths = sorted((DATA / "lira").glob("*.npz"))
    if not paths:
        print(f"Skipped: no truth files in {DATA / 'lira'}; set SMILEARN_DATA.")
        return
    results = {}
    for path in paths:
        with np.load(path) as file:
            results[path.stem] = evaluate(dict(file))
    for truth in Truth.all():
        results[truth.name] = evaluate(data_of(truth))
    tables = "\n".join(as_markdown(name, result) for name, result in results.items())
    print(tables)
    if arguments.write:
        keep("detection", results)
        put("detection", "tables", tables)


if __name__ == "__main__":
    main()
