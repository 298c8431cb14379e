"""Edges of filters and what they wrap: odd containers, rules, wrappers and requests."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import smilearn
from smilearn import (
    FilteredEstimator,
    RiskFilter,
    RiskReweighter,
    RiskTable,
    SlicedMIScorer,
)
from smilearn.exceptions import InvalidInputError

SCORER = SlicedMIScorer(16, pooled=False, random_state=0)
CLEANER = RiskFilter(SCORER, share=0.2)
rng = np.random.default_rng(0)
Y = np.arange(60) % 2
X = rng.normal(size=(60, 4)) + 1.2 * Y[:, None]
WEIGHT = rng.uniform(0.5, 2, size=60)
TABLE = RiskTable(rng.normal(size=60), Y)


def test_with_routing_ids_are_cut_all_the_same():
    with config_context(enable_metadata_routing=True):
        for cleaner in (CLEANER, RiskFilter(share=0.2), RiskFilter(TABLE, share=0.2)):
            *_, ids, weight = cleaner.fit_resample(
                X, Y, ids=list(range(60)), sample_weight=WEIGHT
            )
            assert ids == cleaner.sample_indices_.tolist()
            np.testing.assert_array_equal(weight, WEIGHT[ids])


def test_without_routing_fit_takes_nothing_more():
    with pytest.raises(InvalidInputError, match=r"only with metadata routing; got wei"):
        clone(CLEANER).fit(X, Y, weights=WEIGHT)


@pytest.mark.parametrize("name", ["sample_weight", "groups"])
def test_what_should_go_along_must_be_as_long(name):
    """Forty-eight, as many as are kept, would go unseen."""
    model = FilteredEstimator(LogisticRegression(), CLEANER)
    with pytest.raises(InvalidInputError, match=f"{name} must hold one value for each"):
        model.fit(X, Y, **{name: np.ones(48)})


def test_a_filter_forgets_the_features_of_its_last_fit():
    cleaner = clone(CLEANER).fit(pd.DataFrame(X, columns=list("abcd")), Y)
    assert cleaner.get_feature_names_out().tolist() == list("abcd")
    cleaner.set_params(scorer=TABLE).fit(None, Y)
    assert not {"n_features_in_", "feature_names_in_"} & vars(cleaner).keys()
    cleaner.fit(X[:, :2], Y)
    assert len(cleaner.get_feature_names_out()) == 2


def search():
    return GridSearchCV(
        SlicedMIScorer(8, contamination=0.3, random_state=0),
        {"pooled": [True, False]},
        cv=2,
    )


@pytest.mark.parametrize("wrap", [FilteredEstimator, RiskReweighter])
def test_scores_come_through_what_filters(wrap):
    inside = make_pipeline(StandardScaler(), SCORER)
    model = wrap(inside, CLEANER).fit(X, Y)
    fitted = model.estimator_
    expected = fitted[-1].score_samples(fitted[0].transform(X), Y)
    np.testing.assert_array_equal(smilearn.score_samples(model, X, Y), expected)
    direct = wrap(SCORER, CLEANER).fit(X, Y)
    given = direct.score_samples(X, y=Y)
    np.testing.assert_array_equal(given, direct.estimator_.score_samples(X, Y))


def test_output_of_a_transformer_inside():
    model = make_pipeline(
        StandardScaler(), FilteredEstimator(PCA(2), CLEANER), LogisticRegression()
    )
    frame = model.set_output(transform="pandas").fit(X, Y)[:-1].transform(X)
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
def test_what_predict_takes_is_handed_on(wrap, routing):
    with config_context(enable_metadata_routing=routing):
        inner = Asking()
        cleaner = clone(CLEANER)
        if routing:
            inner.set_predict_request(shift=True).set_fit_request(sample_weight=True)
            cleaner.scorer.set_fit_request(sample_weight=False)
        model = wrap(inner, cleaner).fit(X, Y)
        np.testing.assert_array_equal(model.predict(X, shift=5), model.predict(X) + 5)


def test_soft_weights_are_weights_whatever_the_risks():
    def weights(score, **rule):
        cleaner = RiskFilter(RiskTable(score, Y), **rule)
        return RiskReweighter(LogisticRegression(), cleaner).fit(X, Y).weights_

    equal = weights(np.zeros(60), threshold=0.5)  # no range of risks at all
    np.testing.assert_array_equal(equal, np.ones(60))
    everything = weights(-TABLE["risk"], n_remove=60)
    assert (everything > 0).all()
    assert everything.max() == pytest.approx(0.5)
    endless = np.where(np.arange(60) < 40, -np.inf, 1.0)
    flat = weights(endless, share=0.2)
    assert np.isfinite(flat).all()
    assert flat[:40].max() < 1e-300
