"""Does taking out the samples at risk help? And whom does it expose?

    python benchmarks/filtering.py --dataset sms_spam
    python benchmarks/filtering.py --dataset sms_spam --finetune --work-folder work
    python benchmarks/memorization.py --write

The pools are those of ``memorization.py``: 2,000 texts, 3.3 % with a wrong label. What
is trained is a logistic regression on MiniLM sentence embeddings, 64 models, or with
``--finetune`` MiniLM itself, 24 models, whose arm with everything is that of
``memorization.py`` in the same work folder. Taken out is a tenth: by the score before
any training, or, for the regression, by an audit with another seed, which nobody has
beforehand. The control takes out as many of the same classes at random.

The result is ``benchmarks/results/filtering-<set>.json``, with ``--finetune``
``filtering-<set>-finetune.json``.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from memorization import DATA, RESULTS, SETS, Settings, audit_of, pool_of, rounded
from memorization_scores import as_dict
from sklearn.linear_model import LogisticRegression

from smilearn import (
    RiskFilter,
    SentenceEmbedder,
    ShadowAudit,
    SlicedMIScorer,
    audit_filter,
)
from smilearn.datasets import packaged_minilm

SHARE = 0.1


def embeddings_of(texts):
    return SentenceEmbedder(packaged_minilm()).fit_transform(texts).astype(np.float64)


def regression_audit(X, y, seed=0):
    model = LogisticRegression(C=100.0, max_iter=1_000)
    return ShadowAudit(model, n_shadow=64, random_state=seed).fit(X, y)


def told(effect):
    """Group and measure -> arm -> the cells of the row."""
    pairs = zip(effect["group"], effect["measure"], strict=True)
    return as_dict(effect, [" ".join(pair) for pair in pairs], effect["arm"])


def effects(pool, settings, given):
    """One audit of a filter for each way to choose what goes."""
    X = embeddings_of(pool.texts)
    by_score = RiskFilter(SlicedMIScorer(random_state=0), share=SHARE).fit(X, pool.y)
    if given.finetune:
        folder = given.work_folder / settings.dataset
        audit = audit_of(pool, settings, folder, given.device, given.n_jobs)
        run = {"by the score": (audit, by_score, pool.texts)}
    else:
        audit, known = (regression_audit(X, pool.y, seed) for seed in (0, 1))
        run = {
            "by the score": (audit, by_score, X),
            "by an audit": (audit, known.memorized(SHARE), X),
        }
    for name, (audit, gone, samples) in run.items():
        effect = audit_filter(audit, gone, samples, pool.y)
        print(f"{settings.dataset}, {name}\n{effect}\n", flush=True)
        removed = np.isin(effect.samples["group"], ("removed", "both"))
        yield (
            name,
            {
                "flips_removed": int((pool.flipped & removed).sum()),
                "n_flips": int(pool.flipped.sum()),
                "effect": told(effect),
            },
        )


def arguments_of():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=SETS, required=True)
    parser.add_argument("--finetune", action="store_true", help="MiniLM, not its probe")
    parser.add_argument("--work-folder", type=Path, help="of memorization.py")
    parser.add_argument("--results", type=Path, default=RESULTS, help="for the JSON")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--n-shadow", type=int, default=24)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--n-jobs", type=int, default=1)
    given = parser.parse_args()
    if given.finetune and not given.work_folder:
        parser.error("--finetune needs --work-folder")
    return given


def main():
    given = arguments_of()
    if not (DATA / f"{given.dataset}.csv.gz").exists():
        print(f"Skipped: no {given.dataset} in {DATA}; set SMILEARN_DATA.")
        return
    settings = Settings(given.dataset, 2_000, given.n_shadow, given.epochs, 0)
    pool = pool_of(settings)
    result = {"settings": asdict(settings), "finetune": given.finetune}
    result["filters"] = dict(effects(pool, settings, given))
    given.results.mkdir(parents=True, exist_ok=True)
    ending = "-finetune" if given.finetune else ""
    path = given.results / f"filtering-{given.dataset}{ending}.json"
    path.write_text(json.dumps(rounded(result)) + "\n")


if __name__ == "__main__":
    main()
