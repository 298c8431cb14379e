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

from smilearn.audit._shadow_models import (
    comparable_answers,
    seeded_clone,
    shadow_answers,
)
from smilearn.baselines._training import log_probabilities
from smilearn.exceptions import InvalidInputError

X, Y = numbered()
CLASSES = np.unique(Y)
ALL = np.arange(len(Y))


def answers(estimator, X=X, y=Y, kept=ALL, statistic="logit_gap", **params):
    return shadow_answers(estimator, 0, X, y, kept, params, np.unique(y), statistic)


def formed(estimator, X=X, y=Y, kept=ALL, statistic="logit_gap"):
    found = answers(estimator, X, y, kept, statistic)
    whole = comparable_answers([found], len(kept), statistic)
    return {name: values[0] for name, values in whole.items()}


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c")])
def test_where_probabilities_round_to_one_the_gap_goes_on(labels):
    X, y = numbered(60, labels)
    X = np.hstack([1e4 * np.eye(len(labels))[np.arange(60) % len(labels)], X])
    model = LogisticRegression(C=10.0).fit(X, y)
    found = formed(LogisticRegression(C=10.0), X, y)["statistic"]
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
    found, codes = formed(GaussianNB(), X, y), np.arange(60) % 3
    p = GaussianNB().fit(X, y).predict_proba(X)
    own = p[np.arange(60), codes]
    other = np.array([np.delete(row, c).max() for row, c in zip(p, codes, strict=True)])
    np.testing.assert_allclose(found["statistic"], np.log(own / other))
    np.testing.assert_allclose(found["log_p"], np.log(own))
    assert (found["correct"] == (p.argmax(1) == codes)).all()
    loss = formed(GaussianNB(), X, y, statistic="loss")["statistic"]
    np.testing.assert_allclose(loss, np.log(own))


def two_columns(model, X, y):
    p = model.predict_proba(X)
    rows, codes = np.arange(len(y)), np.searchsorted(model.classes_, y)
    return p[rows, codes], p[rows, 1 - codes]


def test_a_probability_of_0_is_the_same_in_all_models():
    """A tree that is sure gives 0 and 1 alone; that its 0 is a half says nothing."""
    X, y = np.arange(24.0)[:, None], np.array(["a"] * 10 + ["b"] * 14)
    models = [KNeighborsClassifier(8), DecisionTreeClassifier(), GaussianNB()]
    found = [answers(model, X, y, kept=np.arange(24)) for model in models]
    assert np.isneginf(found[1]["log_p"] + found[1]["log_other"]).all()
    p = np.array([two_columns(model.fit(X, y), X, y) for model in models])
    assert 1e-12 < p[2].min() < 1 / 24
    n_infinite = (p == 0).any(1).sum(1)
    for few, n_trained in ((found[:2], 24), (found, 24), (found, 10**12)):
        whole = comparable_answers(few, n_trained, "logit_gap")
        own, other = np.moveaxis(p[: len(few)].copy(), 1, 0)
        stand_in = min(p[: len(few)][p[: len(few)] > 0].min(), 1 / n_trained) / 2
        own[own == 0], other[other == 0] = stand_in, stand_in
        np.testing.assert_allclose(whole["statistic"], np.log(own / other), rtol=1e-6)
        np.testing.assert_allclose(whole["log_p"], np.log(own), rtol=1e-6, atol=1e-12)
        assert whole["n_infinite"].tolist() == n_infinite[: len(few)].tolist()
        loss = comparable_answers(few, n_trained, "loss")
        assert (loss["statistic"] == whole["log_p"]).all()


def test_models_that_are_all_certain():
    found = formed(Certain(noise=1.0))
    assert found["n_infinite"] == 60
    np.testing.assert_allclose(np.abs(found["statistic"]), np.log(120))
    assert (found["correct"] == (found["statistic"] > 0)).all()


def test_a_statistic_of_ones_own_is_given_back_as_it_is():
    values = np.linspace(-1e6, 1e6, 60)
    found = formed(Certain(), statistic=lambda model, X, y: values)
    assert found["statistic"].tolist() == values.tolist()
    assert found["log_p"].min() == pytest.approx(-np.log(120))


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
