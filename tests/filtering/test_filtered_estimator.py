"""Estimators that are fitted without the samples at risk."""

import numpy as np
import pytest
import sklearn
from imblearn.over_sampling import SMOTE
from imblearn.under_sampling import RandomUnderSampler
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.model_selection import GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

import smilearn
from smilearn import FilteredEstimator, RiskFilter, RiskReweighter, SlicedMIScorer
from smilearn.exceptions import InvalidInputError

SKLEARN = tuple(int(part) for part in sklearn.__version__.split(".")[:2])
SCORER = SlicedMIScorer(32, pooled=False, random_state=0)
CLEANER = RiskFilter(SCORER, share=0.2)


@pytest.fixture
def data(seed):
    """Two classes that overlap, weights and groups."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(100) % 2)
    X = rng.normal(size=(100, 4)) + 1.2 * y[:, None]
    return X, y, rng.uniform(0.1, 3, size=100), np.arange(100) % 5


def test_equals_a_fit_to_the_samples_that_are_kept(data):
    X, y, weight, _ = data
    model = FilteredEstimator(LogisticRegression(), CLEANER)
    model.fit(X, y, sample_weight=weight)
    kept = RiskFilter(SCORER, share=0.2).fit(X, y).sample_indices_
    np.testing.assert_array_equal(model.filter_.sample_indices_, kept)
    expected = LogisticRegression().fit(X[kept], y[kept], sample_weight=weight[kept])
    np.testing.assert_allclose(model.estimator_.coef_, expected.coef_)
    unweighted = LogisticRegression().fit(X[kept], y[kept])
    assert abs(expected.coef_ - unweighted.coef_).max() > 1e-3
    for answer in ("predict", "predict_proba", "decision_function"):
        given = getattr(model, answer)(X)  # of all samples
        np.testing.assert_allclose(given, getattr(expected, answer)(X))
    assert model.score(X, y) == expected.score(X, y)
    assert model.score(X, y, sample_weight=weight) == expected.score(X, y, weight)
    assert model.classes_.tolist() == [0, 1]
    assert model.n_features_in_ == 4


def test_what_is_no_value_a_sample_goes_as_it_is(data):
    X, y, *_ = data
    start = {"coef_init": np.full((1, 4), 7.0), "intercept_init": np.zeros(1)}
    model = FilteredEstimator(Perceptron(max_iter=1, tol=None), CLEANER)
    kept = model.fit(X, y, **start).filter_.sample_indices_
    expected = clone(model.estimator).fit(X[kept], y[kept], **start)
    np.testing.assert_array_equal(model.estimator_.coef_, expected.coef_)


@pytest.mark.parametrize("routing", [False, True])
def test_cross_validation_with_weights_and_groups(data, routing):
    # what a Pipeline of scikit-learn's own cannot do there is no fault of ours
    if routing and SKLEARN < (1, 8):
        pytest.skip("cross_validate of scikit-learn 1.7 routes no weights to score")
    X, y, weight, groups = data
    with config_context(enable_metadata_routing=routing):
        inner, scaler = LogisticRegression(), StandardScaler()
        cleaner = clone(CLEANER)
        if routing:
            cleaner.scorer.set_fit_request(sample_weight=False)
            scaler.set_fit_request(sample_weight=False)
            inner.set_fit_request(sample_weight=True)
            inner.set_score_request(sample_weight=True)
        model = make_pipeline(scaler, FilteredEstimator(inner, cleaner))
        name = "sample_weight" if routing else "filteredestimator__sample_weight"
        params = {name: weight} | ({"groups": groups} if routing else {})
        options = {} if routing else {"groups": groups}
        got = cross_validate(
            model, X, y, cv=GroupKFold(5), params=params, error_score="raise", **options
        )
    for fold, score in enumerate(got["test_score"]):
        train, test = list(GroupKFold(5).split(X, y, groups))[fold]
        scaler = StandardScaler().fit(X[train])
        Z = scaler.transform(X[train])
        kept = clone(CLEANER).fit(Z, y[train]).sample_indices_
        expected = LogisticRegression().fit(
            Z[kept], y[train][kept], sample_weight=weight[train][kept]
        )
        tested = weight[test] if routing else None
        assert score == expected.score(scaler.transform(X[test]), y[test], tested)


def test_routing_reaches_the_scorer_of_the_filter(data):
    X, y, weight, _ = data
    with config_context(enable_metadata_routing=True):
        asks = clone(SCORER).set_fit_request(sample_weight="copies")
        inner = LogisticRegression().set_fit_request(sample_weight=True)
        model = FilteredEstimator(inner, RiskFilter(asks, share=0.2))
        model.fit(X, y, sample_weight=weight, copies=np.arange(100.0) % 3)
        with pytest.raises(TypeError, match="unexpected argument"):
            clone(model).fit(X, y, others=weight)
    expected = clone(SCORER).fit(X, y, sample_weight=np.arange(100.0) % 3)
    np.testing.assert_array_equal(model.filter_.scores_, expected.scores_)
    kept = model.filter_.sample_indices_
    plain = LogisticRegression().fit(X[kept], y[kept], sample_weight=weight[kept])
    np.testing.assert_allclose(model.estimator_.coef_, plain.coef_)


def test_answers_are_those_of_the_estimator(data):
    X, y, *_ = data
    shown = FilteredEstimator(PCA(2), CLEANER)
    assert hasattr(shown, "transform")
    assert hasattr(shown, "inverse_transform")
    assert not hasattr(shown, "predict")
    assert not is_classifier(shown)
    Z = shown.fit_transform(X, y)
    assert Z.shape == (100, 2)  # a pipeline needs a row for each sample
    np.testing.assert_allclose(Z, shown.transform(X))
    assert shown.get_feature_names_out().tolist() == ["pca0", "pca1"]
    assert is_classifier(FilteredEstimator(LogisticRegression()))
    assert not hasattr(FilteredEstimator(LogisticRegression()), "transform")
    assert get_tags(FilteredEstimator(LogisticRegression())).target_tags.required
    scored = FilteredEstimator(SCORER, CLEANER).fit(X, y)
    assert len(scored.score_samples(X, y)) == 100


def test_samplers_of_imblearn_that_give_indices_may_filter(data):
    X, y, weight, _ = data
    sampler = RandomUnderSampler(random_state=0, sampling_strategy={0: 20, 1: 20})
    model = FilteredEstimator(LogisticRegression(), sampler)
    model.fit(X, y, sample_weight=weight)
    kept = model.filter_.sample_indices_
    expected = LogisticRegression().fit(X[kept], y[kept], sample_weight=weight[kept])
    np.testing.assert_allclose(model.estimator_.coef_, expected.coef_)
    with pytest.raises(InvalidInputError, match="SMOTE does not"):
        FilteredEstimator(LogisticRegression(), SMOTE()).fit(X, y)


@pytest.mark.parametrize("name", ["sample_weight", "groups"])
def test_what_should_go_along_must_be_as_long(data, name):
    """Eighty, as many as are kept, would go unseen."""
    X, y, *_ = data
    model = FilteredEstimator(LogisticRegression(), CLEANER)
    with pytest.raises(InvalidInputError, match=f"{name} must hold one value for each"):
        model.fit(X, y, **{name: np.ones(80)})


@pytest.mark.parametrize("wrap", [FilteredEstimator, RiskReweighter])
def test_scores_come_through_what_filters(data, wrap):
    X, y, *_ = data
    inside = make_pipeline(StandardScaler(), SCORER)
    model = wrap(inside, CLEANER).fit(X, y)
    fitted = model.estimator_
    expected = fitted[-1].score_samples(fitted[0].transform(X), y)
    np.testing.assert_array_equal(smilearn.score_samples(model, X, y), expected)
    direct = wrap(SCORER, CLEANER).fit(X, y)
    given = direct.score_samples(X, y=y)
    np.testing.assert_array_equal(given, direct.estimator_.score_samples(X, y))


def test_output_of_a_transformer_inside(data):
    X, y, *_ = data
    model = make_pipeline(
        StandardScaler(), FilteredEstimator(PCA(2), CLEANER), LogisticRegression()
    )
    frame = model.set_output(transform="pandas").fit(X, y)[:-1].transform(X)
    assert frame.columns.tolist() == ["pca0", "pca1"]
    plain = frame.to_numpy()
    model[1].set_output(transform="default")
    np.testing.assert_array_equal(model[:-1].transform(X), plain)


class Asking(LogisticRegression):
    """A classifier whose predictions take something more."""

    def predict(self, X, shift=0):
        return super().predict(X) + shift


@pytest.mark.parametrize("wrap", [FilteredEstimator, RiskReweighter])
@pytest.mark.parametrize("routing", [False, True])
def test_what_predict_takes_is_handed_on(data, wrap, routing):
    X, y, *_ = data
    with config_context(enable_metadata_routing=routing):
        inner = Asking()
        cleaner = clone(CLEANER)
        if routing:
            inner.set_predict_request(shift=True).set_fit_request(sample_weight=True)
            cleaner.scorer.set_fit_request(sample_weight=False)
        model = wrap(inner, cleaner).fit(X, y)
        np.testing.assert_array_equal(model.predict(X, shift=5), model.predict(X) + 5)
