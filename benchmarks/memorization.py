"""Does a score foretell what real fine-tunes memorize? An audit, and all its rivals.

    python benchmarks/memorization.py --dataset rt_human --work-folder work
    python benchmarks/memorization.py --write

Reads ``*.csv.gz`` in the folder in SMILEARN_DATA (default ``../shared/data``). Of a set
2,000 texts are drawn, and 3.3 % of them get a wrong label, drawn evenly among the wrong
ones. The truth is a `ShadowAudit` of MiniLM, whose two upper layers are fine-tuned to
the end: 24 models, each on half of the texts, each the target once. What is to foretell
it comes from two runs of the same kind, on the half of the first model and on the other
half, so that each text is scored by a run that trains on it: before any training,
half-way to the early point, at it, and an epoch later. The layer is chosen by the
mean log probability of the labels, never by the truth.

With ``--n-shadow 0`` there is no audit, and scores are compared with the flips and with
what people say alone.

One command a set. What is finished is kept in the work folder, and a command that was
killed goes on from there. The result is ``benchmarks/results/memorization-<set>.json``;
``--write`` turns all of them into the tables of docs/benchmark.md.
"""

import argparse
import csv
import gzip
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import memorization_page
import numpy as np
from memorization_moments import MOMENTS, moments_of
from memorization_scores import compared
from sklearn.model_selection import StratifiedKFold

from smilearn import FineTunedClassifier, ShadowAudit
from smilearn.datasets import flip_labels, packaged_minilm

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SMILEARN_DATA", HERE.parent.parent / "shared" / "data"))
RESULTS = HERE / "results"
SHARE = 0.033  # of labels that are flipped


@dataclass
class Settings:
    """What a result depends on."""

    dataset: str
    pool: int
    n_shadow: int
    epochs: int
    random_state: int
    freeze_layers: int = 4
    learning_rate: float = 2e-4
    max_length: int = 256

    def training(self, device):
        """Parameters of a fine-tune, the same for shadow models and for the runs."""
        return {
            "model": packaged_minilm(),
            "freeze_layers": self.freeze_layers,
            "max_epochs": self.epochs,
            "learning_rate": self.learning_rate,
            "max_length": self.max_length,
            "device": device,
            "random_state": self.random_state,
        }


@dataclass
class Pool:
    """Texts, their labels with flips, and what people say of the labels."""

    texts: list
    y: np.ndarray
    flipped: np.ndarray
    disagreement: np.ndarray | None  # share of raters, NaN where it is not known
    found_wrong: np.ndarray | None


def in_training(row):
    return row["split"] == "train" and row.get("domain") != "oos"


def any_row(row):
    return True


SETS = {
    "rt_human": ("label", any_row),
    "sst2_sentences": ("label", in_training),
    "ag_news_8k": ("label", in_training),
    "clinc150_small": ("domain", in_training),
    "ethics_justice": ("label", in_training),
    "mmlu_redux": ("label", any_row),
    "sms_spam": ("label", any_row),
}  # column of the label, which rows


def pool_of(settings):
    """Draw the texts of a set, each once, and flip some labels."""
    label, wanted = SETS[settings.dataset]
    path = DATA / f"{settings.dataset}.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = {row["text"]: row for row in csv.DictReader(file) if wanted(row)}
    rng = np.random.default_rng(settings.random_state)
    texts = list(rows)
    texts = [texts[i] for i in rng.permutation(len(texts))[: settings.pool]]
    rows = [rows[text] for text in texts]
    labels = [row[label] for row in rows]
    y, flipped = flip_labels(labels, SHARE, random_state=settings.random_state)
    disagreement = found_wrong = None
    if "human_agree" in rows[0]:
        agree = [float(row["human_agree"] or "nan") for row in rows]
        disagreement = 1 - np.array(agree)
    if "error_type" in rows[0]:
        found_wrong = np.array([r["error_type"] == "wrong groundtruth" for r in rows])
    return Pool(texts, y, flipped, disagreement, found_wrong)


def claim(folder, settings):
    """Refuse a folder in which another benchmark was begun."""
    path, facts = folder / "settings.json", asdict(settings)
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(json.dumps(facts))
    begun = json.loads(path.read_text())
    if begun != facts:
        raise SystemExit(f"{folder} holds a run of {begun}, not of {facts}.")


def audit_of(pool, settings, folder, device, n_jobs):
    """Train the shadow models that are not there yet."""
    audit = ShadowAudit(
        FineTunedClassifier(**settings.training(device)),
        n_shadow=settings.n_shadow,
        n_jobs=n_jobs,
        random_state=settings.random_state,
        checkpoint_folder=folder / "shadows",
        verbose=1,
    )
    return audit.fit(pool.texts, pool.y)


def facts_of(pool, audit):
    """What the shadow models learnt and memorized, clean labels and flips apart."""
    correct, inside = audit.statistic_ > 0, audit.shadow_in_
    clean = np.broadcast_to(~pool.flipped, inside.shape)
    table = audit.attack()
    return {
        "class_sizes": np.unique(pool.y, return_counts=True)[1].tolist(),
        "accuracy_on_unseen": float(correct[~inside & clean].mean()),
        "accuracy_on_seen": float(correct[inside & clean].mean()),
        "flips_learnt": float(correct[inside & ~clean].mean()),
        "n_flips": int(pool.flipped.sum()),
        "flips_memorized": float(audit.memorized_[pool.flipped].mean()),
        "flips_among_memorized": float(pool.flipped[audit.memorized_].mean()),
        "attack": {
            name: [float(table[column][row]) for column in ("value", "low", "high")]
            for row, name in enumerate(table["measure"].tolist())
        },
    }


def halves_of(pool, audit, random_state):
    """Rows of both runs: those of the first shadow model, and the others."""
    if audit is None:
        folds = StratifiedKFold(2, shuffle=True, random_state=random_state)
        return [rows for _, rows in folds.split(pool.texts, pool.y)]
    return [np.flatnonzero(audit.shadow_in_[0] == side) for side in (True, False)]


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def run(settings, work_folder, device, n_jobs):
    """Audit, runs and comparison of a set, and its file of results."""
    folder = work_folder / settings.dataset
    claim(folder, settings)
    pool = pool_of(settings)
    training = settings.training(device)
    audit = None
    if settings.n_shadow:
        audit = audit_of(pool, settings, folder, device, n_jobs)
    halves = halves_of(pool, audit, settings.random_state)
    moments = [
        moments_of([pool.texts[i] for i in rows], pool.y[rows], training, folder / name)
        for name, rows in zip(("first", "second"), halves, strict=True)
    ]
    print("Runs finished; comparing.", flush=True)
    result = {"settings": asdict(settings), "audit": audit and facts_of(pool, audit)}
    result["moments"] = {}
    for name in MOMENTS:
        at = [half[name] for half in moments]
        early = [half["early"] for half in moments]
        result["moments"][name] = compared(pool, audit, halves, at, early)
        print(f"{name}: compared", flush=True)
    return rounded(result)


def arguments_of():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=SETS)
    parser.add_argument("--work-folder", type=Path, help="for what is finished")
    parser.add_argument("--results", type=Path, default=RESULTS, help="for the JSON")
    parser.add_argument("--pool", type=int, default=2_000)
    parser.add_argument("--n-shadow", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--random-state", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--n-jobs", type=int, default=1, help="models side by side")
    parser.add_argument("--write", action="store_true", help="update docs/benchmark.md")
    arguments = parser.parse_args()
    if not arguments.dataset and not arguments.write:
        parser.error("give --dataset, or --write")
    if arguments.dataset and not arguments.work_folder:
        parser.error("--dataset needs --work-folder")
    return arguments


def main():
    given = arguments_of()
    if given.dataset:
        if not (DATA / f"{given.dataset}.csv.gz").exists():
            print(f"Skipped: no {given.dataset} in {DATA}; set SMILEARN_DATA.")
            return
        settings = Settings(
            given.dataset, given.pool, given.n_shadow, given.epochs, given.random_state
        )
        result = run(settings, given.work_folder, given.device, given.n_jobs)
        given.results.mkdir(parents=True, exist_ok=True)
        path = given.results / f"memorization-{given.dataset}.json"
        path.write_text(json.dumps(result) + "\n")
        print(memorization_page.as_markdown(given.dataset, result))
    if given.write:
        memorization_page.write(given.results)


if __name__ == "__main__":
    main()
