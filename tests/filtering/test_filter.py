"""Taking samples at risk out: which ones, out of what, and what each class keeps."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.ensemble import BalancedBaggingClassifier
from imblearn.pipeline import make_pipeline as make_imblearn_pipeline
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilearn import RiskFilter, RiskTable, SlicedMIScorer
from smilearn.exceptions import InvalidInputError, LowSupportWarning

SCORES = [0.1, -0.4, 0.3, 0.0, -0.2, 0.5, 0.2, -0.3, 0.4, -0.1]
LABELS = list("aabababbbb")
TABLE = RiskTable(SCORES, LABELS)  # riskiest first: 1 7 4 9 3 0 6 2 8 5


def removed(**rule):
    """Indices of the samples that a rule removes from the table."""
    rule = RiskFilter(TABLE, **rule).fit(None, LABELS)
    assert rule.sample_indices_.tolist() == np.flatnonzero(rule.support_).tolist()
    return np.flatnonzero(~rule.support_).tolist()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"share": 0}, []),
        ({"share": 0.3}, [1, 4, 7]),
        ({"n_remove": 2}, [1, 7]),
        ({"threshold": 0.2}, [1, 7]),  # not the one whose risk is 0.2 itself
        ({"threshold": 0.19}, [1, 4, 7]),
        ({"threshold": 9.0}, []),
        ({"share": 0.3, "by_class": True}, [1, 7]),  # of 4 a one, of 6 b one
        ({"n_remove": 2, "by_class": True}, [1, 3, 4, 7]),
    ],
)
def test_which_samples_go(rule, expected):
    assert removed(**rule) == expected


@pytest.mark.parametrize(
    ("rule", "expected", "named"),
    [
        ({"n_remove": 5, "min_per_class": 3}, [1, 4, 7, 9], "class a"),
        ({"n_remove": 10}, [0, 1, 2, 3, 4, 6, 7, 9], "classes a, b"),
        ({"share": 0.99, "min_per_class": 2}, [1, 3, 4, 6, 7, 9], "classes a, b"),
        ({"threshold": 0.0, "min_per_class": 4}, [4, 7], "classes a, b"),
    ],
)
def test_classes_keep_their_safest(rule, expected, named):
    with pytest.warns(LowSupportWarning) as caught:
        assert removed(**rule) == expected
    assert str(caught[0].message) == (
        f"min_per_class={rule.get('min_per_class', 1)} kept samples at risk in the "
        f"{named}."
    )


@settings(deadline=None, max_examples=200)
@given(
    samples=st.lists(st.tuples(st.integers(-8, 8), st.integers(0, 3)), min_size=1),
    percent=st.integers(0, 99),
    floor=st.integers(0, 6),
    by_class=st.booleans(),
)
def test_a_share_goes_and_each_class_keeps_its_safest(
    samples, percent, floor, by_class
):
    scores, labels = np.array(samples).T
    classes = [np.flatnonzero(labels == label).tolist() for label in set(labels)]
    gone = set()
    for pool in classes if by_class else [range(len(samples))]:
        gone |= {*sorted(pool, key=scores.item)[: percent * len(pool) // 100]}
    n_asked = len(gone)
    for own in classes:
        while len({*own} - gone) < min(floor, len(own)):
            gone.remove(max(sorted(gone.intersection(own)), key=scores.item))
    rule = {"share": percent / 100, "min_per_class": floor, "by_class": by_class}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cleaner = RiskFilter(RiskTable(scores, labels), **rule).fit(None, labels)
    assert np.flatnonzero(~cleaner.support_).tolist() == sorted(gone)
    assert bool(caught) == (len(gone) < n_asked)


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        ({}, "without probabilities has no threshold of its own; set share, threshold"),
        ({"share": 0.1, "n_remove": 1}, "Set one of share, threshold, n_remove and"),
        ({"share": 0, "threshold": 0.0}, "Set one of share, threshold, n_remove and"),
        ({"by_class": True}, "A risk table without probabilities has no threshold"),
        ({"threshold": 0.0, "by_class": True}, "by_class=True needs share or n_remov"),
        ({"n_remove": 11}, r"n_remove=11 .* 10 samples of the dat"),
        ({"n_remove": 5, "by_class": True}, r"n_remove=5 .* 4 samples of a class"),
        ({"share": 1.0}, "The 'share' parameter of RiskFilter must"),
        ({"scorer": "table"}, "The 'scorer' parameter of RiskFilter must"),
    ],
    ids=str,
)
def test_wrong_rules_are_refused(rule, match):
    with pytest.raises(ValueError, match=match):
        RiskFilter(**{"scorer": TABLE, **rule}).fit(None, LABELS)


def test_table_must_be_of_the_same_samples():
    with pytest.raises(ValueError, match="view made by take or riskiest"):
        RiskFilter(TABLE.riskiest(), share=0.1).fit(None, TABLE.riskiest()["label"])
    for other in (LABELS[1:], LABELS[::-1], np.arange(10)):
        with pytest.raises(InvalidInputError, match="labels of the risk table are not"):
            RiskFilter(TABLE, share=0.1).fit(None, other)


LETTERS = list("abcdefghij")
CONTAINERS = {
    "list": (LETTERS, LABELS),
    "array": (np.array(LETTERS), np.array(LABELS)),
    "frame": (
        pd.DataFrame({"letter": LETTERS, "n": range(10)}, index=range(70, 60, -1)),
        pd.Series(LABELS, index=range(10, 20), name="label"),
    ),
    "polars": (pl.DataFrame({"letter": LETTERS}), pl.Series("label", LABELS)),
    "sparse": (sp.csr_array(np.diag(np.arange(1.0, 11))), LABELS),
}


def rows_of(X):
    """Rows as plain values, with the index if there is one."""
    if sp.issparse(X):
        return X.toarray().tolist()
    if isinstance(X, (pd.DataFrame, pd.Series)):
        return list(X.to_frame().itertuples() if X.ndim == 1 else X.itertuples())
    return X.rows() if isinstance(X, pl.DataFrame) else [*np.asarray(X).tolist()]


@pytest.mark.parametrize(("X", "y"), CONTAINERS.values(), ids=CONTAINERS)
def test_data_come_back_as_what_they_were(X, y):
    X_kept, y_kept = RiskFilter(TABLE, n_remove=3).fit_resample(X, y)
    left = [0, 2, 3, 5, 6, 8, 9]
    assert rows_of(X_kept) == [rows_of(X)[i] for i in left]
    assert rows_of(y_kept) == [rows_of(y)[i] for i in left]
    assert type(X_kept) is type(X)
    assert type(y_kept) is type(y)
    if hasattr(X, "columns"):
        assert list(X_kept.columns) == list(X.columns)


def test_acts_in_an_imblearn_pipeline_when_fitted_only(data, seed):
    X, y = data
    rule = RiskFilter(SlicedMIScorer(32, random_state=seed), share=0.25)
    pipeline = make_imblearn_pipeline(rule, LogisticRegression()).fit(X, y)
    assert pipeline.predict(X).shape == (120,)
    X_kept, y_kept = clone(rule).fit_resample(X, y)
    assert len(X_kept) == 90
    expected = LogisticRegression().fit(X_kept, y_kept)
    np.testing.assert_allclose(pipeline[-1].coef_, expected.coef_)
    everything = LogisticRegression().fit(X, y)
    assert abs(pipeline[-1].coef_ - everything.coef_).max() > 0.01


SCORER = SlicedMIScorer(32, pooled=False, random_state=0)


@pytest.fixture
def data(seed):
    """Two classes that overlap, and a few wrong labels."""
    rng = np.random.default_rng(seed)
    y = np.arange(120) % 2
    X = rng.normal(size=(120, 4)) + 1.5 * y[:, None]
    y[:6] = 1 - y[:6]
    return X, y


def test_what_goes_with_the_samples_is_cut_with_them(data):
    X, y = data
    weight = np.arange(120.0)
    ids = pd.Series([f"no. {i}" for i in range(120)], index=range(120, 0, -1))
    cleaner = RiskFilter(SCORER, share=0.25)
    X_kept, y_kept, *others = cleaner.fit_resample(
        X, y, sample_weight=weight, ids=ids, groups=list(range(120))
    )
    kept = cleaner.sample_indices_
    assert len(kept) == len(X_kept) == len(y_kept) == 90
    np.testing.assert_array_equal(others[0], kept)
    assert others[1].index.tolist() == (120 - kept).tolist()
    assert others[2] == kept.tolist()
    plain = RiskFilter(SCORER, share=0.25).fit(X, y)
    np.testing.assert_array_equal(plain.scores_, cleaner.scores_)


def test_scorer_gets_the_weights_that_it_requests(data):
    X, y = data
    weight = 1.0 + (np.arange(120) % 3)
    with config_context(enable_metadata_routing=True):
        asks = clone(SCORER).set_fit_request(sample_weight=True)
        *_, cut = RiskFilter(asks, n_remove=5).fit_resample(X, y, sample_weight=weight)
        weighted = RiskFilter(asks).fit(X, y, sample_weight=weight)
    assert len(cut) == 115
    expected = clone(SCORER).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(weighted.scores_, expected.scores_)
    assert (weighted.scores_ != clone(SCORER).fit(X, y).scores_).any()


def test_without_a_rule_labels_of_less_than_5_percent_go(data):
    X, y = data
    pooled = clone(SCORER).set_params(pooled=True)
    cleaner, one = RiskFilter(pooled).fit(X, y), clone(pooled).fit(X, y)
    unlikely = (one.probability_ < 0.05) & (one.likely_labels_ != one.labels_)
    assert 0 < unlikely.sum() < 20
    np.testing.assert_array_equal(~cleaner.support_, unlikely)
    assert cleaner.threshold_.tolist() == [-np.log(0.05)] * 2
    table = RiskFilter(one.to_table(X)).fit(None, y)
    np.testing.assert_array_equal(table.support_, cleaner.support_)
    asked = clone(pooled).set_params(contamination=0.2)
    cut = RiskFilter(asked).fit(X, y)
    np.testing.assert_array_equal(
        cut.support_, cut.scorer_.scores_ >= cut.scorer_.offset_
    )


def test_it_is_the_probability_of_a_table_that_counts():
    labels = np.repeat(["a", "b"], 4)
    probability = np.tile([0.01, 0.04, 0.06, 0.9], 2)
    table = RiskTable(np.full(8, -9.0), labels, probability=probability)
    kept = RiskFilter(table).fit(None, labels).support_
    np.testing.assert_array_equal(kept, probability >= 0.05)


def test_many_classes_keep_labels_that_are_the_likeliest_though_unlikely():
    labels = np.array(["a", "b", "c"])
    probability, likely = [0.04, 0.04, 0.9], ["a", "c", "c"]
    table = RiskTable(
        np.log(probability), labels, probability=probability, most_likely_label=likely
    )
    kept = RiskFilter(table, min_per_class=0).fit(None, labels)
    assert kept.support_.tolist() == [True, False, True]


def test_ensembles_of_imbalanced_learn_take_it(data):
    X, y = data
    ensemble = BalancedBaggingClassifier(
        LogisticRegression(), n_estimators=2, sampler=RiskFilter(SCORER, n_remove=5)
    )
    assert ensemble.fit(X, y).predict(X).shape == y.shape


def test_alpha_draws_the_line_by_shuffled_labels(data):
    X, y = data
    cleaner = RiskFilter(SCORER, alpha=0.1).fit(X, y)
    expected = (
        clone(SCORER).set_params(contamination="permutation", alpha=0.1).fit(X, y)
    )
    np.testing.assert_array_equal(
        cleaner.support_, expected.scores_ >= expected.offset_
    )
    assert cleaner.false_flag_rate_ == expected.false_flag_rate_
    assert cleaner.threshold_.tolist() == [-expected.offset_] * 2
    assert cleaner.support_[:6].mean() < 0.5 < cleaner.support_[6:].mean()
    piped = RiskFilter(make_pipeline(StandardScaler(), SCORER), alpha=0.1).fit(X, y)
    assert piped.scorer_[-1].contamination == "permutation"
    assert SCORER.contamination is None
    assert RiskFilter(SCORER).fit(X, y).false_flag_rate_ is None


@pytest.mark.parametrize(
    "scorer",
    [
        RiskTable([0.1, -0.2], ["a", "b"]),
        KernelDensity(),
        FrozenEstimator(SCORER),
        make_pipeline(StandardScaler(), KernelDensity()),
    ],
    ids=["table", "other", "frozen", "pipeline"],
)
def test_alpha_needs_a_scorer_that_shuffles(scorer):
    with pytest.raises(InvalidInputError, match="alpha"):
        RiskFilter(scorer, alpha=0.1).fit([[0.0], [1.0]], ["a", "b"])


@pytest.mark.parametrize("inside", [False, True])
def test_a_frozen_scorer_scores_other_samples(data, inside):
    X, y = data
    fitted = make_pipeline(StandardScaler(), SCORER).fit(X[:80], y[:80])
    frozen = FrozenEstimator(fitted)
    if inside:
        frozen = make_pipeline(*(FrozenEstimator(step) for step in fitted))
    for new in (slice(80, 120), slice(0, 80)):  # as many as it was fitted to, too
        cleaner = RiskFilter(frozen, share=0.1).fit(X[new], y[new])
        scores = fitted[1].score_samples(fitted[0].transform(X[new]), y[new])
        np.testing.assert_allclose(cleaner.scores_, scores, atol=1e-12)


def test_table_has_the_index_and_no_texts(data):
    X, y = data
    frame = pd.DataFrame(X, index=[f"row {i // 2}" for i in range(120)])
    cleaner = RiskFilter(SCORER, share=0.1).fit(frame, pd.Series(y, index=frame.index))
    table = cleaner.risk_table_
    assert table["id"].tolist() == frame.index.tolist()
    np.testing.assert_array_equal(table["risk"], -cleaner.scores_)
    np.testing.assert_array_equal(table["label"], y)
    np.testing.assert_array_equal(table["std"], cleaner.scorer_.scores_std_)
    assert "text" not in table.columns
    assert cleaner.n_features_in_ == 4


def test_table_has_what_the_scorer_knows(data):
    class Likely(BaseEstimator):
        """Scores samples by a probability, and has a PSMI of them."""

        def fit(self, X, y):
            self.probability_ = np.linspace(0.1, 0.9, len(X))
            self.scores_, self.psmi_ = np.log(self.probability_), np.arange(len(X))
            return self

    table = RiskFilter(Likely(), share=0.1).fit(*data).risk_table_
    np.testing.assert_allclose(table["risk"], -np.log(table["probability"]))
    np.testing.assert_array_equal(table["probability"], np.linspace(0.1, 0.9, 120))
    np.testing.assert_array_equal(table["psmi"], np.arange(120))


def test_ids_must_tell_the_rows(data):
    X, y = data[0][:4], np.array([0, 1, 0, 1])
    table = RiskTable([0.1, 0.2, 0.3, 0.4], y, id=list("abcd"))
    cleaner = RiskFilter(table, share=0.5, match="index")
    with pytest.raises(InvalidInputError, match="needs X to be a pandas"):
        cleaner.fit(X, y)
    with pytest.raises(InvalidInputError, match=r"1 of 4 rows of X .* first is 'e'"):
        cleaner.fit(pd.DataFrame(X, index=list("abce")), y)
    with pytest.raises(InvalidInputError, match="labels of the risk table are not y"):
        cleaner.fit(pd.DataFrame(X, index=list("abdc")), y)
    twice = RiskTable([0.1, 0.2, 0.3, 0.4], y, id=list("abca"))
    with pytest.raises(InvalidInputError, match="must be unique to be matched; 'a'"):
        RiskFilter(twice, share=0.5, match="index").fit(
            pd.DataFrame(X, index=list("abcd")), y
        )


def test_with_routing_ids_are_cut_all_the_same(data):
    X, y = data
    weight = np.arange(120.0)
    of_table = RiskFilter(RiskTable(np.arange(120.0), y), share=0.2)
    with config_context(enable_metadata_routing=True):
        for cleaner in (RiskFilter(SCORER, share=0.2), RiskFilter(share=0.2), of_table):
            *_, ids, kept = cleaner.fit_resample(
                X, y, ids=list(range(120)), sample_weight=weight
            )
            assert ids == cleaner.sample_indices_.tolist()
            np.testing.assert_array_equal(kept, weight[ids])


def test_without_routing_fit_takes_nothing_more(data):
    with pytest.raises(InvalidInputError, match=r"only with metadata routing; got wei"):
        RiskFilter(SCORER).fit(*data, weights=np.ones(120))


def test_a_filter_forgets_the_features_of_its_last_fit(data):
    X, y = data
    cleaner = RiskFilter(SCORER, share=0.2)
    cleaner.fit(pd.DataFrame(X, columns=list("abcd")), y)
    assert cleaner.get_feature_names_out().tolist() == list("abcd")
    table = cleaner.risk_table_
    cleaner.set_params(scorer=table).fit(None, y)
    assert not {"n_features_in_", "feature_names_in_"} & vars(cleaner).keys()
    cleaner.fit(X[:, :2], y)
    assert len(cleaner.get_feature_names_out()) == 2
