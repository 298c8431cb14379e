"""Log probabilities are as exact as a model lets them be known."""

import numpy as np
import pytest
from shadow_models import Certain, Lookup, numbered
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from smilearn._shadow_models import log_probabilities, seeded_clone, shadow_answers
from smilearn.exceptions import InvalidInputError

X, Y = numbered()
CLASSES = np.unique(Y)
ALL = np.arange(len(Y))


def answers(estimator, X=X, y=Y, kept=ALL, statistic="logit_gap", **params):
    return shadow_answers(estimator, 0, X, y, kept, params, np.unique(y), statistic)


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c")])
def test_where_probabilities_round_to_one_the_gap_goes_on(labels):
    X, y = numbered(60, labels)
    X = np.hstack([1e4 * np.eye(len(labels))[np.arange(60) % len(labels)], X])
    model = LogisticRegression(C=10.0).fit(X, y)
    found = answers(LogisticRegression(C=10.0), X, y)["statistic"]
    assert (model.predict_proba(X).max(1) == 1).all()
    assert len(np.unique(found)) > 10
    decisions = model.decision_function(X)
    if len(labels) == 2:
        expected = np.where(y == "b", decisions, -decisions)
    else:
        codes = np.arange(60) % 3
        own = decisions[np.arange(60), codes]
        decisions[np.arange(60), codes] = -np.inf
        expected = own - decisions.max(1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "model",
    [GaussianNB(), KNeighborsClassifier(20), SGDClassifier(loss="modified_huber")],
    ids=["predict_log_proba", "predict_proba", "another decision function"],
)
def test_what_has_no_logit_answers_by_probabilities(model):
    X, y = numbered(60, ("a", "b", "c"))
    X = StandardScaler().fit_transform(X)
    model.fit(X, y)
    with np.errstate(divide="ignore"):
        expected = np.log(model.predict_proba(X))
    np.testing.assert_allclose(log_probabilities(model, X, np.unique(y)), expected)


def test_gap_loss_and_correctness():
    X, y = numbered(60, ("a", "b", "c"))
    found, codes = answers(GaussianNB(), X, y), np.arange(60) % 3
    p = GaussianNB().fit(X, y).predict_proba(X)
    own = p[np.arange(60), codes]
    other = np.array([np.delete(row, c).max() for row, c in zip(p, codes, strict=True)])
    np.testing.assert_allclose(found["statistic"], np.log(own / other))
    np.testing.assert_allclose(found["log_p"], np.log(own))
    assert (found["correct"] == (p.argmax(1) == codes)).all()
    loss = answers(GaussianNB(), X, y, statistic="loss")["statistic"]
    np.testing.assert_allclose(loss, np.log(own))


def test_a_probability_of_0_is_half_the_lowest_that_the_model_gave():
    X, y = np.arange(12.0)[:, None], np.array(["a"] * 5 + ["b"] * 7)
    found = answers(KNeighborsClassifier(4), X, y, kept=np.arange(12))
    p = KNeighborsClassifier(4).fit(X, y).predict_proba(X)
    assert found["n_infinite"] == (p == 0).any(1).sum() > 0
    p[p == 0] = p[p > 0].min() / 2
    codes = (y == "b").astype(int)
    gap = np.log(p[np.arange(12), codes] / p[np.arange(12), 1 - codes])
    np.testing.assert_allclose(found["statistic"], gap)
    certain = answers(Certain(noise=1.0))
    assert certain["n_infinite"] == 60
    np.testing.assert_allclose(np.abs(certain["statistic"]), np.log(2))
    tree = answers(DecisionTreeClassifier(), X, y, kept=np.arange(12))
    np.testing.assert_allclose(tree["statistic"], np.log(2))


def test_decisions_that_are_not_finite_do_not_serve():
    class Infinite(LogisticRegression):
        def decision_function(self, X):
            return np.full(len(X), np.inf)

        def predict_proba(self, X):
            return np.tile([0.25, 0.75], (len(X), 1))

        def predict_log_proba(self, X):
            return np.log(self.predict_proba(X))

    table = log_probabilities(Infinite().fit(X, Y), X, CLASSES)
    np.testing.assert_allclose(table, np.log([[0.25, 0.75]] * 60))


def test_models_that_are_of_no_use():
    class Odd(Lookup):
        def predict_proba(self, X):
            return np.full((len(X), 2), np.nan)

    with pytest.raises(InvalidInputError, match=r"Odd must give.*120 NaN"):
        answers(Odd())
    with pytest.raises(InvalidInputError, match=r"know the classes \['no', 'yes'\]"):
        log_probabilities(Lookup().fit(X, np.array(["x"] * 60)), X, CLASSES)


@pytest.mark.parametrize(
    "values", [np.zeros(3), np.full(60, np.inf), np.zeros((60, 1))]
)
def test_a_statistic_must_be_one_finite_number_a_sample(values):
    with pytest.raises(InvalidInputError, match="one finite number for each of the 60"):
        answers(Lookup(), statistic=lambda model, X, y: values)


def test_what_is_aligned_is_cut_and_the_rest_is_not():
    class Told(Lookup):
        def fit(self, X, y, sample_weight=None, names=(), mode=""):
            assert sample_weight.tolist() == [5.0, 7.0, 8.0]
            assert (names, mode) == (["odd"], "x" * 60)
            return super().fit(X, y)

    answers(
        Told(),
        kept=np.array([5, 7, 8]),
        sample_weight=np.arange(60.0),
        names=["odd"],
        mode="x" * 60,
    )


def test_each_random_state_gets_a_seed_of_its_own():
    class Holder(BaseEstimator):
        def __init__(self, inner=None, random_state=None):
            self.inner = inner
            self.random_state = random_state

    estimator = make_pipeline(Holder(Lookup(random_state=3), 3), Lookup())
    one, again = seeded_clone(estimator, 5), seeded_clone(estimator, 5)
    other = seeded_clone(estimator, 6)

    def seeds(model):
        values = model.get_params(deep=True)
        return [v for name, v in values.items() if name.endswith("random_state")]

    assert seeds(one) == seeds(again)
    assert len(set(seeds(one) + seeds(other))) == 6
    assert seeds(estimator) == [3, 3, None]
