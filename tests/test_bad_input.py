"""Every public entry point refuses each kind of bad input by an error of smilearn.

`ENTRIES` names the callables by class and method, and what they take. One that is
public, takes samples and is not named here fails the last test.
"""

import importlib
import inspect
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

import smilearn
from smilearn import (
    FilteredEstimator,
    FineTunedClassifier,
    FineTunedEmbedder,
    HeldOutScorer,
    HiddenStateEmbedder,
    RiskFilter,
    RiskReweighter,
    RiskTable,
    SentenceEmbedder,
    ShadowAudit,
    SliceConvergence,
    SlicedMIScorer,
    audit_protection,
    compare_scorers,
)
from smilearn.baselines import (
    LDAScorer,
    LeverageScorer,
    MahalanobisScorer,
    NeighborScorer,
    logit_scores,
)
from smilearn.exceptions import SmilearnError

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),
]
N = 40
X = GOOD = np.random.default_rng(0).normal(size=(N, 6))
Y = np.array(["ham", "spam"])[np.arange(N) % 2]
TEXTS = [f"the {('bad', 'good')[i % 2]} film" + " a" * i for i in range(N)]
SCORER = SlicedMIScorer(8, random_state=0)


def held_out():
    return HeldOutScorer(LogisticRegression(), prior=None, random_state=0)


def audit():
    return ShadowAudit(LogisticRegression(), n_shadow=2, random_state=0)


MAKE = {
    "SlicedMIScorer": lambda: SlicedMIScorer(8, random_state=0),
    "HeldOutScorer": held_out,
    "LDAScorer": LDAScorer,
    "LeverageScorer": LeverageScorer,
    "MahalanobisScorer": MahalanobisScorer,
    "NeighborScorer": lambda: NeighborScorer(3),
    "RiskFilter": lambda: RiskFilter(SCORER, n_remove=2),
    "FilteredEstimator": lambda: FilteredEstimator(
        LogisticRegression(), RiskFilter(SCORER, n_remove=2)
    ),
    "RiskReweighter": lambda: RiskReweighter(
        LogisticRegression(), RiskFilter(SCORER, n_remove=2)
    ),
    "ShadowAudit": audit,
}


@cache
def fitted(name):
    return MAKE[name]().fit(GOOD, Y)


SCORERS = [name for name in MAKE if name.endswith("Scorer")]
ASK = ("score_samples", "score", "staged_score_samples", "score_training_samples")
WRAPPERS = ("HeldOutScorer", "ShadowAudit")  # which leave samples to what they wrap
LABELLED = {  # methods that take labels
    **{f"{name}.fit": lambda X, y, name=name: MAKE[name]().fit(X, y) for name in MAKE},
    **{
        f"{name}.{method}": lambda X, y, name=name, method=method: getattr(
            fitted(name), method
        )(X, y)
        for name in SCORERS
        for method in ASK
        if hasattr(MAKE[name](), method)
    },
    "SlicedMIScorer.partial_fit": lambda X, y: SlicedMIScorer(8).partial_fit(X, y),
    "SlicedMIScorer.fit_predict": lambda X, y: SlicedMIScorer(8).fit_predict(X, y),
    "HeldOutScorer.fit_predict": lambda X, y: held_out().fit_predict(X, y),
    "RiskFilter.fit_resample": lambda X, y: MAKE["RiskFilter"]().fit_resample(X, y),
    "SliceConvergence.from_estimator": lambda X, y: SliceConvergence.from_estimator(
        fitted("SlicedMIScorer"), X, y
    ),
    "audit_protection": lambda X, y: audit_protection(
        fitted("ShadowAudit"), [0], X, y, n_bootstrap=5
    ),
    "score_samples": lambda X, y: smilearn.score_samples(
        fitted("SlicedMIScorer"), X, y
    ),
    "compare_scorers": lambda X, y: compare_scorers(
        {"score": SCORER}, np.arange(N) < 4, X=X, y=y, n_bootstrap=5
    ),
}
LABELS_ALONE = {
    "RiskTable.__init__": lambda y: RiskTable(np.zeros(N), y),
    "logit_scores": lambda y: logit_scores(X[:, :2], y),
}
ASKED = {  # methods that take samples alone
    f"{name}.{method}": lambda X, name=name, method=method: getattr(
        fitted(name), method
    )(X)
    for name in ("SlicedMIScorer", "HeldOutScorer")
    for method in ("predict", "predict_proba", "decision_function")
} | {
    f"{name}.score_table": lambda X, name=name: fitted(name).score_table(X)
    for name in ("LDAScorer", "LeverageScorer", "MahalanobisScorer", "NeighborScorer")
}
TEXT_METHODS = {
    "SentenceEmbedder": ("fit", "transform"),
    "HiddenStateEmbedder": ("fit", "transform", "fit_transform"),
    "FineTunedEmbedder": ("fit", "transform", "fit_transform"),
    "FineTunedClassifier": ("fit", "predict", "predict_proba", "decision_function"),
}
TUNING = {"max_epochs": 1, "random_state": 0}


def bad_column(good, kind):
    """A column of which one row is bad."""
    some = list(good)
    if kind == "masked":
        return np.ma.array(np.array(good), mask=np.arange(len(some)) == 3)
    some[3] = {
        "None": None,
        "NaN": float("nan"),
        "pd.NA": pd.NA,
        "NaT": pd.NaT,
        "another type": 3,
        "half a character": "cut \ud83d",
    }[kind]
    return pd.Series(some, dtype="string") if kind == "pd.NA" else some


ROWS = ("None", "NaN", "pd.NA", "NaT", "another type", "half a character", "masked")
LABEL_KINDS = {
    **{kind: (lambda kind=kind: bad_column(Y, kind)) for kind in ROWS},
    "a dict": lambda: {"label": list(Y)},
    "a frame": lambda: pd.DataFrame({"label": Y, "other": Y}),
    "a table": lambda: pa.table({"label": Y, "other": Y}),
    "one string": lambda: "ham",
    "large numbers": lambda: [10**30, 1] * (N // 2),
    "bool and int": lambda: [True, 2] * (N // 2),
    "an Arrow gap": lambda: pa.array([None, *Y[1:]]),
}
FIT_KINDS = {"texts": lambda: [f"text {i}" for i in range(N)]}
SAMPLE_KINDS = {
    "texts": lambda: TEXTS,
    "a series of texts": lambda: pd.Series(TEXTS),
    "a frame of texts": lambda: pd.DataFrame({"text": TEXTS}),
    "ragged": lambda: [*X[:-1].tolist(), [0.0]],
    "lists in a column": lambda: pd.DataFrame({"x": X.tolist()}),
    "a series of lists": lambda: pd.Series(X.tolist()),
    "masked": lambda: np.ma.array(X, mask=X > 1),
    "NaN": lambda: np.where(X > 1, np.nan, X),
    "infinity": lambda: np.where(X > 1, np.inf, X),
    "one row": lambda: X[0],
    "three axes": lambda: X[:, :, None],
    "complex": lambda: X + 1j,
}


def named(error, *words):
    """The error is of smilearn, or one of scikit-learn with the words it has."""
    own = isinstance(error, SmilearnError)
    text = str(error)
    assert own or (isinstance(error, ValueError) and any(w in text for w in words)), (
        f"{type(error).__name__}: {text}"
    )


def kinds_of(entry):
    """Kinds of labels that an entry refuses: of texts in their place, those of fit."""
    fits = entry.endswith((".fit", "fit_predict", "resample"))
    return [*LABEL_KINDS, *FIT_KINDS] if fits else LABEL_KINDS


@pytest.mark.parametrize(
    ("entry", "kind"),
    [(entry, kind) for entry in [*LABELLED, *LABELS_ALONE] for kind in kinds_of(entry)],
)
def test_bad_labels_are_refused(entry, kind):
    y = {**LABEL_KINDS, **FIT_KINDS}[kind]()
    with pytest.raises((SmilearnError, ValueError)) as caught:
        LABELS_ALONE[entry](y) if entry in LABELS_ALONE else LABELLED[entry](X, y)
    assert isinstance(caught.value, SmilearnError), str(caught.value)
    if kind in ("None", "NaN", "pd.NA", "NaT", "half a character"):
        assert "row 3" in str(caught.value)


@pytest.mark.parametrize("kind", SAMPLE_KINDS)
@pytest.mark.parametrize("entry", [*LABELLED, *ASKED])
def test_bad_samples_are_refused(entry, kind):
    samples = SAMPLE_KINDS[kind]()
    if entry.startswith(WRAPPERS) and kind != "masked":
        with pytest.raises((ValueError, TypeError)):
            ASKED[entry](samples) if entry in ASKED else LABELLED[entry](samples, Y)
        return
    with pytest.raises((SmilearnError, ValueError)) as caught:
        ASKED[entry](samples) if entry in ASKED else LABELLED[entry](samples, Y)
    words = ("NaN", "nfinity", "2D array", "dim 3", "Complex", "1 sample", "inconsist")
    named(caught.value, *words)


@pytest.fixture(scope="module")
def fitted_on_texts(tiny_encoder):
    models = {
        "SentenceEmbedder": SentenceEmbedder(tiny_encoder),
        "HiddenStateEmbedder": HiddenStateEmbedder(tiny_encoder),
        "FineTunedEmbedder": FineTunedEmbedder(
            tiny_encoder, early_point="epochs", stop_epoch=1, **TUNING
        ),
        "FineTunedClassifier": FineTunedClassifier(tiny_encoder, **TUNING),
    }
    return {name: model.fit(TEXTS, Y) for name, model in models.items()}


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize(
    "entry", [f"{n}.{method}" for n, each in TEXT_METHODS.items() for method in each]
)
def test_bad_texts_are_refused(fitted_on_texts, entry, kind):
    name, method = entry.split(".")
    model = fitted_on_texts[name]
    labels = (Y,) if "fit" in method else ()
    with pytest.raises(SmilearnError) as caught:
        getattr(model, method)(bad_column(TEXTS, kind), *labels)
    assert "masked" in str(caught.value) or "row 3" in str(caught.value)


@pytest.mark.parametrize("kind", LABEL_KINDS)
@pytest.mark.parametrize("name", ["FineTunedEmbedder", "FineTunedClassifier"])
def test_bad_labels_of_texts_are_refused(fitted_on_texts, name, kind):
    with pytest.raises(SmilearnError):
        fitted_on_texts[name].fit(TEXTS, LABEL_KINDS[kind]())


@pytest.mark.parametrize("kind", ROWS)
def test_bad_texts_of_tables_are_refused(kind):
    texts, scorer = bad_column(TEXTS, kind), fitted("SlicedMIScorer")
    for make in (
        lambda: RiskTable(np.zeros(N), Y, text=texts),
        lambda: scorer.to_table(X, texts=texts),
        lambda: fitted("HeldOutScorer").to_table(X, texts=texts),
        lambda: fitted("ShadowAudit").to_table(texts=texts),
    ):
        with pytest.raises(SmilearnError):
            make()


ELSEWHERE = {  # what is not scored by, or is checked by what it wraps
    "LayerSelector.fit",
    "LayerSelector.transform",
    "RecordBatches.__init__",
    "RowCache.rows",
    "SlicedMIScorer.to_table",
    "HeldOutScorer.to_table",
    "ShadowAudit.attack",
    "ShadowAudit.to_table",
    "trace_scores",
}
TAKEN = {"X", "texts", "y", "label"}
ROOMS = ("", "audit", "baselines", "embedding", "filtering", "finetuning", "scoring")


def public_entries():
    """Name of each public callable that takes samples, texts or labels."""
    for room in ROOMS:
        module = importlib.import_module(f"smilearn.{room}".rstrip("."))
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.ismodule(value):
                continue
            methods = {"": value}
            if inspect.isclass(value):
                methods = dict(inspect.getmembers(value, callable))
            for method, call in methods.items():
                if method.startswith("_") and method != "__init__":
                    continue
                if not (getattr(call, "__module__", "") or "").startswith("smilearn"):
                    continue
                if TAKEN & {*inspect.signature(call).parameters}:
                    yield f"{name}.{method}".rstrip(".")


def test_each_entry_point_is_in_a_table():
    tables = {*LABELLED, *LABELS_ALONE, *ASKED, *ELSEWHERE}
    tables |= {f"{n}.{method}" for n, each in TEXT_METHODS.items() for method in each}
    tables |= {
        f"{name}.{method}"
        for name in ("FilteredEstimator", "RiskReweighter")
        for method in dir(FilteredEstimator)
    }
    assert set(public_entries()) <= tables
