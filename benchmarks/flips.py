"""Which score finds planted wrong labels best? Eight labelled text sets, one encoder.

    python benchmarks/flips.py [--write] [--cache FOLDER]

Reads ``*.csv.gz`` in the folder in SMILEARN_DATA (default ``../shared/data``). Of each
set 2,000 texts are drawn, 3.3 % of them get a wrong label, drawn evenly, and all are
embedded with the packaged MiniLM as it comes, before any training; three seeds. The
scorer ranks them, pooled and by PSMI alone. The truth is a proxy: which labels were
planted. It
is *not* memorization; real fine-tunes with LiRA are in ``detection.py``. Two sets come
with a truth of people: labels that most raters of a film review dispute, and exam
questions whose answer was found wrong by hand. Prints AUC / share of flips among the
riskiest 3.3 % / FPR at TPR 0.75, means over seeds, and differences with 95 % bootstrap
intervals over texts; seeds share texts, so that one draw of texts serves them all. The
mixture of five families of slices was the default before; its figures on the same
flips are kept in ``results/flips-mixture.json``. Embeddings are kept in a folder
(default: a temporary one). ``--write`` puts the tables into docs/detection.md.
"""

import argparse
import csv
import gzip
import json
import tempfile
from pathlib import Path

import numpy as np
from pages import DATA, HERE, keep, put, table

from smilearn import SentenceEmbedder, SlicedMIScorer
from smilearn.datasets import flip_labels, packaged_minilm

BEFORE = HERE / "results" / "flips-mixture.json"
N_SAMPLES, SHARE, TPR = 2_000, 0.033, 0.75
N_SLICES, SEEDS, N_BOOTSTRAP = 1_000, (0, 1, 2), 1_000
WAYS = {"default": {}, "`pooled=False`": {"pooled": False}}
MIXTURE = "mixture of five families (before)"
MEASURES = ("AUC", "precision", "FPR")


def not_out_of_scope(row):
    return row["split"] == "train" and row["domain"] != "oos"


def in_training(row):
    return row["split"] == "train"


# file, column of the label, which rows
SETS = {
    "rt_human": ("rt_human", "label", None),
    "sst2_sentences": ("sst2_sentences", "label", in_training),
    "sms_spam": ("sms_spam", "label", None),
    "ethics_justice": ("ethics_justice", "label", in_training),
    "ag_news_8k": ("ag_news_8k", "label", in_training),
    "clinc150 domains": ("clinc150_small", "domain", not_out_of_scope),
    "clinc150 intents": ("clinc150_small", "label", not_out_of_scope),
    "mmlu_redux subjects": ("mmlu_redux", "subject", None),
    "mmlu_redux answers": ("mmlu_redux", "label", None),
}
# set, name of the truth, whether people found the label of a row wrong
TRUTHS = {
    "rt_human": (
        "labels that fewer than half of the raters share",
        lambda row: row["human_agree"] != "" and float(row["human_agree"]) < 0.5,
    ),
    "mmlu_redux answers": (
        "answers found wrong by hand",
        lambda row: row["error_type"] == "wrong groundtruth",
    ),
}


def rows_of(name):
    """Rows of a set, each text once."""
    file, label, wanted = SETS[name]
    with gzip.open(DATA / f"{file}.csv.gz", "rt", encoding="utf-8", newline="") as text:
        rows = [row for row in csv.DictReader(text) if wanted is None or wanted(row)]
    return list({row["text"]: row | {"label": row[label]} for row in rows}.values())


def embedded(name, rows, cache):
    """Embeddings of some rows, kept in a folder."""
    path = cache / f"{SETS[name][0]}.npz"
    if not path.exists():
        embedder = SentenceEmbedder(packaged_minilm(), device="cpu", verbose=True)
        texts = [row["text"] for row in rows]
        np.savez(path, X=embedder.fit_transform(texts), texts=json.dumps(texts))
    with np.load(path) as file:
        texts = json.loads(str(file["texts"]))
        places = {text: place for place, text in enumerate(texts)}
        return file["X"][[places[row["text"]] for row in rows]]


def risks_of(X, y, seed):
    """Risk of each sample in each way: (n_ways, n_samples)."""
    options = [{"random_state": seed} | way for way in WAYS.values()]
    return np.array([-SlicedMIScorer(N_SLICES, **o).fit(X, y).scores_ for o in options])


def measures_of(truth, risk, weights):
    """AUC, precision in the riskiest share and FPR, for each row of sample weights."""
    order = np.argsort(-risk, kind="stable")
    weights, truth = weights[:, order], truth[order]
    true, false = np.cumsum(weights * truth, 1), np.cumsum(weights * ~truth, 1)
    below = 1 - (false - 0.5 * weights * ~truth) / false[:, -1:]
    area = (weights * truth * below).sum(1) / true[:, -1]
    found = np.argmax(true >= TPR * true[:, -1:], axis=1)
    listed = np.argmax(true + false >= SHARE * weights.sum(1, keepdims=True), axis=1)
    each = np.arange(len(weights))
    precise = true[each, listed] / (true + false)[each, listed]
    return np.array([area, precise, false[each, found] / false[:, -1]])


def compared(runs):
    """Measures of each way, and what the first has more, with intervals.

    Parameters
    ----------
    runs : list of tuple
        For each seed the texts that were scored, as numbers, their truth and the risks
        in each way. A text that several seeds share is drawn for all of them or for
        none: drawn apart it would pass for several.
    """
    texts = np.unique(np.concatenate([texts for texts, _, _ in runs]))
    chances = np.full(len(texts), 1 / len(texts))
    drawing = np.random.default_rng(0).multinomial
    drawn_texts = drawing(len(texts), chances, size=N_BOOTSTRAP)
    plain, drawn = [], []
    for own, truth, risks in runs:
        weights, once = (
            drawn_texts[:, np.searchsorted(texts, own)],
            np.ones((1, len(own))),
        )
        plain.append([measures_of(truth, risk, once)[:, 0] for risk in risks])
        drawn.append([measures_of(truth, risk, weights) for risk in risks])
    plain, drawn = np.mean(plain, 0), np.mean(drawn, 0)  # (ways, 3), (ways, 3, draws)
    low, high = np.quantile(drawn[0] - drawn[1], [0.025, 0.975], axis=1)
    gaps = np.stack([plain[0] - plain[1], low, high], axis=1)  # (3, 3)
    return {
        "quality": dict(zip(WAYS, plain.tolist(), strict=True)),
        "default_minus_psmi": dict(zip(MEASURES, gaps.tolist(), strict=True)),
    }


def evaluate(name, cache):
    """Results of a set: name of each truth -> what was measured."""
    rows = rows_of(name)
    draws = [
        np.random.default_rng(seed).permutation(len(rows))[:N_SAMPLES] for seed in SEEDS
    ]
    wanted = np.unique(np.concatenate(draws))
    X = dict(zip(wanted, embedded(name, [rows[i] for i in wanted], cache), strict=True))
    truth_name, is_wrong = TRUTHS.get(name, (None, None))
    flips, people = [], []
    for seed, draw in zip(SEEDS, draws, strict=True):
        labels = [rows[i]["label"] for i in draw]
        y, flipped = flip_labels(labels, SHARE, random_state=seed)
        risks = risks_of(np.array([X[i] for i in draw]), y, seed)
        flips.append((draw, flipped, risks))
        if truth_name:  # of the labels that were left as they are
            wrong = np.array([is_wrong(rows[i]) for i in draw])
            people.append((draw[~flipped], wrong[~flipped], risks[:, ~flipped]))
    size = {"n": len(y), "classes": len(set(y))}
    results = {name: size | compared(flips)}
    if truth_name:
        size["n_wrong"] = float(np.mean([truth.sum() for _, truth, _ in people]))
        results[f"{name}: {truth_name}"] = size | compared(people)
    return results


def cell(values):
    return " / ".join(f"{value:.3f}" for value in values)


def as_markdown(results):
    before = json.loads(BEFORE.read_text())
    names = [MIXTURE, *WAYS]
    rows, gaps = [], []
    for name, result in results.items():
        found = {MIXTURE: before[name]} | result["quality"]
        rows.append([name, result["classes"], *(cell(found[each]) for each in names)])
        gap = result["default_minus_psmi"].values()
        gap = [f"{value:+.3f} ({low:+.3f} to {high:+.3f})" for value, low, high in gap]
        more = np.subtract(found["default"], found[MIXTURE])
        gaps.append([name, *gap, " / ".join(f"{value:+.3f}" for value in more)])
    heads = ["AUC", "share found in the riskiest 3.3 %", "FPR", "minus the mixture"]
    return "\n".join(
        [
            table(["set", "K", *names], rows),
            table(["default minus `pooled=False`", *heads], gaps),
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="update docs/detection.md")
    default = Path(tempfile.gettempdir()) / "smilearn-flips"
    parser.add_argument("--cache", type=Path, default=default, help="for embeddings")
    arguments = parser.parse_args()
    if not any(DATA.glob("*.csv.gz")):
        print(f"Skipped: no text sets in {DATA}; set SMILEARN_DATA.")
        return
    arguments.cache.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in SETS:
        results |= evaluate(name, arguments.cache)
    tables = as_markdown(results)
    print(tables)
    if arguments.write:
        keep("flips", results)
        put("detection", "flips", tables)


if __name__ == "__main__":
    main()
