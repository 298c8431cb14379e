"""Scores of every setting stay what they are (golden/scores.json)."""

from itertools import pairwise

import numpy as np
import pytest
from golden_files import check_golden, columns_of, fitted, made_samples, sample
from scipy.sparse import csr_matrix
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import smilearn
from smilearn import SliceConvergence, SlicedMIScorer
from smilearn.scoring import RecordBatches

X, Y = made_samples()
X_NEW, Y_NEW = made_samples(40, seed=8)
WHOLE = np.arange(len(Y)) % 4
FRACTIONAL = 0.25 + np.arange(len(Y)) % 5 / 3
SEVERAL = np.stack([Y == "ham", X[:, 3] > 3.8, X[:, 0] > 4.2], 1).astype(int)
CUTS = [0, 50, 57, 91, 120]
KINDS = pytest.mark.parametrize("pooled", [True, False], ids=["pooled", "psmi"])


def scorer(pooled=True, n_slices=32, **settings):
    settings = {"random_state": 0, "device": "cpu"} | settings
    return SlicedMIScorer(n_slices, pooled=pooled, **settings)


def check(key, result, pooled=True, tolerance=None):
    """Compare with the golden file; weights of a pool are found in steps."""
    key = f"{'pooled' if pooled else 'psmi'}, {key}"
    check_golden("scores", key, result, tolerance or (1e-6 if pooled else 1e-10))


def about(fitted_scorer, X_new=X_NEW, y_new=Y_NEW):
    """What a fitted scorer tells of the samples it was fitted to, and of new ones."""
    result = {}
    for name in ("scores_", "psmi_", "scores_std_"):
        if hasattr(fitted_scorer, name):
            result[name] = sample(getattr(fitted_scorer, name))
    for name in ("reliability_", "offset_", "false_flag_rate_", "n_slices_"):
        if hasattr(fitted_scorer, name):
            result[name] = getattr(fitted_scorer, name)
    if hasattr(fitted_scorer, "outliers_"):
        result["outliers"] = np.flatnonzero(fitted_scorer.outliers_)
    if hasattr(fitted_scorer, "sums_"):
        result["pool"] = fitted_scorer.pool_
    result["new"] = sample(fitted_scorer.score_samples(X_new, y_new))
    result["new_best"] = sample(fitted_scorer.score_samples(X_new))
    result["probabilities"] = sample(fitted_scorer.predict_proba(X_new), step=20)
    result["score"] = fitted_scorer.score(X_new, y_new)
    result["flags"] = fitted_scorer.predict(X_new, y_new)[:20]
    return result


@pytest.mark.parametrize("left_out", [True, False])
@pytest.mark.parametrize("density", ["student", "gaussian"])
@KINDS
def test_densities(pooled, density, left_out):
    model = scorer(pooled, density=density, leave_one_out=left_out).fit(X, Y)
    check(f"{density}, {left_out}", about(model), pooled)


def test_fitted_attributes():
    models = {pooled: scorer(pooled).fit(X, Y) for pooled in (True, False)}
    models["several"] = scorer().fit(X, SEVERAL)
    models["permutation"] = scorer(contamination="permutation").fit(X, Y)
    models["batches"] = scorer().fit_batches(batches())
    models["stream"] = streamed(batches())
    check("attributes", {n: fitted(models[n]) for n in models})


@pytest.mark.filterwarnings("ignore::smilearn.exceptions.ReliabilityWarning")
@KINDS
def test_number_of_slices_by_itself(pooled):
    model = scorer(pooled, "auto", max_slices=512).fit(X, Y)
    check("auto", about(model), pooled)


@pytest.mark.parametrize("weight", ["whole", "fractional"])
@KINDS
def test_weights(pooled, weight):
    values = WHOLE if weight == "whole" else FRACTIONAL
    model = scorer(pooled).fit(X, Y, values)
    result = about(model) | {"weighted_score": model.score(X, Y, values)}
    check(f"{weight} weights", result, pooled)


@KINDS
def test_sparse(pooled):
    some, new = (csr_matrix(np.where(each > 3.5, each, 0)) for each in (X, X_NEW))
    check("sparse", about(scorer(pooled).fit(some, Y), new), pooled)


@pytest.mark.parametrize(
    "settings",
    [
        {"outliers": None},
        {"outliers": 3.0},
        {"orthogonal": False},
        {"block_size": 5},
        {"random_state": np.random.RandomState(3)},
        {"random_state": np.random.default_rng(3)},
    ],
    ids=lambda settings: str(settings).partition("(")[0],
)
def test_settings(settings, request):
    key = request.node.callspec.id
    check(key, about(scorer(**settings).fit(X, Y)))


def test_single_precision():
    model = scorer(dtype="float32").fit(X, Y)
    check("float32", about(model), tolerance=1e-4)  # sums of float32


@pytest.mark.parametrize("contamination", [None, 0.1, "permutation"])
@KINDS
def test_decision_threshold(pooled, contamination):
    model = scorer(pooled, 16, contamination=contamination)
    result = {"flagged": np.flatnonzero(model.fit_predict(X, Y) < 0)}
    result["decision"] = sample(model.decision_function(X_NEW, Y_NEW))
    result["offset"] = model.offset_
    result["false_flag_rate"] = getattr(model, "false_flag_rate_", None)
    check(f"contamination {contamination}", result, pooled)


@pytest.mark.parametrize("contamination", [None, 0.1, "permutation"])
def test_decision_threshold_with_weights_and_sparse(contamination):
    settings = {"contamination": contamination, "n_slices": 16}
    some = csr_matrix(np.where(X > 3.5, X, 0))
    result = {
        "weights": scorer(**settings).fit(X, Y, WHOLE).offset_,
        "sparse": scorer(**settings).fit(some, Y).offset_,
        "several": scorer(**settings).fit(X, SEVERAL).offset_,
        "stream": scorer(dtype="float64", **settings).fit_batches(batches()).offset_,
    }
    check(f"offsets, contamination {contamination}", result)


def batches(weight=None):
    parts = [slice(*pair) for pair in pairwise(CUTS)]
    if weight is None:
        return [(X[part], Y[part]) for part in parts]
    return [(X[part], Y[part], weight[part]) for part in parts]


@pytest.mark.parametrize("weight", [None, WHOLE], ids=["alike", "weights"])
@pytest.mark.parametrize("outliers", [None, 5.0])
def test_fit_batches(outliers, weight):
    model = scorer(dtype="float64", outliers=outliers).fit_batches(batches(weight))
    name = "alike" if weight is None else "weights"
    check(f"batches, outliers {outliers}, {name}", about(model))


def streamed(parts, **settings):
    model = scorer(dtype="float64", **settings)
    for part in parts:
        model.partial_fit(part[0], part[1], np.unique(Y), *part[2:])
    return model


@pytest.mark.parametrize("weight", [None, WHOLE], ids=["alike", "weights"])
@KINDS
def test_partial_fit_and_merge(pooled, weight):
    parts = batches(weight)
    whole = streamed(parts, pooled=pooled)
    merged = streamed(parts[:1], pooled=pooled)
    merged.merge(streamed(parts[1:], pooled=pooled))
    result = {
        "chunks": about(whole),
        "again": sample(whole.score_training_samples(X, Y, weight)),
        "merged": about(merged),
        "merged_again": sample(merged.score_training_samples(X, Y, weight)),
    }
    name = "alike" if weight is None else "weights"
    check(f"partial_fit and merge, {name}", result, pooled)


@KINDS
def test_several_labels(pooled):
    y_new = np.stack([Y_NEW == "ham", X_NEW[:, 3] > 3.8, X_NEW[:, 0] > 4.2], 1) * 1
    model = scorer(pooled, 16, contamination=0.1).fit(X, SEVERAL)
    result = about(model, y_new=y_new)
    result["label_scores"] = sample(model.label_scores_)
    check("several labels", result, pooled)


@KINDS
def test_stages_and_convergence(pooled):
    model = scorer(pooled).fit(X, Y)
    at = [4, 16, 32]
    curve = SliceConvergence.from_estimator(model, X_NEW, Y_NEW)
    result = {
        "labelled": list(map(sample, model.staged_score_samples(X_NEW, Y_NEW, at))),
        "best": list(map(sample, model.staged_score_samples(X_NEW, at=at))),
        "n_slices": curve.n_slices,
        "contrast": curve.contrast,
        "reliability": curve.reliability,
        "agreement": curve.agreement,
    }
    check("stages", result, pooled)


@KINDS
def test_tables_of_scores(pooled):
    table = scorer(pooled).fit(X, Y).to_table(X, ids=[f"n{i}" for i in range(len(Y))])
    check("table", columns_of(table.take(range(9))), pooled)


def test_score_samples_of_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), scorer()).fit(X, Y)
    result = {
        "labelled": sample(smilearn.score_samples(pipeline, X_NEW, Y_NEW)),
        "best": sample(smilearn.score_samples(pipeline, X_NEW)),
    }
    check("pipeline", result)


def test_record_batches():
    import pyarrow as pa

    columns = {"embedding": X.tolist(), "label": Y, "weight": WHOLE}
    given = RecordBatches(
        pa.table(columns), label="label", sample_weight="weight", batch_size=50
    )
    assert [len(batch[1]) for batch in given] == [50, 50, 20]
    model = scorer(dtype="float64").fit_batches(given)
    check("batches, outliers 5.0, weights", about(model), tolerance=1e-6)
