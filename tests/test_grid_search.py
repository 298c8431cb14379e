"""Searches over pipelines of texts: what is computed, what is chosen."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import tiny_models as tiny
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import smilearn
from smilearn import (
    FilteredEstimator,
    HiddenStateEmbedder,
    LayerSelector,
    RiskFilter,
    SentenceEmbedder,
    SlicedMIScorer,
)
from smilearn.datasets import flip_labels, load_rotten_tomatoes

WORDS = ["the", "film", "plot", "is", "was", "good", "bad", "great", "awful", "dull"]
SCORER = SlicedMIScorer(32, pooled=False, random_state=0)


@pytest.fixture
def texts(seed):
    """Sixty sentences, some of them twice, and their labels."""
    rng = np.random.default_rng(seed)
    some = [" ".join(rng.choice(WORDS, 5)) for _ in range(50)]
    return some + some[:10], np.arange(60) % 2


def of_layers(last, tmp_path):
    """A pipeline over texts with a memory and a cache of rows."""
    embedder = HiddenStateEmbedder(
        tiny.folder("bert"), layer="all", cache_folder=str(tmp_path / "rows")
    )
    return make_pipeline(
        embedder, LayerSelector(), last, memory=str(tmp_path / "steps")
    )


GRID = {
    "layerselector__layer": [0, -1],
    "slicedmiscorer__n_slices": [8, 32],
    "slicedmiscorer__pooled": [True, False],
    "slicedmiscorer__density": ["student", "gaussian"],
}


def test_each_text_is_read_once_for_all_candidates(texts, read, tmp_path):
    pipeline = of_layers(SlicedMIScorer(random_state=0), tmp_path)
    search = GridSearchCV(pipeline, GRID, cv=StratifiedKFold(2), error_score="raise")
    search.fit(*texts)
    results = search.cv_results_
    assert len(results["params"]) == 16
    assert sum(read) == len(set(texts[0])) == 50
    assert len(set(results["mean_test_score"])) > 4
    scores = smilearn.score_samples(search, *texts)
    again = smilearn.score_samples(search.best_estimator_[-1], *_last(search, texts))
    np.testing.assert_array_equal(scores, again)
    assert sum(read) == 50


def test_one_search_over_embedders_layers_and_scorers(texts):
    grids = [
        {"embed__layer": [0, -1], "scorer__n_slices": [8, 32]},
        {"embed": [SentenceEmbedder(tiny.folder("bert"))]},
    ]
    grids = [grid | {"scorer__pooled": [True, False]} for grid in grids]
    embedder = HiddenStateEmbedder(tiny.folder("bert"))
    scorer = SlicedMIScorer(16, random_state=0)
    pipeline = Pipeline([("embed", embedder), ("scorer", scorer)])
    search = GridSearchCV(pipeline, grids, cv=StratifiedKFold(2), error_score="raise")
    search.fit(*texts)
    found = search.cv_results_["mean_test_score"]
    assert len(found) == 10
    assert (found < 0).all()  # mean log probabilities
    best = search.cv_results_["params"][found.argmax()]
    assert repr(search.best_params_) == repr(best)
    by_hand = cross_val_score(clone(pipeline).set_params(**best), *texts, cv=2)
    assert by_hand.mean() == pytest.approx(search.best_score_, abs=1e-6)


def _last(search, texts):
    """What the last step gets, and the labels."""
    return search.best_estimator_[:-1].transform(texts[0]), texts[1]


def test_two_processes_find_the_same_and_share_the_rows(texts, tmp_path):
    pipeline = of_layers(SlicedMIScorer(random_state=0), tmp_path)
    grid = {name: GRID[name] for name in list(GRID)[:2]}
    one, two = (
        GridSearchCV(pipeline, grid, cv=2, n_jobs=n_jobs).fit(*texts)
        for n_jobs in (None, 2)
    )
    np.testing.assert_array_equal(
        one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"]
    )
    assert one.best_params_ == two.best_params_


@pytest.mark.parametrize(
    ("frozen", "memory", "cache", "n_read", "n_loads"),
    [
        (False, False, False, 1500, 25),  # 8 candidates in 3 folds, and the refit
        (False, True, False, 660, 25),  # held-out texts are read for each candidate
        (False, False, True, 60, 25),
        (False, True, True, 60, 25),
        (True, False, False, 1500, 0),
        (True, False, True, 60, 0),
        (True, True, True, 60, 21),  # what comes out of a memory has no weights
    ],
)
def test_what_a_search_reads_and_loads(
    frozen, memory, cache, n_read, n_loads, read, tmp_path, monkeypatch
):
    """The table of the page on acting."""
    loads, make = [], HiddenStateEmbedder._make_reader
    monkeypatch.setattr(
        HiddenStateEmbedder,
        "_make_reader",
        lambda self, settings: loads.append(1) or make(settings),
    )
    rows = str(tmp_path / "rows") if cache else None
    embedder = HiddenStateEmbedder(tiny.folder("bert"), layer="all", cache_folder=rows)
    if frozen:
        embedder = FrozenEstimator(embedder.fit([]))
    loads.clear()
    pipeline = make_pipeline(
        embedder, LayerSelector(), SCORER, memory=str(tmp_path) if memory else None
    )
    grid = {"layerselector__layer": [0, 1, 2, 3], "slicedmiscorer__n_slices": [4, 8]}
    texts = [" ".join(words) for words in permutations(WORDS[:5], 3)]
    GridSearchCV(pipeline, grid, cv=3, error_score="raise").fit(
        texts, np.arange(60) % 2
    )
    assert (sum(read), len(loads)) == (n_read, n_loads)


@pytest.fixture(scope="module")
def reviews():
    """Real sentences, a tenth of them with the wrong label, weights and groups."""
    found = load_rotten_tomatoes(400, random_state=0)
    labels, flipped = flip_labels(found.labels, 0.1, random_state=0)
    weight = np.random.default_rng(0).uniform(0.5, 2, size=400)
    return pd.Series(found.texts), labels, flipped, weight, np.arange(400) % 8


def words_to_topics():
    return make_pipeline(
        TfidfVectorizer(sublinear_tf=True), TruncatedSVD(20, random_state=0)
    )


def with_filter(share):
    scorer = SlicedMIScorer(16, random_state=0)
    model = FilteredEstimator(
        LogisticRegression(), RiskFilter(scorer, share=share, by_class=True)
    )
    return make_pipeline(words_to_topics(), StandardScaler(), model)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_filter_on_real_texts_with_weights_and_groups(reviews, n_jobs):
    texts, labels, _, weight, groups = reviews
    common = {"cv": GroupKFold(4), "n_jobs": n_jobs, "error_score": "raise"}
    plain = make_pipeline(words_to_topics(), StandardScaler(), LogisticRegression())
    without = cross_validate(
        plain,
        texts,
        labels,
        groups=groups,
        params={"logisticregression__sample_weight": weight},
        **common,
    )
    filtered = [
        cross_validate(
            with_filter(share),
            texts,
            labels,
            groups=groups,
            params={"filteredestimator__sample_weight": weight},
            **common,
        )
        for share in (0.0, 0.1)
    ]
    np.testing.assert_array_equal(without["test_score"], filtered[0]["test_score"])
    assert (without["test_score"] != filtered[1]["test_score"]).any()
    assert filtered[1]["test_score"].mean() > 0.5
