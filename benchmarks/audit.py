"""How long does an audit of a linear classifier take, and is it at chance on noise?

    python benchmarks/audit.py [--samples 2000] [--shadows 64] [--jobs 2] [--write]

2,000 film reviews, 3.3 % of them with a wrong label, are embedded with the packaged
MiniLM; a `LogisticRegression` on the embeddings is audited with 64 shadow models, whole
and cut off at half and taken up again, which must give the same numbers. Then the AUC
of membership inference on statistics that are pure noise, with 4 to 64 models: once
with the target alone left out, once with a model of the other side as well, as
`ShadowAudit.attack` does. 0.5 is right. ``--write`` keeps all in results/audit.json.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from smilearn import SentenceEmbedder, ShadowAudit
from smilearn.audit._lira import log_lira
from smilearn.audit._shadow_models import balanced_members
from smilearn.datasets import flip_labels, load_rotten_tomatoes, packaged_minilm

RESULTS = Path(__file__).parent / "results" / "audit.json"
N_SAMPLES, N_DRAWS = 1_000, 40


def reviews(n_samples, cache):
    loaded = load_rotten_tomatoes(n_samples, random_state=0)
    labels, flipped = flip_labels(loaded.labels, 0.033, random_state=0)
    embedder = SentenceEmbedder(packaged_minilm(), cache_folder=cache)
    return embedder.fit_transform(loaded.texts), labels, flipped


def audited(model, X, y, arguments, folder=None):
    audit = ShadowAudit(
        model,
        n_shadow=arguments.shadows,
        n_jobs=arguments.jobs,
        random_state=0,
        checkpoint_folder=folder,
    )
    begin = time.perf_counter()
    return audit.fit(X, y), time.perf_counter() - begin


def resumed(model, X, y, arguments):
    """An audit whose second half of files is gone, as after a kill."""
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path) / "run"
        audited(model, X, y, arguments, folder)
        for file in sorted(folder.glob("shadow-*"))[arguments.shadows // 2 :]:
            file.unlink()
        return audited(model, X, y, arguments, folder)


def one_model(C, X, y, wrong, arguments):
    model = LogisticRegression(C=C, max_iter=1_000)
    audit, seconds = audited(model, X, y, arguments)
    again, half = resumed(model, X, y, arguments)
    if not np.array_equal(audit.lira_, again.lira_):
        raise SystemExit("The audit that was taken up again differs.")
    attack = audit.attack()
    print(f"\nC = {C}: {seconds:.1f} s whole, {half:.1f} s for the second half")
    print(attack)
    found = audit.memorized(wrong.mean())
    auc = roc_auc_score(wrong, audit.lira_)
    print(
        f"wrong labels: AUC of lira {auc:.3f}, {audit.memorized_[wrong].mean():.2f} of "
        f"them in the top tenth, {found[wrong].mean():.2f} in the top {wrong.sum()}; "
        f"counterfactual {audit.counterfactual_[wrong].mean():.2f}, of the others "
        f"{audit.counterfactual_[~wrong].mean():.2f}"
    )
    return {
        "C": C,
        "seconds": seconds,
        "seconds_second_half": half,
        "attack": attack.frame.to_dict(as_series=False),
        "auc_of_flips": auc,
    }


def noise(n_shadow):
    """Mean AUC on noise, and its standard error: target left out, and partner too."""
    found = []
    for draw in range(N_DRAWS):
        rng = np.random.default_rng(draw)
        masks = balanced_members(np.arange(N_SAMPLES) % 2, n_shadow, n_shadow // 2, rng)
        T = rng.normal(size=masks.shape) * rng.gamma(2.0, 1.0, N_SAMPLES)
        ratios = [log_lira(T, masks, equal_counts=equal) for equal in (False, True)]
        found.append([roc_auc_score(masks.ravel(), each.ravel()) for each in ratios])
    return np.mean(found, 0).tolist(), (np.std(found, 0) / N_DRAWS**0.5).tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2_000)
    parser.add_argument("--shadows", type=int, default=64)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cache", help="folder in which embeddings are kept")
    parser.add_argument("--write", action="store_true", help=f"keep in {RESULTS.name}")
    arguments = parser.parse_args()
    X, y, flipped = reviews(arguments.samples, arguments.cache)
    models = [one_model(C, X, y, flipped, arguments) for C in (1.0, 100.0)]
    print("\nAUC on noise: target left out | a model of the other side as well")
    chance = {}
    for n_shadow in (4, 8, 16, 64):
        means, errors = chance[n_shadow] = noise(n_shadow)
        cells = [f"{m:.3f} +- {e:.3f}" for m, e in zip(means, errors, strict=True)]
        print(f"{n_shadow:3} models: {' | '.join(cells)}")
    if arguments.write:
        machine = {"machine": platform.machine(), "cores": os.cpu_count()}
        settings = {"samples": len(y), "shadows": arguments.shadows}
        raw = machine | settings | {"models": models, "noise": chance}
        RESULTS.write_text(json.dumps(raw, indent=1) + "\n")


if __name__ == "__main__":
    main()
