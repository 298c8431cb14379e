"""Does taking out the samples at risk help? And whom does it expose?

    python benchmarks/filtering.py --dataset sms_spam
    python benchmarks/filtering.py --dataset sms_spam --finetune --work-folder work
    python benchmarks/filtering.py --write

The pools are those of ``memorization.py``: 2,000 texts, 3.3 % with a wrong label. What
is trained is a logistic regression on MiniLM sentence embeddings, 64 models, or with
``--finetune`` MiniLM itself, 24 models, whose arm with everything is that of
``memorization.py`` in the same work folder. Taken out is a tenth: by the score before
any training, or, for the regression, by an audit with another seed, which nobody has
beforehand. The control takes out as many of the same classes at random.

The result is ``benchmarks/results/filtering-<set>.json``, with ``--finetune``
``filtering-<set>-finetune.json``; ``--write`` puts all of them into docs/filtering.md.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from memorization import Settings, audit_of, pool_of
from pages import DATA, HERE, put, table
from sklearn.linear_model import LogisticRegression

from smilearn import (
    RiskFilter,
    SentenceEmbedder,
    ShadowAudit,
    SlicedMIScorer,
    audit_filter,
)
from smilearn.datasets import packaged_minilm

SHARE, RESULTS = 0.1, HERE / "results"
COLUMNS = (
    "value",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "verdict",
)


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


def as_dict(table, outer, inner):
    """Names outside and inside of each row -> its `COLUMNS`."""
    found, columns = {}, [table[name].tolist() for name in COLUMNS]
    for row, names in enumerate(zip(outer, inner, strict=True)):
        cells = [column[row] for column in columns]
        found.setdefault(str(names[0]), {})[str(names[1])] = cells
    return found


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def removals(results):
    """What taking a tenth out did, a row a set and way to choose it."""
    rows = []
    for result in results:
        model = "MiniLM" if result["finetune"] else "regression"
        for way, found in result["filters"].items():
            effect, flips = found["effect"], found["flips_removed"]
            rows.append(
                [
                    f"{result['settings']['dataset']}, {model}, {way}",
                    f"{flips} of {found['n_flips']}",
                    change(effect["all accuracy"]),
                    change(effect["kept accuracy"]),
                    f"{effect['removed tpr_at_fpr_0.01']['everything'][0]:.3f}",
                    change(effect["kept tpr_at_fpr_0.01"]),
                    change(effect["kept newly_exposed"]),
                    change(effect["all exposed"]),
                ]
            )
    header = [
        "set, model, a tenth taken out",
        "flips in it",
        "accuracy, all",
        "accuracy, kept",
        "attack on the removed before",
        "attack on the kept",
        "kept, newly exposed",
        "exposed, all",
    ]
    return table(header, rows)


def change(arms):
    """Value in the arm without random samples, in the filtered one, the difference."""
    before, after = arms["random"][0], arms["filtered"][0]
    gap, low, high, verdict = arms["filtered"][3:]
    mark = {"higher": " +", "lower": " -", "even": ""}[verdict]
    return f"{before:.3f} to {after:.3f}, {gap:+.3f} ({low:+.3f} to {high:+.3f}){mark}"


def arguments_of():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", help="name of a set, without .csv.gz")
    parser.add_argument("--finetune", action="store_true", help="MiniLM, not its probe")
    parser.add_argument("--work-folder", type=Path, help="of memorization.py")
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
        settings = Settings(given.dataset)
        pool = pool_of(settings)
        result = {"settings": asdict(settings), "finetune": given.finetune}
        result["filters"] = dict(effects(pool, settings, given))
        ending = "-finetune" if given.finetune else ""
        path = RESULTS / f"filtering-{given.dataset}{ending}.json"
        path.write_text(json.dumps(rounded(result)) + "\n")
    if given.write:
        paths = sorted(RESULTS.glob("filtering-*.json"))
        found = [json.loads(path.read_text()) for path in paths]
        put("filtering", "filters", removals(found))


if __name__ == "__main__":
    main()
