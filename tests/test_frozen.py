"""What a fitted estimator answers does not depend on parameters set after `fit`."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
import tiny_models as tiny
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

import smilearn
from smilearn import baselines

# what is computed where and how, and what is shown of it
HOW = {"n_jobs", "verbose", "device", "batch_size", "block_size", "cache_folder"}
HOW |= {"local_files_only", "checkpoint_folder", "folder"}
RNG = np.random.default_rng(0)
Y = np.arange(80) % 2
X = RNG.normal(size=(80, 6)) + 1.5 * Y[:, None]
Y = np.where(RNG.random(80) < 0.1, 1 - Y, Y)
NEW, LABELS = X[::3] + 0.2, Y[::3]
STATES = RNG.normal(size=(9, 3, 4))
TEXTS = ["the film was good", "a bright scene", "the plot was awful", "a dull actor"]
TEXTS, CLASSES = TEXTS * 4, np.array([1, 1, 0, 0] * 4)
SLICED = {"random_state": 0, "n_slices": 16, "max_slices": 64}
QUICK = {"max_epochs": 1, "random_state": 0, "device": "cpu", "early_point": None}
SCORER_CHANGES = {
    "n_slices": 4,
    "pooled": False,
    "density": "gaussian",
    "leave_one_out": False,
    "outliers": None,
    "orthogonal": False,
    "contamination": 0.4,
    "alpha": 0.5,
    "max_slices": 8,
    "dtype": "float32",
    "random_state": 7,
}
TUNED_CHANGES = {
    "model": "nowhere",
    "lora": True,
    "freeze_layers": 1,
    "early_point": "gap",
    "loss_drop": 0.9,
    "validation_share": 0.3,
    "stop_epoch": 2.0,
    "head": "standard",
    "max_epochs": 9,
    "evaluations_per_epoch": 7,
    "learning_rate": 0.5,
    "gradient_accumulation": 4,
    "mixed_precision": "bf16",
    "class_weight": "balanced",
    "privacy": 8.0,
    "max_length": 3,
    "revision": "old",
    "trust_remote_code": True,
    "random_state": 5,
}
READ_CHANGES = {"model": "nowhere", "revision": "old", "trust_remote_code": True}


def scores(*methods):
    """Answers of a scorer, with and without labels."""

    def answers(scorer):
        asked = {name: getattr(scorer, name)(NEW) for name in methods}
        best, own = scorer.score_samples(NEW), scorer.score_samples(NEW, LABELS)
        return {"best": best, "own": own, **asked}

    return answers


def of_sliced(scorer):
    asked = {"staged": [*scorer.staged_score_samples(NEW, LABELS, at=[2, 16])]}
    asked["again"] = scorer.score_training_samples(X, Y)
    asked["table"] = scorer.to_table().frame.to_dict(as_series=False)
    return asked | of_stream(scorer) | {"pool": scorer.pool_}


def of_stream(scorer):
    asked = scores("predict_proba", "predict", "decision_function")(scorer)
    more = deepcopy(scorer).set_params(contamination=None).partial_fit(NEW, LABELS)
    asked["more"] = more.score_samples(NEW, LABELS)
    return asked | {"score": scorer.score(NEW, LABELS)}


def of_held_out(scorer):
    asked = scores("predict_proba", "predict", "decision_function")(scorer)
    asked["table"] = scorer.to_table().frame.to_dict(as_series=False)
    return asked | {"score": scorer.score(NEW, LABELS), "pool": scorer.pool_}


def of_classifier(model):
    return {"label": model.predict(NEW), "probability": model.predict_proba(NEW)}


def of_texts(embedder):
    rows = embedder.transform(TEXTS[:4])
    return {"rows": rows, "names": embedder.get_feature_names_out()}


def of_text_classifier(model):
    asked = ("predict", "predict_proba", "decision_function")
    return {name: getattr(model, name)(TEXTS[:4]) for name in asked}


def of_audit(audit):
    asked = {"memorized": audit.memorized(), "rmia": audit.rmia()}
    for name, table in (("attack", audit.attack()), ("table", audit.to_table())):
        asked[name] = table.frame.to_dict(as_series=False)
    return asked | {"lira": audit.lira_of([0, 1, 2, 3])}


def of_monitor(monitor):
    monitor = deepcopy(monitor)
    more = [monitor.update(np.full(9, loss), epoch=9.0) for loss in (0.9, 0.4, 0.01)]
    return {"more": more, "history": monitor.history}


def layer_selector():
    return smilearn.LayerSelector(1).fit(STATES)


def of_layers(selector):
    return {"rows": selector.transform(STATES), "n": selector.get_feature_names_out()}


def monitor(**settings):
    one = smilearn.EarlyPointMonitor(**settings)
    one.update(np.ones(9), epoch=0.5)
    return one


def a_filter(**settings):
    return smilearn.RiskFilter(smilearn.SlicedMIScorer(**SLICED), **settings)


def tuned(kind):
    return kind(tiny.folder("bert"), **QUICK).fit(TEXTS, CLASSES)


FILTER_CHANGES = {
    "scorer": baselines.LDAScorer(),
    "share": 0.5,
    "threshold": 0.1,
    "n_remove": 3,
    "alpha": 0.1,
    "by_class": True,
    "min_per_class": 9,
    "match": "id",
}
OTHER = {"estimator": GaussianNB(), "filter": a_filter(share=0.5)}
# name: what is fitted, what it answers, and another value of each parameter
CASES = {
    "SlicedMIScorer": (
        lambda: smilearn.SlicedMIScorer(**SLICED).fit(X, Y),
        of_sliced,
        SCORER_CHANGES,
    ),
    "SlicedMIScorer, psmi": (
        lambda: smilearn.SlicedMIScorer(pooled=False, **SLICED).fit(X, Y),
        of_sliced,
        SCORER_CHANGES | {"pooled": True},
    ),
    "SlicedMIScorer, stream": (
        lambda: smilearn.SlicedMIScorer(**SLICED).partial_fit(X, Y),
        of_stream,
        {n: v for n, v in SCORER_CHANGES.items() if n != "contamination"},
    ),
    "SlicedMIScorer, labels": (
        lambda: smilearn.SlicedMIScorer(**SLICED).fit(X, np.stack([Y, X[:, 0] > 0], 1)),
        lambda one: {"best": one.score_samples(NEW), "all": one.predict_proba(NEW)},
        SCORER_CHANGES,
    ),
    "LDAScorer": (
        lambda: baselines.LDAScorer().fit(X, Y),
        scores("score_table"),
        {"shrinkage": 1.0},
    ),
    "LeverageScorer": (
        lambda: baselines.LeverageScorer(link="softmax").fit(X, Y),
        scores("score_table"),
        {"link": "identity", "alpha": 1.0},
    ),
    "MahalanobisScorer": (
        lambda: baselines.MahalanobisScorer().fit(X, Y),
        scores("score_table"),
        {"cross_fit": None},
    ),
    "NeighborScorer": (
        lambda: baselines.NeighborScorer(5).fit(X, Y),
        scores("score_table"),
        {"n_neighbors": 2, "weights": "distance", "metric": "cosine"},
    ),
    "HeldOutScorer": (
        lambda: smilearn.HeldOutScorer(GaussianNB(), random_state=0).fit(X, Y),
        of_held_out,
        {"estimator": LogisticRegression(), "n_folds": 3, "prior": None}
        | {"random_state": 3},
    ),
    "RiskFilter": (
        lambda: a_filter(share=0.1).fit(X, Y),
        lambda one: {"names": one.get_feature_names_out()},
        FILTER_CHANGES,
    ),
    "FilteredEstimator": (
        lambda: smilearn.FilteredEstimator(LogisticRegression(), a_filter()).fit(X, Y),
        of_classifier,
        OTHER,
    ),
    "RiskReweighter": (
        lambda: smilearn.RiskReweighter(LogisticRegression(), a_filter()).fit(X, Y),
        of_classifier,
        OTHER | {"weight": "hard", "softness": 9.0, "on": "label"},
    ),
    "LayerSelector": (layer_selector, of_layers, {"layer": 0}),
    "HiddenStateEmbedder": (
        lambda: smilearn.HiddenStateEmbedder(tiny.folder("bert")).fit(TEXTS),
        of_texts,
        READ_CHANGES
        | {"adapter": "nowhere", "tokenizer": "nowhere", "layer": 0, "pooling": "cls"}
        | {"max_length": 3, "dtype": "bfloat16", "template": "so {text}"}
        | {"concatenate": True, "backend": "openvino"},
    ),
    "SentenceEmbedder": (
        lambda: smilearn.SentenceEmbedder(tiny.folder("bert")).fit(TEXTS),
        of_texts,
        READ_CHANGES
        | {"normalize": True, "prompt": "film ", "prompt_name": "x", "truncate_dim": 2}
        | {"backend": "openvino"},
    ),
    "FineTunedEmbedder": (
        lambda: tuned(smilearn.FineTunedEmbedder),
        of_texts,
        TUNED_CHANGES,
    ),
    "FineTunedClassifier": (
        lambda: tuned(smilearn.FineTunedClassifier),
        of_text_classifier,
        TUNED_CHANGES,
    ),
    "EarlyPointMonitor": (
        lambda: monitor(n_classes=3),
        of_monitor,
        {"rule": "gap", "loss_drop": 0.01, "stop_epoch": 99.0, "n_classes": None},
    ),
    "ShadowAudit": (
        lambda: smilearn.ShadowAudit(
            GaussianNB(), n_shadow=8, random_state=0, target=1, prior=X[:, 0]
        ).fit(X, Y),
        of_audit,
        {"estimator": LogisticRegression(), "n_shadow": 4, "share": 0.2}
        | {"target": "all", "statistic": "loss", "random_state": 3, "prior": None},
    ),
}
# fitted by a Trainer; it has attributes and no method that answers
WITHOUT_ANSWERS = {"MemorizationCallback"}


def attributes(estimator):
    """Public fitted attributes."""
    names = [name for name in dir(estimator) if name[-1] == "_" and name[0] != "_"]
    values = {name: getattr(estimator, name, None) for name in names}
    return {n: v for n, v in values.items() if isinstance(v, np.ndarray | float | int)}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_equal(found[name], value, err_msg=name)


@pytest.fixture(scope="module")
def fitted():
    """Each estimator once, and what it answers."""
    known = {}

    def get(name):
        if name not in known:
            fit, answers, _ = CASES[name]
            one = fit()
            known[name] = one, answers(one) | attributes(one)
        return known[name]

    return get


def changed_ones():
    for name, (*_, changes) in CASES.items():
        yield from ((name, parameter) for parameter in [*changes, "all of them"])


@pytest.mark.filterwarnings("ignore::smilearn.exceptions.SmilearnWarning")
@pytest.mark.parametrize(("name", "parameter"), [*changed_ones()])
def test_no_answer_moves(fitted, name, parameter):
    one, expected = fitted(name)
    _, answers, changes = CASES[name]
    before, changes = one.get_params(deep=False), dict(changes)
    if parameter != "all of them":
        changes = {parameter: changes[parameter]}
    for each, value in changes.items():
        assert repr(before[each]) != repr(value), each
    try:
        one.set_params(**changes)
        assert_same(answers(one) | attributes(one), expected)
        again = pickle.loads(pickle.dumps(one))
        assert_same(answers(again) | attributes(again), expected)
    finally:
        one.set_params(**before)


def public_estimators():
    for module in (smilearn, baselines):
        for name in module.__all__:
            kind = getattr(module, name)
            if isinstance(kind, type) and issubclass(kind, BaseEstimator):
                yield name, kind


def test_every_public_estimator_and_parameter_is_here():
    cases = {name.partition(",")[0] for name in CASES}
    assert {name for name, _ in public_estimators()} - WITHOUT_ANSWERS == cases
    for name, kind in public_estimators():
        if name in cases:
            parameters = set(kind._get_param_names())
            assert {*CASES[name][2]} == parameters - HOW, name
