"""Filters, weights, audits and measures stay what they are (golden/acting.json)."""

import numpy as np
import pytest
import sklearn
from golden_files import check_golden, columns_of, fitted, made_samples, sample
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score

from smilearn import (
    EarlyPointMonitor,
    FilteredEstimator,
    HeldOutScorer,
    LayerSelector,
    RiskFilter,
    RiskReweighter,
    RiskTable,
    ShadowAudit,
    SlicedMIScorer,
    audit_protection,
    baselines,
    compare_scorers,
    datasets,
    metrics,
)
from smilearn.audit import _model_selection as model_selection

X, Y = made_samples()
SOLVED = 1e-6  # by a solver whose last steps square the error


def scorer(n_slices=32, **settings):
    settings = {"pooled": False, "random_state": 0, "device": "cpu"} | settings
    return SlicedMIScorer(n_slices, **settings)


def logistic():
    return LogisticRegression(solver="newton-cholesky", tol=1e-10)


def check(key, result, tolerance=1e-4):
    """Compare; the solver of a logistic regression ends where the processor lets it."""
    check_golden("acting", key, result, tolerance)


@pytest.mark.filterwarnings("ignore::smilearn.exceptions.LowSupportWarning")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"share": 0.1},
        {"share": 0.1, "random_state": 1},
        {"share": 0.1, "by_class": True},
        {"threshold": 0.0},
        {"threshold": -0.3, "min_per_class": 11},
        {"n_remove": 5},
        {"n_remove": 2, "by_class": True},
        {"alpha": 0.05},
        {"contamination": 0.2},
    ],
    ids=str,
)
def test_filter(settings):
    rule = dict(settings)
    given = {n: rule.pop(n) for n in ("random_state", "contamination") if n in rule}
    if "alpha" in rule:
        given |= {"contamination": "permutation", "alpha": rule["alpha"]}
    cleaner = RiskFilter(scorer(**given), **rule)
    X_kept, y_kept, rows = cleaner.fit_resample(X, Y, rows=np.arange(len(Y)))
    np.testing.assert_array_equal(X_kept, X[rows])
    np.testing.assert_array_equal(y_kept, Y[rows])
    result = {
        "removed": np.setdiff1d(np.arange(len(Y)), rows),
        "threshold": cleaner.threshold_,
        "kept": cleaner.sampling_strategy_,
        "scores": sample(cleaner.scores_),
        "false_flag_rate": cleaner.false_flag_rate_,
        "attributes": fitted(cleaner),
    }
    check(f"filter, {settings}", result)


def test_filter_by_a_table():
    pd = pytest.importorskip("pandas")
    ids = [f"n{i}" for i in range(len(Y))]
    table = RiskTable(scorer().fit(X, Y).scores_, Y, id=ids)
    by_place = RiskFilter(table, share=0.1).fit(None, Y)
    shuffled = pd.DataFrame(X, index=ids).iloc[::-3]
    y = pd.Series(Y, index=ids).iloc[::-3]
    by_index = RiskFilter(table, share=0.1, match="index").fit(shuffled, y)
    result = {
        "by_place": np.flatnonzero(~by_place.support_),
        "by_index": np.flatnonzero(~by_index.support_),
    }
    check("filter, table", result)


@pytest.mark.parametrize("weight", ["soft", "hard", "own"])
def test_reweighter(weight):
    cleaner = RiskFilter(scorer(), share=0.1)
    given = (lambda risk: np.exp(-risk)) if weight == "own" else weight
    model = RiskReweighter(logistic(), cleaner, weight=given, softness=0.7).fit(X, Y)
    check(f"weights, {weight}", sample(model.weights_))
    result = sample(model.predict_proba(X), 20) | {"attributes": fitted(model)}
    check(f"weighted model, {weight}", result, SOLVED)


def test_filtered_estimator():
    model = FilteredEstimator(logistic(), RiskFilter(scorer(), share=0.1)).fit(X, Y)
    result = sample(model.predict_proba(X), 20) | {"accuracy": model.score(X, Y)}
    check("filtered estimator", result, SOLVED)


def audited(**settings):
    settings = {"n_shadow": 8, "random_state": 0} | settings
    return ShadowAudit(logistic(), **settings).fit(X, Y)


@pytest.mark.parametrize(
    "settings",
    [{}, {"statistic": "loss", "target": 1}, {"n_shadow": 4, "share": 0.75}],
    ids=str,
)
def test_audit(settings):
    audit = audited(**settings)
    result = {
        name: sample(getattr(audit, name))
        for name in (
            "lira_",
            "lira_std_",
            "counterfactual_",
            "counterfactual_std_",
            "counterfactual_gap_",
            "counterfactual_gap_std_",
        )
    }
    result["memorized"] = np.flatnonzero(audit.memorized_)
    result["audited"] = np.flatnonzero(~audit.audited_)
    result["in"] = np.flatnonzero(audit.shadow_in_[1])
    result["statistic"] = sample(audit.statistic_[1])
    result["above"] = np.flatnonzero(audit.memorized(threshold=1.0))
    result["rmia"] = sample(audit.rmia())
    result["half"] = sample(audit.lira_of([0, 2, 3]))
    result["attack"] = columns_of(audit.attack(n_bootstrap=20))
    result["attack_rmia"] = columns_of(audit.attack("rmia", n_bootstrap=20))
    result["table"] = columns_of(audit.to_table(ids=range(100, 220)).take(range(5)))
    result["attributes"] = fitted(audit)
    check(f"audit, {settings}", result, SOLVED)


def test_audit_goes_on_from_its_folder(tmp_path):
    settings = {"n_shadow": 4, "checkpoint_folder": tmp_path}
    first, again = audited(**settings), audited(**settings)
    np.testing.assert_array_equal(first.lira_, again.lira_)
    check("audit in a folder", sample(first.lira_), SOLVED)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("control", [True, False])
def test_audit_of_a_filter(control):
    audit = audited(n_shadow=4)
    removed = np.arange(0, len(Y), 14)
    effect = audit_protection(audit, removed, X, Y, control=control, n_bootstrap=20)
    timeless = np.flatnonzero(effect["measure"] != "seconds")
    result = {
        "columns": columns_of(effect.take(timeless)),
        "samples": columns_of(effect.samples.take(range(0, len(Y), 24))),
        "reference": effect.reference,
    }
    check(f"audit of a filter, {control}", result, SOLVED)


def test_comparison_of_scorers():
    audit = audited()
    scorers = {
        "psmi": scorer().fit(X, Y),
        "loss": HeldOutScorer(logistic(), prior=None, random_state=0),
        "lda": baselines.LDAScorer(),
    }
    table = compare_scorers(
        scorers, audit=audit, X=X, y=Y, n_bootstrap=30, random_state=0
    )
    check("comparison by an audit", columns_of(table), SOLVED)
    memorized = np.arange(len(Y)) % 14 == 0
    scores = {"psmi": scorers["psmi"].scores_, "size": -np.linalg.norm(X, axis=1)}
    table = compare_scorers(
        scores, memorized, reference="size", n_bootstrap=30, random_state=0
    )
    check("comparison by a truth", columns_of(table))


def test_measures():
    rng = np.random.default_rng(5)
    risk, codes = rng.normal(size=60).round(1), rng.integers(0, 3, 60)
    memorized, table = rng.random(60) < 0.3, rng.normal(size=(60, 3)).round(1)
    result = {
        "auc": metrics.auc(memorized, risk),
        "fpr": [metrics.fpr_at_tpr(memorized, risk, tpr) for tpr in (0.5, 0.75, 1.0)],
        "tpr": [metrics.tpr_at_fpr(memorized, risk, fpr) for fpr in (0.0, 0.01, 0.3)],
        "precision": [metrics.precision_at_k(memorized, risk, k) for k in (1, 10, 60)],
        "rank": metrics.rank_correlation(table[:, 0] + risk, risk),
        "contrast": metrics.label_contrast(table, codes),
        "weighted": metrics.label_contrast(table, codes, np.arange(60)),
    }
    check("measures", result)


def test_searches():
    memorized = np.arange(len(Y)) % 14 == 0
    folds = list(StratifiedKFold(3).split(X, memorized))
    with sklearn.config_context(enable_metadata_routing=True):
        scoring = model_selection.memorized_scorer(metrics.fpr_at_tpr, tpr=0.5)
        values = cross_val_score(
            scorer(), X, Y, scoring=scoring, cv=folds, params={"memorized": memorized}
        )
    search = GridSearchCV(
        scorer(),
        {"n_slices": [2, 8, 32]},
        cv=StratifiedKFold(3),
        refit=model_selection.smallest_within(0.02),
    ).fit(X, Y)
    found = search.cv_results_["mean_test_score"]
    check("searches", {"values": values, "found": found, **search.best_params_})


def test_layers():
    states = np.arange(60.0).reshape(3, 5, 4)
    for layer in (0, 2, -1):
        chosen = LayerSelector(layer).fit_transform(states)
        np.testing.assert_array_equal(chosen, states[:, layer])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n_classes": 3, "loss_drop": 0.4},
        {"rule": "gap"},
        {"rule": "epochs", "stop_epoch": 1.5},
    ],
    ids=str,
)
def test_early_point(settings):
    rng = np.random.default_rng(2)
    start, monitor = rng.gamma(4, 0.3, 50), EarlyPointMonitor(**settings)
    reached = [
        monitor.update(
            start * 0.8**step,
            validation_losses=start[:20] * 0.9**step,
            correct=start * 0.8**step < 0.9,
            epoch=step / 2,
        )
        for step in range(6)
    ]
    assert reached[-1] is monitor.reached is True
    check(f"monitor, {settings}", {"reached": reached, "history": monitor.history})


def test_data_sets():
    noisy, flipped = datasets.flip_labels(Y, 0.1, random_state=0)
    reviews = datasets.load_rotten_tomatoes(40, random_state=1)
    result = {
        "flipped": np.flatnonzero(flipped),
        "noisy": noisy[flipped],
        "texts": [text[:20] for text in reviews.texts[:5]],
        "labels": reviews.labels,
    }
    check("data sets", result)
