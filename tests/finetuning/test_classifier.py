"""The classifier of texts: scikit-learn's contract on a fine-tuned model."""

import pickle
import sys

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import check_estimator
from test_freezing import TEXTS, Y, data

from smilearn import FineTunedClassifier
from smilearn.exceptions import (
    EarlyPointWarning,
    InvalidInputError,
    MissingDependencyError,
    MissingTextError,
    TruncationWarning,
)

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = np.array(["down", "up"])[Y]
NEW, Y_NEW = data(30, seed=9)


def make(folder, **changed):
    settings = {"learning_rate": 1e-2, "batch_size": 8, "random_state": 0, **changed}
    return FineTunedClassifier(folder, **{"max_epochs": 12, **settings})


@pytest.fixture(scope="module")
def fitted(tiny_encoder, one_thread):
    return make(tiny_encoder).fit(TEXTS, NAMES)


def test_it_learns(fitted):
    assert fitted.score(TEXTS, NAMES) > 0.9
    assert fitted.history_[-1]["share_fitted"] == fitted.score(TEXTS, NAMES)
    assert fitted.classes_.tolist() == ["down", "up"]


def test_probabilities_predictions_and_logits_agree(fitted):
    p = fitted.predict_proba(NEW)
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-12)
    assert (p >= 0).all()
    assert p.shape == (30, 2)
    d = fitted.decision_function(NEW)
    np.testing.assert_allclose(np.log(p[:, 1] / p[:, 0]), d, atol=1e-6)
    assert (fitted.predict(NEW) == np.where(d > 0, "up", "down")).all()


def test_losses_are_those_of_the_probabilities(fitted):
    p = fitted.predict_proba(TEXTS)
    own = p[np.arange(len(Y)), Y]
    np.testing.assert_allclose(fitted.losses_, -np.log(own), atol=1e-4)
    assert fitted.losses_.mean() == pytest.approx(log_loss(NAMES, p), abs=1e-4)


def test_more_classes_have_a_column_each(tiny_encoder):
    y = np.arange(40) % 3
    classifier = make(tiny_encoder, max_epochs=1).fit(TEXTS, y)
    d = classifier.decision_function(NEW)
    assert d.shape == (30, 3)
    exact = np.exp(d) / np.exp(d).sum(1, keepdims=True)
    np.testing.assert_allclose(classifier.predict_proba(NEW), exact, atol=1e-12)
    assert (classifier.predict(NEW) == d.argmax(1)).all()


def test_texts_come_one_by_one_or_in_any_column(fitted):
    p = fitted.predict_proba(NEW)
    alone = np.concatenate([fitted.predict_proba([text]) for text in NEW])
    np.testing.assert_allclose(alone, p, atol=1e-5)
    np.testing.assert_array_equal(fitted.predict_proba(pl.Series(NEW)), p)
    assert fitted.predict_proba([]).shape == (0, 2)
    assert fitted.predict([]).shape == fitted.decision_function([]).shape == (0,)


def test_trains_to_the_last_epoch_unless_told(tiny_encoder):
    """40 texts in batches of 8 are 5 steps an epoch."""
    classifier = make(tiny_encoder, max_epochs=2).fit(TEXTS, Y)
    assert [entry["step"] for entry in classifier.history_] == [0, 5, 10]
    assert classifier.early_point_reached_ is False
    stopped = make(tiny_encoder, early_point="median-loss", evaluations_per_epoch=5)
    stopped.fit(TEXTS, Y)
    assert stopped.early_point_reached_
    assert stopped.history_[-1]["step"] < 60
    assert stopped.history_[-1]["median_loss"] <= stopped.early_point_loss_
    with pytest.warns(EarlyPointWarning, match="median loss"):
        make(
            tiny_encoder, early_point="median-loss", loss_drop=0.999, max_epochs=1
        ).fit(TEXTS, Y)


def test_same_seed_same_classifier(tiny_encoder, fitted):
    again = make(tiny_encoder).fit(TEXTS, NAMES)
    np.testing.assert_array_equal(again.logits_, fitted.logits_)
    other = make(tiny_encoder, random_state=1).fit(TEXTS, NAMES)
    assert abs(other.logits_ - fitted.logits_).max() > 1e-3


def test_scikit_learn_takes_it_for_a_classifier(tiny_encoder, fitted):
    assert is_classifier(fitted)
    tags = fitted.__sklearn_tags__()
    assert tags.input_tags.string
    assert not tags.input_tags.two_d_array
    assert tags.target_tags.required
    assert tags.classifier_tags is not None
    check_estimator(make(tiny_encoder))
    short = make(tiny_encoder, max_epochs=1)
    assert cross_val_score(short, TEXTS, NAMES, cv=2).shape == (2,)
    search = GridSearchCV(short, {"freeze_layers": [0, 2]}, cv=2).fit(TEXTS, NAMES)
    best = search.best_estimator_.predict(NEW)
    assert search.score(NEW, NAMES[:30]) == accuracy_score(NAMES[:30], best)


def test_clone_and_pickle(tiny_encoder, fitted):
    copy = clone(fitted)
    assert copy.get_params() == make(tiny_encoder).get_params()
    for method in ("predict", "predict_proba", "decision_function"):
        with pytest.raises(NotFittedError):
            getattr(copy, method)(NEW)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(NEW), fitted.predict_proba(NEW))


def test_what_is_wrong_is_said(tiny_encoder, fitted, monkeypatch):
    with pytest.raises(InvalidInputError, match=r"2 classes or more; got \['a'\]"):
        make(tiny_encoder).fit(TEXTS, ["a"] * 40)
    with pytest.raises(MissingTextError, match="row 1 "):
        fitted.predict(["good", None])
    with pytest.raises(ValueError, match=r"sample_weight.*41"):
        make(tiny_encoder).fit(TEXTS, Y, np.ones(41))
    with pytest.raises(ValueError, match="sample_weight"):
        make(tiny_encoder).fit(TEXTS, Y, -np.ones(40))
    with pytest.raises(ValueError, match="'lora' parameter of FineTunedClassifier"):
        make(tiny_encoder, lora=0).fit(TEXTS, Y)
    with pytest.warns(TruncationWarning, match="1 of 1 texts"):
        fitted.predict(["good " * 99])
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingDependencyError, match="FineTunedClassifier needs"):
        make(tiny_encoder).fit(TEXTS, Y)
