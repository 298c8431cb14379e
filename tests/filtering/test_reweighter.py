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

from smilearn import (
    FilteredEstimator,
    FineTunedClassifier,
    RiskFilter,
    RiskReweighter,
    RiskTable,
    SlicedMIScorer,
)
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


def test_soft_weights_are_weights_whatever_the_risks():
    X, y = np.arange(60.0)[:, None], np.arange(60) % 2

    def weights(score, **rule):
        cleaner = RiskFilter(RiskTable(score, y), **rule)
        return RiskReweighter(LogisticRegression(), cleaner).fit(X, y).weights_

    equal = weights(np.zeros(60), threshold=0.5)  # no range of risks at all
    np.testing.assert_array_equal(equal, np.ones(60))
    everything = weights(np.linspace(-1, 1, 60), n_remove=60)
    assert (everything > 0).all()
    assert everything.max() == pytest.approx(0.5)
    endless = np.where(np.arange(60) < 40, -np.inf, 1.0)
    flat = weights(endless, share=0.2)
    assert np.isfinite(flat).all()
    assert flat[:40].max() < 1e-300


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


class Takes(LogisticRegression):
    """Keeps what `fit` is given beside the samples."""

    def fit(self, X, y, *, soft_labels=None, clip=None, passes=None):
        self.given_ = {"soft_labels": soft_labels, "clip": clip, "passes": passes}
        return super().fit(X, y)


def test_flattened_labels_by_hand():
    """Weight 1/4 on a label of probability 0.2: 3/4 of it is what the others say."""
    y = np.array(["a", "a", "b", "c"])
    table = RiskTable(
        [0.0, 0.0, 0.0, 0.0],
        y,
        probability=[0.2, 0.5, 0.9, 0.4],
        most_likely_label=["b", "a", "b", "b"],
    )
    X = np.arange(4.0)[:, None]

    def weights(risk):
        return np.array([0.25, 0.5, 1.0, 0.0])

    cleaner = RiskFilter(table, share=0.25)
    model = RiskReweighter(Takes(), cleaner, weight=weights, on="label").fit(X, y)
    expected = [[0.4, 0.6, 0], [0.75, 0.125, 0.125], [0, 1, 0], [0, 0.6, 0.4]]
    np.testing.assert_allclose(model.soft_labels_, expected, atol=1e-12)
    assert model.estimator_.given_["soft_labels"] is model.soft_labels_
    # without soft_labels, a row a class: the same loss
    plain = RiskReweighter(LogisticRegression(), cleaner, weight=weights, on="label")
    plain.fit(X, y, sample_weight=[1, 2, 1, 1])
    rows, classes = model.soft_labels_.nonzero()
    repeated = np.array([1, 2, 1, 1])[rows] * model.soft_labels_[rows, classes]
    direct = LogisticRegression().fit(X[rows], np.array(list("abc"))[classes], repeated)
    np.testing.assert_allclose(plain.estimator_.coef_, direct.coef_)
    assert plain.predict(X).shape == (4,)


def test_wrong_labels_are_flattened_and_right_ones_stay(seed):
    rng = np.random.default_rng(seed)
    y = np.arange(200) % 3
    X = 4.0 * np.eye(3)[y] + rng.normal(size=(200, 3)) / 2
    given = y.copy()
    given[:6] = (y[:6] + 1) % 3
    cleaner = RiskFilter(SlicedMIScorer(64, random_state=0), n_remove=6)
    model = RiskReweighter(LogisticRegression(), cleaner, weight="hard", on="label")
    soft = model.fit(X, given).soft_labels_
    assert (soft.argmax(1) == y).all()
    assert (soft[np.arange(6), y[:6]] > 0.8).all()
    np.testing.assert_array_equal(soft[6:], np.eye(3)[given[6:]])


@pytest.mark.parametrize("on", ["gradient", "passes"])
def test_what_else_a_weight_acts_on(data, on):
    X, y, _ = data
    model = RiskReweighter(Takes(), CLEANER, on=on).fit(X, y)
    given = model.estimator_.given_[{"gradient": "clip", "passes": "passes"}[on]]
    w = model.weights_
    np.testing.assert_array_equal(given, w / (1 - w) if on == "gradient" else w)
    hard = RiskReweighter(Takes(), CLEANER, on=on, weight="hard").fit(X, y)
    given = hard.estimator_.given_[{"gradient": "clip", "passes": "passes"}[on]]
    kept = hard.filter_.support_
    assert (given[kept] == (np.inf if on == "gradient" else 1)).all()
    assert (given[~kept] == 0).all()


def test_what_an_estimator_does_not_take(data):
    X, y, _ = data
    for on, name in (("gradient", "clip"), ("passes", "passes")):
        with pytest.raises(InvalidInputError, match=f"fit takes no {name}"):
            RiskReweighter(LogisticRegression(), CLEANER, on=on).fit(X, y)
    with pytest.raises(InvalidInputError, match="fit takes no sample_weight"):
        RiskReweighter(KNeighborsClassifier(), CLEANER, on="label").fit(X, y)
    large = {"weight": lambda risk: np.full(len(risk), 2.0), "on": "label"}
    with pytest.raises(InvalidInputError, match=r"needs weights in \[0, 1\]"):
        RiskReweighter(LogisticRegression(), CLEANER, **large).fit(X, y)
    search = GridSearchCV(LogisticRegression(), {"C": [1, 9]})
    with pytest.raises(InvalidInputError, match="put the search around"):
        RiskReweighter(search, CLEANER, on="label").fit(X, y)
    with pytest.raises(InvalidInputError, match="makes passes; leave it out"):
        RiskReweighter(Takes(), CLEANER, on="passes").fit(X, y, passes=np.ones(100))
    private = FineTunedClassifier(privacy=8.0)
    for model in (
        RiskReweighter(private, CLEANER),
        FilteredEstimator(make_pipeline(StandardScaler(), private), CLEANER),
    ):
        with pytest.raises(InvalidInputError, match="no guarantee of privacy is left"):
            model.fit(X, y)
    table = RiskTable(np.zeros(100), y)
    cleaner = RiskFilter(table, share=0.1)
    with pytest.raises(InvalidInputError, match="knows none"):
        RiskReweighter(LogisticRegression(), cleaner, on="label").fit(X, y)
