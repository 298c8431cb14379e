"""Settings chosen with the ground truth of an audit, and without."""

import pickle

import numpy as np
import pytest
import sklearn
from oracles import embeddings
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilearn import SlicedMIScorer
from smilearn.audit import memorized_scorer, smallest_within
from smilearn.exceptions import InvalidInputError, LowSupportWarning
from smilearn.metrics import fpr_at_tpr, precision_at_k, tpr_at_fpr


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture
def audit(seed):
    """Samples of which those with a wrong label are the memorized ones."""
    X, y = embeddings(seed, (90, 80, 70), 12, apart=0.5)
    memorized = np.random.default_rng(seed).random(len(y)) < 0.1
    y[memorized] = (y[memorized] + 1) % 3
    return X, y, memorized


def folds(memorized):
    return list(StratifiedKFold(3).split(memorized, memorized))


def scorer(**parameters):
    return SlicedMIScorer(
        **{"n_slices": 32, "random_state": 0, "pooled": False} | parameters
    )


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize(
    ("metric", "settings", "sign"),
    [
        (roc_auc_score, {}, 1),
        (tpr_at_fpr, {"fpr": 0.1}, 1),
        (fpr_at_tpr, {"tpr": 0.5}, -1),
        (precision_at_k, {"k": 8}, 1),
    ],
)
def test_judges_held_out_scores(audit, metric, settings, sign):
    X, y, memorized = audit
    found = cross_val_score(
        scorer(),
        X,
        y,
        scoring=memorized_scorer(metric, **settings),
        cv=folds(memorized),
        params={"memorized": memorized},
    )
    expected = [
        sign
        * metric(
            memorized[held_out],
            -scorer().fit(X[known], y[known]).score_samples(X[held_out], y[held_out]),
            **settings,
        )
        for known, held_out in folds(memorized)
    ]
    assert found == pytest.approx(expected, abs=1e-12)
    assert 0.2 < np.abs(found).max() <= 1 or metric is fpr_at_tpr


@pytest.mark.usefixtures("routing")
def test_labels_that_were_not_seen_are_left_out(audit):
    X, y, memorized = audit
    fitted = scorer().fit(X[y != 2], y[y != 2])
    with pytest.warns(LowSupportWarning, match=rf"{(y == 2).sum()} of 240 samples"):
        found = memorized_scorer()(fitted, X, y, memorized=memorized)
    rest = y != 2
    assert found == memorized_scorer()(
        fitted, X[rest], y[rest], memorized=memorized[rest]
    )


def test_routing_must_be_on():
    with pytest.raises(InvalidInputError, match=r"routing is off. Call sklearn\.set_c"):
        memorized_scorer()


@pytest.mark.usefixtures("routing")
def test_what_cannot_score_or_be_a_metric_is_named(audit):
    X, y, memorized = audit
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    with pytest.raises(InvalidInputError, match=r"must have score_samples.*got Logist"):
        memorized_scorer()(fitted, X, y, memorized=memorized)
    judge = memorized_scorer(training=True)
    with pytest.raises(InvalidInputError, match=r"be the 240 that were fitted.*got 9"):
        judge(scorer().fit(X, y), X[:9], y[:9], memorized=memorized[:9])
    with pytest.raises(InvalidInputError, match=r"function of memorized.*got 'auc'"):
        memorized_scorer("auc")


@pytest.mark.usefixtures("routing")
def test_in_a_pipeline_with_several_metrics(audit):
    X, y, memorized = audit
    inner = make_pipeline(PCA(8, random_state=0), scorer())
    search = GridSearchCV(
        make_pipeline(StandardScaler(), inner),
        {"pipeline__slicedmiscorer__pooled": [False, True]},
        scoring={
            "auc": memorized_scorer(),
            "false": memorized_scorer(fpr_at_tpr, tpr=0.9),
            "likely": lambda estimator, X, y: estimator.score_samples(X).mean(),
        },
        refit="false",
        cv=folds(memorized),
        error_score="raise",
    ).fit(X, y, memorized=memorized)
    results = search.cv_results_
    assert search.best_index_ == results["mean_test_false"].argmax()
    train, held_out = folds(memorized)[0]
    steps = StandardScaler().fit(X[train]), PCA(8, random_state=0)
    points = steps[1].fit_transform(steps[0].transform(X[train]))
    judged = scorer().fit(points, y[train])
    points = steps[1].transform(steps[0].transform(X[held_out]))
    expected = roc_auc_score(
        memorized[held_out], -judged.score_samples(points, y[held_out])
    )
    assert results["split0_test_auc"][0] == pytest.approx(expected)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda truth: None, "memorized is missing.*enable_metadata_routing=True"),
        (lambda truth: truth & False, "240 samples to score.*; 0 are memorized. Deal"),
        (lambda truth: truth | True, "samples to score.*; 240 are memorized. Deal"),
        (lambda truth: truth + 0.5, r"memorized must be 0 or 1; got 0\.5, 1\.5\."),
        (lambda truth: np.where(truth, "yes", "no"), "0 or 1; got 'no', 'yes'"),
        (lambda truth: np.where(truth, True, None), "0 or 1; got None, True"),
        (lambda truth: truth[1:], "inconsistent numbers of samples"),
    ],
)
def test_a_truth_that_cannot_be_used_is_named(audit, change, message):
    X, y, memorized = audit
    with pytest.raises(ValueError, match=message):
        memorized_scorer()(scorer().fit(X, y), X, y, memorized=change(memorized))


def results(scores, sizes, name="n_slices", **more):
    return {"mean_test_score": np.array(scores), f"param_{name}": sizes} | more


@pytest.mark.parametrize(
    ("scores", "sizes", "tolerance", "chosen"),
    [
        ([0.7, 0.85, 0.86, 0.8555], [16, 64, 256, 1024], 0.0, 2),
        ([0.7, 0.85, 0.86, 0.8555], [16, 64, 256, 1024], 0.01, 1),
        ([0.7, 0.85, 0.86, 0.8555], [16, 64, 256, 1024], 0.2, 0),
        ([0.80, 0.81, 0.805], [64, 64, 64], 0.1, 1),  # ties go to the better score
        ([np.nan, 0.6, 0.65], [1, 2, 3], 0.1, 1),
    ],
)
def test_takes_the_smallest_within_the_tolerance(scores, sizes, tolerance, chosen):
    assert smallest_within(tolerance)(results(scores, sizes)) == chosen


@pytest.mark.parametrize("tolerance", [-0.1, np.nan, "a", None])
def test_a_tolerance_is_a_number_that_is_not_negative(tolerance):
    with pytest.raises(InvalidInputError, match="not negative; got"):
        smallest_within(tolerance)


@pytest.mark.parametrize(
    ("searched", "message"),
    [
        (results([np.nan], [1]), "No candidate has a finite mean test score"),
        (results([1.0], [1], "density"), r"named 'n_slices'.* over \['density'\]"),
        (
            results([1.0], [1], "a__n_slices", param_b__n_slices=[2]),
            r"over \['a__n_slices', 'b__n_slices'\]",
        ),
        (results([1.0, 1.0], ["auto", 5]), r"number in every .* \['5', 'auto'\]"),
    ],
)
def test_what_cannot_be_chosen_from_is_named(searched, message):
    with pytest.raises(InvalidInputError, match=message):
        smallest_within()(searched)


def test_in_a_grid_search_over_a_pipeline(seed):
    X, y = embeddings(seed, (90, 80, 70), 12, apart=0.5)
    scorer = SlicedMIScorer(pooled=False, random_state=0)
    pipeline = make_pipeline(StandardScaler(), scorer)
    grid = {"slicedmiscorer__n_slices": [2, 32, 128]}
    search = GridSearchCV(
        pipeline, grid, cv=StratifiedKFold(3), refit=smallest_within(0.02)
    ).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert scores[search.best_index_] >= scores.max() - 0.02
    assert (scores[: search.best_index_] < scores.max() - 0.02).all()
    assert (
        search.best_estimator_[-1].n_slices_
        == search.best_params_["slicedmiscorer__n_slices"]
    )
    again = pickle.loads(pickle.dumps(search))
    assert again.refit(search.cv_results_) == search.best_index_
