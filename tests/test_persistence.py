"""skops: what is to be trusted is what the documentation lists, scores are the same."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

import smilearn
from smilearn import (
    EarlyPointMonitor,
    FilteredEstimator,
    FineTunedClassifier,
    FineTunedEmbedder,
    HiddenStateEmbedder,
    MemorizationCallback,
    RiskFilter,
    RiskReweighter,
    SentenceEmbedder,
    SlicedMIScorer,
)

skops = pytest.importorskip("skops.io")
PAGE = Path(smilearn.__file__).parent.parent / "docs" / "neighbours.md"
SCORER = "smilearn.scoring._scorer.SlicedMIScorer"
FILTER = "smilearn.filtering._filter.RiskFilter"
TABLE = "smilearn.tables._risk_table.RiskTable"
_STATE = "_lda.LDA _model.ScoreModel _pool.Pool _recipe.Recipe _sums.ClassMoments"
_STATE += " _slices.Slices _sums.SampleRows _sums.Sums"
STATE = {f"smilearn.scoring.{name}" for name in _STATE.split()}
TEXTS = [
    "the film was good",
    "a bright scene",
    "the plot was awful",
    "a dull actor",
] * 4
LABELS = [1, 1, 0, 0] * 4
NEEDED = {
    "FilteredEstimator": [LogisticRegression()],
    "HeldOutScorer": [LogisticRegression()],
    "HiddenStateEmbedder": ["folder"],
    "RiskReweighter": [LogisticRegression()],
    "ShadowAudit": [LogisticRegression()],
}
QUICK = {"max_epochs": 1, "early_point": None, "random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    y = np.repeat(["ham", "spam"], 60)
    return rng.normal(size=(120, 20)) + (y == "spam")[:, None], y


def carried(thing, *trusted):
    """Dump and load, trusting what is listed, the state of scorers and no more."""
    data = skops.dumps(thing)
    assert {*skops.get_untrusted_types(data=data)} - STATE == {*trusted}
    return skops.loads(data, trusted=[*trusted, *STATE])


def documented():
    """Types that the page lists, by the name of the class."""
    found = re.findall(
        r"^\| `(\w+)` \| `([\w.]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return dict(found)


def home(name):
    kind = getattr(smilearn, name)
    return f"{kind.__module__}.{name}"


def test_the_page_lists_every_estimator_and_its_type():
    names = [
        name
        for name in smilearn.__all__
        if isinstance(getattr(smilearn, name), type)
        and issubclass(getattr(smilearn, name), BaseEstimator)
    ]
    assert documented() == {name: home(name) for name in [*names, "RiskTable"]}


@pytest.mark.parametrize("name", sorted(documented().keys() - {"RiskTable"}))
def test_unfitted_estimators_are_carried(name):
    estimator = getattr(smilearn, name)(*NEEDED.get(name, []))
    again = carried(estimator, documented()[name])
    assert repr(again.get_params()) == repr(estimator.get_params())
    assert not [attribute for attribute in vars(again) if attribute.endswith("_")]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pooled": False, "contamination": "permutation"},
        {"density": "gaussian", "contamination": 0.1},
    ],
)
def test_scorers_give_the_same_scores(samples, settings):
    X, y = samples
    scorer = SlicedMIScorer(16, random_state=0, **settings).fit(X, y)
    again = carried(scorer, SCORER)
    assert (again.scores_ == scorer.scores_).all()
    assert (again.predict_proba(X) == scorer.predict_proba(X)).all()
    assert (again.predict(X, y) == scorer.predict(X, y)).all()
    assert (again.classes_ == scorer.classes_).all()


def test_scorers_of_sparse_samples_and_of_several_labels(samples):
    X, y = samples
    sparse = csr_array(np.where(X > 0.5, X, 0))
    scorer = SlicedMIScorer(16, random_state=0).fit(sparse, y)
    again = carried(scorer, SCORER)
    assert (again.score_samples(sparse, y) == scorer.score_samples(sparse, y)).all()
    Y = np.stack([y == "ham", X[:, 0] > 0], 1).astype(int)
    scorer = SlicedMIScorer(16, random_state=0).fit(X, Y)
    again = carried(scorer, SCORER)
    assert (again.score_samples(X, Y) == scorer.score_samples(X, Y)).all()


def test_a_stream_goes_on_where_it_was(samples):
    X, y = samples
    scorer = SlicedMIScorer(16, pooled=False, random_state=0)
    scorer.partial_fit(X[::2], y[::2])
    again = carried(scorer, SCORER).partial_fit(X[1::2], y[1::2])
    scorer.partial_fit(X[1::2], y[1::2])
    assert (again.score_samples(X, y) == scorer.score_samples(X, y)).all()


def test_filters_and_tables(samples):
    X, y = samples
    scorer = SlicedMIScorer(16, random_state=0)
    cleaner = RiskFilter(scorer, share=0.1).fit(X, y)
    again = carried(cleaner, FILTER, SCORER, TABLE)
    assert (again.sample_indices_ == cleaner.sample_indices_).all()
    table = scorer.fit(X, y).to_table(X)
    loaded = carried(table, TABLE)
    assert loaded["risk"].tolist() == table["risk"].tolist()
    cleaner = RiskFilter(table, share=0.1).fit(X, y)
    again = carried(cleaner, FILTER, TABLE)
    assert (again.support_ == cleaner.support_).all()


@pytest.mark.parametrize("kind", [FilteredEstimator, RiskReweighter])
def test_what_is_fitted_by_a_filter(samples, kind):
    X, y = samples
    cleaner = RiskFilter(SlicedMIScorer(16, random_state=0), share=0.1)
    model = kind(LogisticRegression(), cleaner).fit(X, y)
    again = carried(model, home(kind.__name__), FILTER, SCORER, TABLE)
    assert (again.predict_proba(X) == model.predict_proba(X)).all()


@pytest.mark.parametrize("kind", [SentenceEmbedder, HiddenStateEmbedder])
def test_embedders_load_their_model_again(kind, tiny_encoder, one_thread):
    embedder = kind(tiny_encoder, device="cpu").fit(TEXTS)
    expected = embedder.transform(TEXTS)
    data = skops.dumps(embedder)
    assert len(data) < 100_000  # without the weights
    again = carried(embedder, home(kind.__name__))
    assert (again.transform(TEXTS) == expected).all()


@pytest.mark.parametrize("kind", [FineTunedClassifier, FineTunedEmbedder])
def test_fine_tuned_networks_are_not_for_skops(kind, tiny_encoder, one_thread):
    tuned = kind(tiny_encoder, **QUICK).fit(TEXTS, LABELS)
    with pytest.raises(TypeError, match="cannot pickle"):
        skops.dumps(tuned)


def test_monitors_and_callbacks():
    monitor = EarlyPointMonitor()
    monitor.update(np.ones(8))
    rule = "smilearn.finetuning._early_point.EarlyPoint"
    again = carried(monitor, home("EarlyPointMonitor"), rule)
    assert again.update(np.full(8, 0.1)) == monitor.update(np.full(8, 0.1))
    assert rule in PAGE.read_text(encoding="utf-8")
    carried(MemorizationCallback(), home("MemorizationCallback"))
