"""Estimators that are fitted with less weight on the samples at risk."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilearn import FilteredEstimator, RiskFilter, RiskReweighter, SlicedMIScorer
from smilearn.exceptions import InvalidInputError, LowSupportWarning

SCORER = SlicedMIScorer(32, pooled=False, random_state=0)
CLEANER = RiskFilter(SCORER, share=0.2)


@pytest.fixture
def data(seed):
    """Two classes that overlap, and weights."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(100) % 2)
    X = rng.normal(size=(100, 4)) + 1.2 * y[:, None]
    return X, y, rng.uniform(0.1, 3, size=100)


def test_soft_weights_fall_with_the_risk(data):
    X, y, weight = data
    model = RiskReweighter(LogisticRegression(), CLEANER, softness=0.5)
    model.fit(X, y, sample_weight=weight)
    scores = clone(SCORER).fit(X, y).scores_
    low, high = np.quantile(-scores, [0.25, 0.75])
    line, unit = model.filter_.threshold_[0], 0.5 * (high - low) / 2
    np.testing.assert_allclose(
        model.weights_, 1 / (1 + np.exp((-scores - line) / unit)), rtol=1e-9
    )
    order = np.argsort(scores)
    assert (np.diff(model.weights_[order]) > 0).all()
    assert 0 < model.weights_.min() < 0.5 < model.weights_.max() < 1
    expected = LogisticRegression().fit(X, y, sample_weight=weight * model.weights_)
    np.testing.assert_allclose(model.estimator_.coef_, expected.coef_)


def test_each_class_has_its_line(data):
    X, y, _ = data
    cleaner = RiskFilter(SCORER, share=0.3, by_class=True)
    model = RiskReweighter(LogisticRegression(), cleaner).fit(X, y)
    below = model.weights_ < 0.5
    assert [below[y == label].sum() for label in (0, 1)] == [15, 15]
    assert len(set(model.filter_.threshold_)) == 2


def test_floors_are_for_hard_weights(data):
    X, y, _ = data
    strict = RiskFilter(SCORER, threshold=-9.0, min_per_class=10)
    soft = RiskReweighter(GaussianNB(), strict).fit(X, y)  # warns of nothing
    assert (soft.weights_ < 0.5).all()
    with pytest.warns(LowSupportWarning):
        hard = RiskReweighter(GaussianNB(), strict, weight="hard").fit(X, y)
    assert hard.weights_.sum() == 20


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda risk: risk[1:], r"100 finite weights .* got shape \(99,\)"),
        (
            lambda risk: risk - 99,
            r"100 finite weights of 0 or more.* got negative ones or NaN",
        ),
        (lambda risk: np.full(100, np.nan), "got negative ones or NaN"),
        (lambda risk: np.full(100, np.inf), "got infinity"),
    ],
)
def test_weights_must_be_weights(data, function, said):
    X, y, _ = data
    with pytest.raises(InvalidInputError, match=said):
        RiskReweighter(LogisticRegression(), CLEANER, weight=function).fit(X, y)


NESTED = {
    "pipeline": (
        make_pipeline(StandardScaler(), LogisticRegression()),
        "logisticregression__sample_weight",
    ),
    "search": (GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2), "sample_weight"),
    "search of pipelines": (
        GridSearchCV(
            make_pipeline("passthrough", make_pipeline(LogisticRegression())), {}, cv=2
        ),
        "pipeline__logisticregression__sample_weight",
    ),
    "filtered": (
        FilteredEstimator(LogisticRegression(), RiskFilter(SCORER, share=0)),
        "sample_weight",
    ),
}


@pytest.mark.parametrize(("estimator", "name"), NESTED.values(), ids=NESTED)
def test_weights_reach_the_last_step(data, estimator, name):
    X, y, weight = data
    model = RiskReweighter(estimator, CLEANER).fit(X, y, **{name: weight})
    together = model.weights_ * weight
    expected = clone(estimator).fit(X, y, **{name: together})
    np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X))
    plain = clone(estimator).fit(X, y, **{name: weight})
    assert abs(plain.predict_proba(X) - expected.predict_proba(X)).max() > 1e-3


def test_an_estimator_without_weights_is_named(data):
    X, y, _ = data
    for estimator in (
        KNeighborsClassifier(),
        make_pipeline(StandardScaler(), KNeighborsClassifier()),
    ):
        with pytest.raises(InvalidInputError, match="takes no sample_weight"):
            RiskReweighter(estimator, CLEANER).fit(X, y)


def test_with_routing_the_estimator_must_ask(data):
    X, y, weight = data
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    with config_context(enable_metadata_routing=True):
        pipeline[0].set_fit_request(sample_weight=False)
        cleaner = clone(CLEANER)
        cleaner.scorer.set_fit_request(sample_weight=False)
        silent = clone(pipeline)
        silent[-1].set_fit_request(sample_weight=False)
        with pytest.raises(InvalidInputError, match="does not request sample_weight"):
            RiskReweighter(silent, cleaner).fit(X, y)
        pipeline[-1].set_fit_request(sample_weight=True)
        model = RiskReweighter(pipeline, cleaner).fit(X, y, sample_weight=weight)
        RiskReweighter(pipeline).fit(X, y, sample_weight=weight)  # the default filter
    together = weight * model.weights_
    expected = clone(pipeline).fit(X, y, logisticregression__sample_weight=together)
    np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X))
