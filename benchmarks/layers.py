"""What to embed before any training: the sentence embedding, or three layers?

    python benchmarks/layers.py [--write] [--cache FOLDER]

Reads the folder in SMILEARN_DATA (default ``../shared/data``). Of each text set of
``flips.py`` 2,000 texts are drawn and embedded with the packaged MiniLM before any
training; 3.3 % of them get a wrong label, three times over, and the scorer ranks them.
Prints flip AUC and the share of the flips in the riskiest tenth, and what three layers
side by side (``layer="spread"``) add to the sentence embedding, with a 95 % bootstrap
interval over texts. Planted flips are a proxy. The two truth files in ``lira`` hold no
texts, but those with 2 classes are found by their sentence embeddings in the film
reviews, so that all layers of the base model can be had; with 6 classes there is layer
4. Prints AUC / FPR at TPR 0.75 of the memorized tenth, before training and early: there
layers 5 and 6 are trained and those below are as they were. ``--write`` puts the tables
into docs/detection.md.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from flips import N_SAMPLES, SEEDS, SETS, SHARE, rows_of
from pages import DATA, put
from sklearn.metrics import roc_auc_score

from smilearn import HiddenStateEmbedder, SentenceEmbedder, SlicedMIScorer
from smilearn.datasets import flip_labels, packaged_minilm
from smilearn.metrics import fpr_at_tpr

N_BOOTSTRAP = 300
TOP = 0.1
LAYERS = [2, 4, 6]


def risk_of(X, y):
    return -SlicedMIScorer(random_state=0).fit(X, y).scores_


def sentences_of(texts, cache):
    return SentenceEmbedder(packaged_minilm(), cache_folder=cache).fit_transform(texts)


def layers_of(texts, cache):
    """Hidden states of the layers, (n, 3, d)."""
    embedder = HiddenStateEmbedder(packaged_minilm(), layer=LAYERS, cache_folder=cache)
    return embedder.fit_transform(texts)


def side_by_side(*blocks):
    """Blocks (n, d) in one matrix, each of unit spread, as ``layer="spread"``."""
    blocks = [np.asarray(block, np.float32) for block in blocks]
    return np.hstack([X / np.sqrt(X.var(axis=0).mean()) for X in blocks])


def measures(flipped, risk):
    """AUC, and the share of the flips among the riskiest tenth."""
    top = np.argsort(-risk, kind="stable")[: round(TOP * len(risk))]
    return np.array([roc_auc_score(flipped, risk), flipped[top].sum() / flipped.sum()])


def on_flips(name, cache):
    """Measures of each embedding (2, 2), and intervals of the difference (2, 2)."""
    rows = rows_of(name)
    draw = np.random.default_rng(0).permutation(len(rows))[:N_SAMPLES]
    texts = [rows[i]["text"] for i in draw]
    labels = [rows[i]["label"] for i in draw]
    states = layers_of(texts, cache)
    arms = sentences_of(texts, cache), side_by_side(*np.moveaxis(states, 1, 0))
    runs = []
    for seed in SEEDS:
        y, flipped = flip_labels(labels, SHARE, random_state=seed)
        codes = np.unique(y, return_inverse=True)[1]
        runs.append((flipped, [risk_of(X, codes) for X in arms]))

    def mean_over_runs(own):
        each = [[measures(f[own], risk[own]) for risk in risks] for f, risks in runs]
        return np.mean(each, axis=0)

    rng, n = np.random.default_rng(0), len(texts)
    draws = [mean_over_runs(rng.integers(0, n, n)) for _ in range(N_BOOTSTRAP)]
    gaps = np.array(draws)
    low, high = np.quantile(gaps[:, 1] - gaps[:, 0], [0.025, 0.975], axis=0)
    return mean_over_runs(np.arange(n)), np.array([low, high])


def texts_of(truth, cache):
    """Texts of a truth file, by its sentence embeddings, in the film reviews."""
    texts = [row["text"] for row in rows_of("rt_human")]
    likeness = truth["X_sentence"].astype(np.float32) @ sentences_of(texts, cache).T
    if likeness.max(axis=1).min() < 0.999:
        raise SystemExit("The film reviews are not those of the truth file.")
    return [texts[place] for place in likeness.argmax(axis=1)]


def on_truth(name, cache):
    """Rows of a table: AUC / FPR against LiRA, by moment and embedding."""
    with np.load(DATA / "lira" / f"{name}.npz") as file:
        truth = dict(file)
    y, base = truth["y"], {4: truth["X_base_low"]}
    memorized = truth["lira"] >= np.quantile(truth["lira"], 0.9)
    last = truth["X_sentence"]
    if name == "rt_2class":
        states = layers_of(texts_of(truth, cache), cache)
        base, last = {2: states[:, 0], 4: states[:, 1]}, states[:, 2]
    before = truth["X_sentence"], side_by_side(*base.values(), last)
    moments = {"before": before}
    for stage in truth["stages"]:
        low, last = truth[f"X_{stage}_low"], truth[f"X_{stage}_last"]
        spread = side_by_side(*base.values(), last)
        moments[stage] = last, spread, side_by_side(base[4], low, last)
    for moment, arms in moments.items():
        risks = [risk_of(np.asarray(X, np.float32), y) for X in arms]
        pairs = [(roc_auc_score(memorized, r), fpr_at_tpr(memorized, r)) for r in risks]
        cells = [f"{auc:.3f} / {fpr:.3f}" for auc, fpr in pairs] + ["-"]
        yield f"| {name}, {moment} | {' | '.join(cells[:3])} |"


def tables(cache):
    """Lines of both tables, one by one."""
    yield "| set | sentence: AUC / top tenth | spread | AUC gain | top tenth gain |"
    yield "|---|---|---|---|---|"
    results = []
    for name in SETS:
        plain, (low, high) = on_flips(name, cache)
        results.append(plain)
        cells = [f"{auc:.3f} / {top:.3f}" for auc, top in plain]
        gains = zip(plain[1] - plain[0], low, high, strict=True)
        cells += [f"{gain:+.3f} ({a:+.3f} to {b:+.3f})" for gain, a, b in gains]
        yield f"| {name} | {' | '.join(cells)} |"
    cells = [f"{auc:.3f} / {top:.3f}" for auc, top in np.mean(results, axis=0)]
    yield f"| mean | {' | '.join(cells)} | | |"
    yield ""
    yield "| truth, epoch | last layer: AUC / FPR | (2,) 4, 6 | 4, 5, 6 |"
    yield "|---|---|---|---|"
    for name in ("rt_2class", "trec_6class"):
        yield from on_truth(name, cache)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="update docs/detection.md")
    default = Path(tempfile.gettempdir()) / "smilearn-layers"
    parser.add_argument("--cache", type=Path, default=default, help="for embeddings")
    arguments = parser.parse_args()
    if not any(DATA.glob("*.csv.gz")):
        print(f"Skipped: no text sets in {DATA}; set SMILEARN_DATA.")
        return
    lines = []
    for line in tables(arguments.cache):
        print(line, flush=True)
        lines.append(f"{line}\n")
    if arguments.write:
        put("detection", "layers", "".join(lines))


if __name__ == "__main__":
    main()
