"""Scores of every setting stay what they are, to 1e-10 (golden/scores.json)."""

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

SLICINGS = ["isotropic", "principal", "whitened", "discriminant", "joint", "adaptive"]
X, Y = made_samples()
X_NEW, Y_NEW = made_samples(40, seed=8)
WHOLE = np.arange(len(Y)) % 4
FRACTIONAL = 0.25 + np.arange(len(Y)) % 5 / 3
SEVERAL = np.stack([Y == "ham", X[:, 3] > 3.8, X[:, 0] > 4.2], 1).astype(int)
CUTS = [0, 50, 57, 91, 120]


def scorer(pooled=False, n_slices=32, **settings):
    settings = {"random_state": 0, "device": "cpu"} | settings
    return SlicedMIScorer(n_slices, slicing=slicing, **settings)


def about(fitted_scorer, X_new=X_NEW, y_new=Y_NEW):
    """What a fitted scorer tells of the samples it was fitted to, and of new ones."""
    result = {}
    for name in ("scores_", "scores_std_"):
        if hasattr(fitted_scorer, name):
            result[name] = sample(getattr(fitted_scorer, name))
    for name in (
        "reliability_",
        "offset_",
        "false_flag_rate_",
        "n_slices_",
        "weights_",
    ):
        if hasattr(fitted_scorer, name):
            result[name] = getattr(fitted_scorer, name)
    if hasattr(fitted_scorer, "far_"):
        result["far"] = np.flatnonzero(fitted_scorer.far_)
    result["new"] = sample(fitted_scorer.score_samples(X_new, y_new))
    result["new_best"] = sample(fitted_scorer.score_samples(X_new))
    result["table"] = sample(fitted_scorer.score_table(X_new), step=20)
    result["contrast"] = fitted_scorer.score(X_new, y_new)
    result["flags"] = fitted_scorer.predict(X_new, y_new)[:20]
    return result


@pytest.mark.parametrize("left_out", [True, False])
@pytest.mark.parametrize("density", ["student", "gaussian"])
@pytest.mark.parametrize("slicing", SLICINGS)
def test_slicing_and_density(slicing, density, left_out):
    model = scorer(slicing, density=density, leave_one_out=left_out).fit(X, Y)
    check_golden("scores", f"{slicing}, {density}, {left_out}", about(model))


def test_fitted_attributes():
    models = {slicing: scorer(slicing).fit(X, Y) for slicing in SLICINGS}
    models["several"] = scorer().fit(X, SEVERAL)
    models["permutation"] = scorer(contamination="permutation").fit(X, Y)
    models["batches"] = scorer().fit_batches(batches())
    models["stream"] = streamed(batches())
    check_golden("scores", "attributes", {n: fitted(models[n]) for n in models})


@pytest.mark.filterwarnings("ignore::smilearn.exceptions.ReliabilityWarning")
@pytest.mark.parametrize("slicing", SLICINGS)
def test_number_of_slices_by_itself(slicing):
    model = scorer(slicing, "auto", max_slices=256).fit(X, Y)
    check_golden("scores", f"{slicing}, auto", about(model))


@pytest.mark.parametrize("weight", ["whole", "fractional"])
@pytest.mark.parametrize("slicing", SLICINGS)
def test_weights(slicing, weight):
    values = WHOLE if weight == "whole" else FRACTIONAL
    model = scorer(slicing).fit(X, Y, values)
    result = about(model)
    result["weighted_contrast"] = model.score(X, Y, values)
    check_golden("scores", f"{slicing}, {weight} weights", result)


@pytest.mark.parametrize("slicing", ["isotropic", "principal", "adaptive"])
def test_sparse(slicing):
    some, new = (csr_matrix(np.where(each > 3.5, each, 0)) for each in (X, X_NEW))
    check_golden(
        "scores", f"{slicing}, sparse", about(scorer(slicing).fit(some, Y), new)
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"far": None},
        {"far": 3.0},
        {"orthogonal": False},
        {"slicing": "principal", "n_components": 4},
        {"slicing": "whitened", "cross_fit": 3},
        {"slicing": "adaptive", "far": None},
        {"slicing": "discriminant", "block_size": 5},
        {"random_state": np.random.RandomState(3)},
        {"random_state": np.random.default_rng(3)},
    ],
    ids=str,
)
def test_settings(settings, request):
    key = str(request.node.callspec.id).partition(" at 0x")[0].partition("(")[0]
    check_golden("scores", key, about(scorer(**settings).fit(X, Y)))


def test_single_precision():
    model = scorer(dtype="float32").fit(X, Y)
    result = about(model)
    check_golden("scores", "float32", result, tolerance=1e-4)  # sums of float32


@pytest.mark.filterwarnings("ignore::smilearn.exceptions.ReliabilityWarning")
@pytest.mark.parametrize("contamination", [None, 0.1, "permutation"])
@pytest.mark.parametrize("slicing", SLICINGS)
def test_decision_threshold(slicing, contamination):
    model = scorer(slicing, 16, contamination=contamination)
    result = {"flagged": np.flatnonzero(model.fit_predict(X, Y) < 0)}
    result["decision"] = sample(model.decision_function(X_NEW, Y_NEW))
    result["offset"] = model.offset_
    result["false_flag_rate"] = getattr(model, "false_flag_rate_", None)
    check_golden("scores", f"{slicing}, contamination {contamination}", result)


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
    check_golden("scores", f"offsets, contamination {contamination}", result)


def batches(weight=None):
    parts = [slice(*pair) for pair in pairwise(CUTS)]
    if weight is None:
        return [(X[part], Y[part]) for part in parts]
    return [(X[part], Y[part], weight[part]) for part in parts]


@pytest.mark.parametrize("weight", [None, WHOLE], ids=["alike", "weights"])
@pytest.mark.parametrize("far", [None, 5.0])
def test_fit_batches(far, weight):
    model = scorer(dtype="float64", far=far).fit_batches(batches(weight))
    name = "alike" if weight is None else "weights"
    check_golden("scores", f"batches, far {far}, {name}", about(model))


@pytest.mark.filterwarnings("ignore::smilearn.exceptions.ReliabilityWarning")
def test_fit_batches_with_slices_by_itself():
    model = scorer(n_slices="auto", max_slices=64, dtype="float64")
    check_golden("scores", "batches, auto", about(model.fit_batches(batches())))


def streamed(parts, **settings):
    model = scorer(dtype="float64", **settings)
    for part in parts:
        model.partial_fit(part[0], part[1], np.unique(Y), *part[2:])
    return model


@pytest.mark.parametrize("weight", [None, WHOLE], ids=["alike", "weights"])
def test_partial_fit_and_merge(weight):
    parts = batches(weight)
    whole = streamed(parts)
    merged = streamed(parts[:1]).merge(streamed(parts[1:]))
    result = {
        "chunks": about(whole),
        "again": sample(whole.score_training_samples(X, Y, weight)),
        "merged": about(merged),
        "merged_again": sample(merged.score_training_samples(X, Y, weight)),
    }
    name = "alike" if weight is None else "weights"
    check_golden("scores", f"partial_fit and merge, {name}", result)


def test_score_training_samples_after_fit():
    result = {
        slicing: sample(scorer(slicing).fit(X, Y).score_training_samples(X, Y))
        for slicing in ("isotropic", "principal")
    }
    check_golden("scores", "score_training_samples", result)


@pytest.mark.parametrize("slicing", ["isotropic", "whitened", "adaptive"])
def test_several_labels(slicing):
    y_new = np.stack([Y_NEW == "ham", X_NEW[:, 3] > 3.8, X_NEW[:, 0] > 4.2], 1) * 1
    model = scorer(slicing, 16, contamination=0.1).fit(X, SEVERAL)
    result = about(model, y_new=y_new)
    result["label_scores"] = sample(model.label_scores_)
    check_golden("scores", f"{slicing}, several labels", result)


@pytest.mark.parametrize("slicing", SLICINGS[:-1])
def test_stages_and_convergence(slicing):
    model = scorer(slicing).fit(X, Y)
    at = [1] if slicing == "joint" else [4, 16, 32]
    curve = SliceConvergence.from_estimator(model, X_NEW, Y_NEW)
    result = {
        "labelled": list(map(sample, model.staged_score_samples(X_NEW, Y_NEW, at))),
        "best": list(map(sample, model.staged_score_samples(X_NEW, at=at))),
        "n_slices": curve.n_slices,
        "contrast": curve.contrast,
        "reliability": curve.reliability,
        "agreement": curve.agreement,
    }
    check_golden("scores", f"{slicing}, stages", result)


def test_tables_of_scores():
    model = scorer("adaptive").fit(X, Y)
    table = columns_of(
        model.to_table(X, ids=[f"n{i}" for i in range(len(Y))]).take(range(9))
    )
    members = {name: sample(m.scores_, 30) for name, m in model.members_.items()}
    result = {"table": table, "contrast": model.contrast_, "members": members}
    check_golden("scores", "table and members", result)


def test_score_samples_of_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), scorer("joint")).fit(X, Y)
    result = {
        "labelled": sample(smilearn.score_samples(pipeline, X_NEW, Y_NEW)),
        "best": sample(smilearn.score_samples(pipeline, X_NEW)),
    }
    check_golden("scores", "pipeline", result)


def test_record_batches():
    import pyarrow as pa

    columns = {"embedding": X.tolist(), "label": Y, "weight": WHOLE}
    given = RecordBatches(
        pa.table(columns), label="label", sample_weight="weight", batch_size=50
    )
    assert [len(batch[1]) for batch in given] == [50, 50, 20]
    model = scorer(dtype="float64").fit_batches(given)
    check_golden("scores", "batches, far 5.0, weights", about(model))
