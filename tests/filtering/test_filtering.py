"""Taking samples at risk out: which ones, out of what, and what each class keeps."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.pipeline import make_pipeline as make_imblearn_pipeline
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from smilearn import RiskFilter, RiskTable, SentenceEmbedder, SlicedMIScorer
from smilearn.exceptions import InvalidInputError, LowSupportWarning

SCORES = [0.1, -0.4, 0.3, 0.0, -0.2, 0.5, 0.2, -0.3, 0.4, -0.1]
LABELS = list("aabababbbb")
TABLE = RiskTable(SCORES, LABELS)  # riskiest first: 1 7 4 9 3 0 6 2 8 5


def removed(**rule):
    """Indices of the samples that a rule removes from the table."""
    rule = RiskFilter(TABLE, **rule).fit(None, LABELS)
    assert rule.sample_indices_.tolist() == np.flatnonzero(rule.support_).tolist()
    return np.flatnonzero(~rule.support_).tolist()


def embeddings(seed, n_samples=80):
    """Two classes that overlap."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_samples) % 2
    return rng.normal(size=(n_samples, 4)) + 1.5 * y[:, None], y


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, [1, 4, 7, 9]),  # below 0 nats, where a table draws the line
        ({"share": 0}, []),
        ({"share": 0.3}, [1, 4, 7]),
        ({"share": 0.39}, [1, 4, 7]),
        ({"n_remove": 0}, []),
        ({"n_remove": 2}, [1, 7]),
        ({"threshold": 0.2}, [1, 7]),  # not the one whose risk is 0.2 itself
        ({"threshold": 0.19}, [1, 4, 7]),
        ({"threshold": -0.35}, [0, 1, 2, 3, 4, 6, 7, 9]),
        ({"threshold": 9.0}, []),
        ({"share": 0.3, "by_class": True}, [1, 7]),  # of 4 a one, of 6 b one
        ({"share": 0.5, "by_class": True}, [1, 3, 4, 7, 9]),
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
        ({"share": 0.99, "min_per_class": 5}, [7], "classes a, b"),
        ({"share": 0.99, "min_per_class": 99}, [], "classes a, b"),
        ({"threshold": -9.0, "min_per_class": 3}, [1, 4, 7, 9], "classes a, b"),
        (
            {"n_remove": 3, "by_class": True, "min_per_class": 2},
            [1, 3, 4, 7, 9],
            "class a",
        ),
        ({"min_per_class": 4}, [4, 7], "classes a, b"),
    ],
)
def test_classes_keep_their_safest(rule, expected, named):
    with pytest.warns(LowSupportWarning) as caught:
        assert removed(**rule) == expected
    assert str(caught[0].message) == (
        f"min_per_class={rule.get('min_per_class', 1)} kept samples at risk in the "
        f"{named}."
    )


def test_a_class_may_go_altogether_if_asked():
    assert removed(n_remove=10, min_per_class=0) == [*range(10)]


@settings(deadline=None, max_examples=200)
@given(
    samples=st.lists(st.tuples(st.integers(-8, 8), st.integers(0, 3)), min_size=1),
    percent=st.integers(0, 99),
    floor=st.integers(0, 6),
    by_class=st.booleans(),
)
def test_any_filter_keeps_its_promises(samples, percent, floor, by_class):
    scores, labels = np.array(samples).T
    scores = scores / 4  # coarse, so that many are equal
    rule = RiskFilter(
        RiskTable(scores, labels),
        share=percent / 100,
        min_per_class=floor,
        by_class=by_class,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rule.fit(None, labels)
    np.testing.assert_array_equal(rule.sample_indices_, np.flatnonzero(rule.support_))
    everyone = np.arange(len(scores))
    pools = (
        [np.flatnonzero(labels == k) for k in set(labels)] if by_class else [everyone]
    )
    n_asked = sum(percent * len(pool) // 100 for pool in pools)
    gone = ~rule.support_
    at_floor = np.zeros(len(scores), bool)
    for label in set(labels):
        own = labels == label
        n_kept, n_floor = (own & rule.support_).sum(), min(floor, own.sum())
        assert n_kept >= n_floor
        at_floor[own] = n_kept == n_floor
        assert max(scores[own & gone], default=-9) <= min(
            scores[own & rule.support_], default=9
        )
    for pool in pools:  # nobody riskier stays, unless the class is spared
        free = pool[rule.support_[pool] & ~at_floor[pool]]
        riskiest = max(scores[pool][gone[pool]], default=-9)
        assert riskiest <= min(scores[free], default=9)
    assert gone.sum() <= n_asked
    assert bool(caught) == (gone.sum() < n_asked)
    if gone.sum() < n_asked:
        assert at_floor.any()


@pytest.mark.parametrize(
    "rules", [{"share": 0.1, "n_remove": 1}, {"share": 0, "threshold": 0.0}]
)
def test_only_one_rule_at_a_time(rules):
    with pytest.raises(
        InvalidInputError, match="Set one of share, threshold, n_remove and"
    ):
        removed(**rules)


@pytest.mark.parametrize("rule", [{}, {"threshold": 0.0}, {"alpha": 0.1}])
def test_a_line_is_the_same_for_all_classes(rule):
    with pytest.raises(InvalidInputError, match="by_class=True needs share or n_remov"):
        removed(**rule, by_class=True)


def test_no_more_can_go_than_there_is():
    with pytest.raises(
        InvalidInputError, match=r"n_remove=11 .* 10 samples of the dat"
    ):
        removed(n_remove=11)
    with pytest.raises(InvalidInputError, match=r"n_remove=5 .* 4 samples of a class"):
        removed(n_remove=5, by_class=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"share": 1.0},
        {"share": -0.1},
        {"n_remove": -1},
        {"n_remove": 0.5},
        {"min_per_class": -1},
        {"scorer": "psmi"},
    ],
)
def test_wrong_parameter_is_named(wrong):
    [name] = wrong
    with pytest.raises(ValueError, match=f"The {name!r} parameter of RiskFilter must"):
        RiskFilter(**{"scorer": TABLE, **wrong}).fit(None, LABELS)


def test_table_must_be_of_the_same_samples():
    for other in (LABELS[1:], LABELS[::-1], np.arange(10)):
        with pytest.raises(InvalidInputError, match="labels of the risk table are not"):
            RiskFilter(TABLE).fit(None, other)


def test_removes_what_the_scorer_flags(seed):
    X, y = embeddings(seed)
    scorer = SlicedMIScorer(
        32, slicing="isotropic", contamination=0.2, random_state=seed
    )
    rule = RiskFilter(scorer).fit(X, y)
    expected = clone(scorer).fit(X, y)
    np.testing.assert_array_equal(rule.scores_, expected.scores_)
    np.testing.assert_array_equal(rule.support_, expected.scores_ >= expected.offset_)
    assert (~rule.support_).sum() == 16
    assert not hasattr(scorer, "scores_")
    assert rule.scorer_.n_slices_ == 32


def test_default_scorer_finds_a_wrong_label(seed):
    X, y = embeddings(seed)
    X[:, 0] += 20 * y
    y[6] = 1
    assert RiskFilter(n_remove=1).fit(X, y).support_.argmin() == 6


LETTERS = list("abcdefghij")
CONTAINERS = {
    "list": (LETTERS, LABELS),
    "array": (np.array(LETTERS), np.array(LABELS)),
    "matrix": (np.arange(20).reshape(10, 2), tuple(LABELS)),
    "frame": (
        pd.DataFrame({"letter": LETTERS, "n": range(10)}, index=range(70, 60, -1)),
        pd.Series(LABELS, index=range(10, 20), name="label"),
    ),
    "series": (pd.Series(LETTERS), pd.Series(LABELS, dtype="category")),
    "polars": (pl.DataFrame({"letter": LETTERS}), pl.Series("label", LABELS)),
    "sparse": (sp.csr_array(np.diag(np.arange(1.0, 11))), LABELS),
}


def rows_of(X):
    """Rows as plain values, with the index if there is one."""
    if sp.issparse(X):
        return X.toarray().tolist()
    if isinstance(X, pd.DataFrame):
        return list(X.itertuples(name=None))
    if isinstance(X, pd.Series):
        return list(X.items())
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


def test_scorer_may_be_a_pipeline_over_texts(tiny_encoder, seed):
    rng = np.random.default_rng(seed)
    words = ["good", "bad", "film", "plot", "the", "of"]
    texts = pd.Series([" ".join(rng.choice(words, 4)) for _ in range(30)])
    y = np.array(["bad", "good"])[np.arange(30) % 2]
    scorer = make_pipeline(
        SentenceEmbedder(tiny_encoder), SlicedMIScorer(32, random_state=seed)
    )
    rule = RiskFilter(scorer, share=0.2)
    texts_kept, y_kept = rule.fit_resample(texts, y)
    scores = clone(scorer).fit(texts, y)[-1].scores_
    expected = np.sort(np.argsort(scores, kind="stable")[6:])
    np.testing.assert_array_equal(rule.sample_indices_, expected)
    assert texts_kept.index.tolist() == expected.tolist()
    assert texts_kept.tolist() == texts[expected].tolist()
    assert y_kept.tolist() == y[expected].tolist()
    assert rule.scorer_[-1].scores_.tolist() == rule.scores_.tolist()


def test_acts_in_an_imblearn_pipeline_when_fitted_only(seed):
    X, y = embeddings(seed)
    rule = RiskFilter(SlicedMIScorer(32, random_state=seed), share=0.25)
    pipeline = make_imblearn_pipeline(rule, LogisticRegression()).fit(X, y)
    assert pipeline.predict(X).shape == (80,)
    X_kept, y_kept = clone(rule).fit_resample(X, y)
    assert len(X_kept) == 60
    expected = LogisticRegression().fit(X_kept, y_kept)
    np.testing.assert_allclose(pipeline[-1].coef_, expected.coef_)
    everything = LogisticRegression().fit(X, y)
    assert abs(pipeline[-1].coef_ - everything.coef_).max() > 0.01


def test_clone_keeps_parameters():
    rule = RiskFilter(TABLE, share=0.3, by_class=True, min_per_class=2)
    copy = clone(rule)
    assert {**copy.get_params(), "scorer": 0} == {**rule.get_params(), "scorer": 0}
    np.testing.assert_array_equal(copy.scorer["psmi"], SCORES)
    assert (~copy.fit(None, LABELS).support_).nonzero()[0].tolist() == [1, 7]
    nested = clone(RiskFilter(SlicedMIScorer(32)).set_params(scorer__n_slices=7))
    assert nested.get_params()["scorer__n_slices"] == 7


def test_view_of_a_table_is_refused():
    """Its rows are not those of the data: the wrong ones would be removed."""
    with pytest.raises(ValueError, match="view made by take or riskiest"):
        RiskFilter(TABLE.riskiest()).fit(None, TABLE.riskiest()["label"])


def test_x_and_y_must_be_of_one_length():
    with pytest.raises(InvalidInputError, match="y must hold one value for each of th"):
        RiskFilter(TABLE).fit_resample([[0.0]] * (len(LABELS) - 1), LABELS)
