"""What protects the samples at risk, what does it cost, and whom does it expose?

    python benchmarks/protection.py --dataset sms_spam
    python benchmarks/protection.py --dataset sms_spam --finetune --work-folder work
    python benchmarks/protection.py --write

The pools are those of ``memorization.py``: texts of a set, 3.3 % with a wrong label.
What is trained is a logistic regression on MiniLM sentence embeddings, 2,000 texts and
64 models an arm, or with ``--finetune`` the uppermost layer of MiniLM itself, 800
texts, 3 epochs and 16 models an arm. Risky is the tenth that the score before any
training puts first. All arms of `audit_protection` share seeds and halves. A fine-tune
that was killed goes on from the models in the work folder.

The result is ``benchmarks/results/protection-<set>.json``, with ``--finetune``
``protection-<set>-finetune.json``; ``--write`` puts all of them into
docs/protection.md.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
from memorization import Settings, pool_of
from pages import DATA, HERE, put, table
from sklearn.linear_model import LogisticRegression

from smilearn import (
    FineTunedClassifier,
    RiskFilter,
    RiskReweighter,
    RiskTable,
    SentenceEmbedder,
    ShadowAudit,
    SlicedMIScorer,
    audit_protection,
)
from smilearn.datasets import packaged_minilm

SHARE, RESULTS = 0.1, HERE / "results"
COLUMNS = ("value", "low", "high", "difference", "difference_low", "difference_high")
MEASURES = {
    "accuracy": "all accuracy",
    "attack, risky": "risky tpr_at_fpr_0.01",
    "attack, others": "others tpr_at_fpr_0.01",
    "attack, all": "all tpr_at_fpr_0.01",
    "exposed, risky": "risky exposed",
    "exposed, others": "others exposed",
    "seconds": "all seconds",
}


def table_of(X, y):
    """Risk of all samples of the pool, before any training."""
    scorer = SlicedMIScorer(random_state=0).fit(X, y)
    return RiskTable(
        scorer.scores_,
        y,
        probability=scorer.probability_,
        most_likely_label=scorer.likely_labels_,
    )


def of_regression(risk):
    """A logistic regression, and what may protect its samples."""
    plain = LogisticRegression(C=100.0, max_iter=2_000)
    strong = LogisticRegression(C=1.0, max_iter=2_000)
    arms = {
        "weighted": RiskReweighter(plain, risk),
        "flattened": RiskReweighter(plain, risk, on="label"),
        "relabelled": RiskReweighter(plain, risk, weight="hard", on="label"),
        "penalty x 100": strong,
        "weighted, penalty x 100": RiskReweighter(strong, risk),
        "flattened, penalty x 100": RiskReweighter(strong, risk, on="label"),
    }
    return plain, arms


def of_finetune(risk, settings, device):
    """MiniLM, and what may protect its samples."""
    training = settings.training(device)
    plain = FineTunedClassifier(**training)
    early = FineTunedClassifier(**training, early_point="median-loss")
    head = training | {"freeze_layers": 6, "batch_size": 128, "max_epochs": 10}
    arms = {
        "weighted": RiskReweighter(plain, risk),
        "fewer passes": RiskReweighter(plain, risk, on="passes"),
        "flattened": RiskReweighter(plain, risk, on="label"),
        "early point": early,
        "weighted, early point": RiskReweighter(early, risk),
        "private, head alone": FineTunedClassifier(
            **head | {"learning_rate": 3e-2}, privacy=8.0
        ),
        "clipped": RiskReweighter(plain, risk, on="gradient"),
    }
    return plain, arms


def effect_of(settings, given):
    """The audit of all arms of a set."""
    pool = pool_of(settings)
    index = pd.RangeIndex(len(pool.y))
    embeddings = SentenceEmbedder(packaged_minilm()).fit_transform(pool.texts)
    risks = table_of(embeddings, pool.y)
    risky = RiskFilter(risks, share=SHARE).fit(None, pool.y)
    line = float(risky.threshold_[0])
    risk = RiskFilter(risks, threshold=line, match="index")
    if given.finetune:
        plain, arms = of_finetune(risk, settings, given.device)
        X = pd.Series(pool.texts, index=index)
        folder = given.work_folder / f"protection-{settings.dataset}"
    else:
        plain, arms = of_regression(risk)
        X = pd.DataFrame(embeddings.astype(np.float64), index=index)
        folder = None
    audit = ShadowAudit(
        plain,
        n_shadow=settings.n_shadow,
        n_jobs=given.n_jobs,
        random_state=0,
        checkpoint_folder=folder,
        verbose=1,
    )
    effect = audit_protection(audit, risky, X, pool.y, protections=arms)
    return effect, int((pool.flipped & ~risky.support_).sum()), int(pool.flipped.sum())


def told(effect):
    """Arm -> measure -> the numbers of its row."""
    found = {arm: {} for arm in effect.arms}
    for row in effect.frame.iter_rows(named=True):
        name = f"{row['group']} {row['measure']}"
        found[row["arm"]][name] = [round(row[each], 4) for each in COLUMNS]
    return found


def rows_of(result):
    """A row an arm."""
    arms = result["against nothing"]
    for arm, measures in arms.items():
        control = result["against random"][arm]
        cells = []
        for name in MEASURES.values():
            value, _, _, gap, low, high = measures[name]
            digits = 1 if name.endswith("seconds") else 3
            cell = f"{value:.{digits}f}"
            if name.endswith("seconds") or arm == "nothing":
                cells.append(cell)
                continue
            mark = "+" if low > 0 else "-" if high < 0 else ""
            _, _, _, _, least, most = control[name]
            star = "*" * (arm != "random" and (least > 0 or most < 0))
            cells.append(f"{cell} ({gap:+.3f}, {low:+.3f} to {high:+.3f}) {mark}{star}")
        yield [arm, *cells]


def tables_of(results):
    parts = []
    for result in results:
        settings = result["settings"]
        kind = "MiniLM" if result["finetune"] else "logistic regression"
        title = (
            f"**{settings['dataset']}, {kind}**, {settings['pool']:,} texts, "
            f"{settings['n_shadow']} models an arm; of {result['n_flips']} wrong "
            f"labels {result['flips_risky']} are among the risky."
        )
        parts += [title, table(["arm", *MEASURES], rows_of(result))]
    return "\n\n".join(parts)


def arguments_of():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", help="name of a set, without .csv.gz")
    parser.add_argument("--finetune", action="store_true", help="MiniLM, not its probe")
    parser.add_argument("--work-folder", type=Path, help="where models are kept")
    parser.add_argument("--n-shadow", type=int, help="models an arm")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="update the page")
    given = parser.parse_args()
    if given.finetune and not given.work_folder:
        parser.error("--finetune needs --work-folder")
    return given


def main():
    given = arguments_of()
    if given.dataset:
        if not (DATA / f"{given.dataset}.csv.gz").exists():
            print(f"Skipped: no {given.dataset} in {DATA}; set SMILEARN_DATA.")
            return
        settings = Settings(given.dataset, n_shadow=64)
        if given.finetune:
            settings = Settings(
                given.dataset,
                pool=800,
                n_shadow=16,
                epochs=3,
                freeze_layers=5,
                learning_rate=1e-3,
            )
        if given.n_shadow:
            settings = replace(settings, n_shadow=given.n_shadow)
        effect, flips_risky, n_flips = effect_of(settings, given)
        print(f"{given.dataset}\n{effect}\n", flush=True)
        result = {
            "settings": asdict(settings),
            "finetune": given.finetune,
            "flips_risky": flips_risky,
            "n_flips": n_flips,
            "against nothing": told(effect),
            "against random": told(effect.against("random")),
        }
        ending = "-finetune" if given.finetune else ""
        path = RESULTS / f"protection-{given.dataset}{ending}.json"
        path.write_text(json.dumps(result) + "\n")
    if given.write:
        paths = sorted(RESULTS.glob("protection-*.json"))
        found = [json.loads(path.read_text()) for path in paths]
        put("protection", "protections", tables_of(found))


if __name__ == "__main__":
    main()
