"""Would slices of k dimensions earn their place? A prototype against the mixture.

    python benchmarks/slice_dim.py

Reads the truth files that ``detection.py`` reads. A slice of k dimensions is a random
subspace; classes are normal in it with one covariance, and the score of a sample is its
mean over slices, from ten folds that have not seen it. Between one dimension
(isotropic slices) and all of them (``slicing="joint"``). Prints, for each moment, AUC /
FPR at TPR 0.75 of the mixture as it is, of such slices alone, and of a mixture that has
them instead of its joint member or beside it; then the means over moments.
"""

import os
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from smilearn import SlicedMIScorer
from smilearn.metrics import fpr_at_tpr, label_contrast
from smilearn.scoring._families import location_and_scale, mixed, weights_of

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SMILEARN_DATA", HERE.parent.parent / "shared" / "data"))
SIZES = ((8, 96), (64, 32), (128, 16))  # dimensions, slices
_RIDGE = 1e-3  # of the mean variance: a covariance of few samples has no inverse


def scores_of(X, y, n_dims, n_slices, seed=0):
    """Scores from folds that have not seen the samples, and their label contrast."""
    rng = np.random.default_rng(seed)
    X = (X - X.mean(0)) / X.std()
    draws = rng.normal(size=(n_slices, X.shape[1], n_dims))
    spans = np.linalg.qr(draws)[0].transpose(1, 0, 2).reshape(X.shape[1], -1)
    projected = (X @ spans).reshape(len(X), n_slices, n_dims)
    table = np.empty((len(X), y.max() + 1))
    deal = StratifiedKFold(10, shuffle=True, random_state=seed)
    for rest, fold in deal.split(X, y):
        table[fold] = log_posterior_over_prior(
            projected[rest], y[rest], projected[fold]
        )
    return table[np.arange(len(y)), y], label_contrast(table, y)


def log_posterior_over_prior(known, y, new):
    """Mean over slices (n, S, k) of the pointwise mutual information: (n_new, K)."""
    count = np.bincount(y)
    means = np.stack([known[y == label].mean(0) for label in range(len(count))])
    apart = (known - means[y]).transpose(1, 2, 0)  # (S, k, n)
    scatter = apart @ apart.transpose(0, 2, 1) / len(y)
    size = np.trace(scatter, axis1=1, axis2=2) / scatter.shape[1]
    scatter += _RIDGE * size[:, None, None] * np.eye(scatter.shape[1])
    weights = np.linalg.solve(scatter, means.transpose(1, 2, 0))  # (S, k, K)
    offset = -0.5 * (weights * means.transpose(1, 2, 0)).sum(1)  # (S, K)
    linear = new.transpose(1, 0, 2) @ weights + offset[:, None]  # (S, n_new, K)
    joint = linear + np.log(count / len(y))
    return (linear - np.logaddexp.reduce(joint, axis=2, keepdims=True)).mean(0)


def mixture(scores, contrast):
    places = {name: location_and_scale(values) for name, values in scores.items()}
    return mixed(scores, weights_of(contrast), places)


def compared(X, y):
    """Scores of each way, by name."""
    fitted = SlicedMIScorer(500, random_state=0).fit(X.astype(np.float32), y)
    members = {name: member.scores_ for name, member in fitted.members_.items()}
    contrast, found = fitted.contrast_, {"mixture": fitted.scores_}
    for n_dims, n_slices in SIZES:
        own, its = scores_of(X, y, n_dims, n_slices)
        name = f"k={n_dims}"
        found[f"{name} alone"] = own
        instead = members | {"joint": own}, contrast | {"joint": its}
        found[f"{name} for joint"] = mixture(*instead)
        found[f"{name} beside"] = mixture(members | {name: own}, contrast | {name: its})
    return found


def main():
    totals = {}
    for path in sorted((DATA / "lira").glob("*.npz")):
        with np.load(path) as file:
            data = dict(file)
        memorized = data["lira"] >= np.quantile(data["lira"], 0.9)
        moments = ["sentence", "base_low", *(f"{s}_last" for s in data["stages"])]
        for moment in moments:
            found = compared(data[f"X_{moment}"].astype(np.float64), data["y"])
            print(path.stem, moment)
            for name, scores in found.items():
                area, false = (
                    m(memorized, -scores) for m in (roc_auc_score, fpr_at_tpr)
                )
                totals.setdefault(name, []).append((area, false))
                print(f"    {name:16} {area:.3f} / {false:.3f}", flush=True)
    print("mean over moments")
    for name, values in totals.items():
        print("    {:16} {:.4f} / {:.4f}".format(name, *np.mean(values, 0)))


if __name__ == "__main__":
    main()
