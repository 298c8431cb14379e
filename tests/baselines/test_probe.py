"""What a probe is asked, of classifiers that answer in many ways."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import log_softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import (
    LogisticRegression,
    Perceptron,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC, NuSVC
from sklearn.utils import get_tags

from smilearn.baselines import ProbeScorer, logit_scores
from smilearn.exceptions import InvalidInputError

KINDS = ["margin", "loss", "el2n", "entropy"]


def groups(seed, n=150, n_classes=3, sep=3.0):
    """Groups of which some labels are wrong."""
    rng = np.random.default_rng(seed)
    clean = rng.permutation(np.arange(n) % n_classes)
    X = rng.normal(size=(n, 6)) + sep * np.eye(6)[clean]
    wrong = rng.random(n) < 0.1
    return X, np.where(wrong, (clean + 1) % n_classes, clean), wrong


class Pairs(SVC):
    """Decides between pairs, and no parameter tells."""

    def decision_function(self, X):
        shape, self.decision_function_shape = self.decision_function_shape, "ovo"
        decisions = super().decision_function(X)
        self.decision_function_shape = shape
        return decisions


@pytest.mark.parametrize("n_classes", [3, 4])
@pytest.mark.parametrize(
    "model",
    [
        SVC(decision_function_shape="ovo"),
        NuSVC(nu=0.2, decision_function_shape="ovo"),
        make_pipeline(StandardScaler(), SVC(decision_function_shape="ovo")),
        GridSearchCV(SVC(), {"decision_function_shape": ["ovo"]}, cv=2),
        Pairs(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_decisions_between_pairs_are_refused(model, n_classes):
    X, y, _ = groups(0, n_classes=n_classes)
    with pytest.raises(InvalidInputError, match=r"one a pair.*\"ovr\""):
        ProbeScorer(model).fit(X, y)


class Agreeing(SVC):
    def predict(self, X):
        return self.decision_function(X).argmax(1)


def test_pairs_that_a_classifier_declares_are_refused_whatever_it_predicts():
    X, y, _ = groups(0)
    with pytest.raises(InvalidInputError, match="one a pair"):
        ProbeScorer(Agreeing(decision_function_shape="ovo")).fit(X, y)
    assert ProbeScorer(Agreeing()).fit(X, y).by_decisions_


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "model",
    [
        SVC(),
        LinearSVC(),
        RidgeClassifier(),
        SGDClassifier(random_state=0),
        Perceptron(random_state=0),
        OneVsOneClassifier(LinearSVC()),
    ],
    ids=lambda model: type(model).__name__,
)
def test_decisions_without_probabilities_give_a_margin_alone(model, n_classes):
    X, y, wrong = groups(2, n_classes=n_classes)
    probe = ProbeScorer(model).fit(X, y)
    assert roc_auc_score(wrong, -probe.scores_) > 0.8
    decisions = probe.model_.decision_function(X)
    expected = logit_scores(decisions, y, kind="margin", classes=np.arange(n_classes))
    np.testing.assert_allclose(probe.score_samples(X, y), expected)
    for kind in KINDS[1:]:
        with pytest.raises(InvalidInputError, match=f'"{kind}".*Calibrated.*"margin"'):
            ProbeScorer(model, kind=kind).fit(X, y)


@pytest.mark.parametrize("kind", ["margin", "loss"])
@pytest.mark.parametrize(
    "model",
    [
        OneVsRestClassifier(LogisticRegression()),
        CalibratedClassifierCV(LinearSVC(), cv=2),
        GaussianNB(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_decisions_that_are_no_logits_give_way_to_probabilities(model, kind):
    X, y, _ = groups(4)
    probe = ProbeScorer(model, kind=kind, cross_fit=None).fit(X, y)
    assert not probe.by_decisions_
    logits = np.log(model.fit(X, y).predict_proba(X))
    np.testing.assert_allclose(probe.scores_, logit_scores(logits, y, kind=kind))


def test_softmax_decisions_are_taken_as_they_tell_more():
    X, y, _ = groups(6, n_classes=2)
    X[0], y[0] = 1e4, 1
    probe = ProbeScorer(LogisticRegression(), kind="loss", cross_fit=None).fit(X, y)
    assert probe.by_decisions_
    far = np.vstack([X * 1e3, X * 2e3])
    logits = probe.model_.decision_function(far)
    table = log_softmax(np.stack([0 * logits, logits], 1), 1)
    expected = table[np.arange(2 * len(y)), np.tile(1 - y, 2)]
    scores = probe.score_samples(far, np.tile(1 - y, 2))
    np.testing.assert_allclose(scores, expected)
    assert scores.min() < np.log(5e-324)


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_of_0_give_finite_scores(kind):
    X, y, _ = groups(7)
    forest = RandomForestClassifier(5, random_state=0)
    probe = ProbeScorer(forest, kind=kind).fit(X, y)
    assert (probe.model_.predict_proba(X) == 0).any()
    assert np.isfinite(probe.scores_).all()
    assert np.isfinite(probe.score_table(X)).all()


def test_sparse_samples_are_taken_where_the_classifier_takes_them():
    X, y, _ = groups(10)
    counts = csr_array(np.rint(np.abs(X)))
    assert np.isfinite(ProbeScorer(MultinomialNB()).fit(counts, y).scores_).all()
    with pytest.raises(TypeError, match="Sparse data"):
        ProbeScorer(GaussianNB()).fit(counts, y)
    for model, takes in [(None, True), (MultinomialNB(), True), (GaussianNB(), False)]:
        assert get_tags(ProbeScorer(model)).input_tags.sparse == takes
