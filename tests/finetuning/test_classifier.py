"""The classifier of texts: scikit-learn's contract on a fine-tuned model."""

import numpy as np
import pytest
from finetuning_data import TEXTS, Y, data, make
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

from smilearn import FineTunedClassifier
from smilearn.exceptions import EarlyPointWarning

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = np.array(["down", "up"])[Y]
NEW, Y_NEW = data(30, seed=9)


def classify(folder, **changed):
    return make(folder, FineTunedClassifier, **changed)


@pytest.fixture(scope="module")
def fitted(tiny_encoder, one_thread):
    return classify(tiny_encoder, max_epochs=12).fit(TEXTS, NAMES)


def test_probabilities_predictions_logits_and_losses_agree(fitted):
    p = fitted.predict_proba(NEW)
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-12)
    assert (p >= 0).all()
    assert p.shape == (30, 2)
    d = fitted.decision_function(NEW)
    np.testing.assert_allclose(np.log(p[:, 1] / p[:, 0]), d, atol=1e-6)
    assert (fitted.predict(NEW) == np.where(d > 0, "up", "down")).all()
    assert fitted.predict([]).shape == fitted.decision_function([]).shape == (0,)
    p = fitted.predict_proba(TEXTS)
    np.testing.assert_allclose(
        fitted.losses_, -np.log(p[np.arange(len(Y)), Y]), atol=1e-4
    )
    assert fitted.losses_.mean() == pytest.approx(log_loss(NAMES, p), abs=1e-4)


def test_more_classes_have_a_column_each(tiny_encoder):
    y = np.arange(40) % 3
    classifier = classify(tiny_encoder, max_epochs=1).fit(TEXTS, y)
    d = classifier.decision_function(NEW)
    assert d.shape == (30, 3)
    exact = np.exp(d) / np.exp(d).sum(1, keepdims=True)
    np.testing.assert_allclose(classifier.predict_proba(NEW), exact, atol=1e-12)
    assert (classifier.predict(NEW) == d.argmax(1)).all()


def test_trains_to_the_last_epoch_without_an_early_point(tiny_encoder):
    """40 texts in batches of 8 are 5 steps an epoch."""
    classifier = classify(tiny_encoder, max_epochs=2).fit(TEXTS, Y)
    assert [entry["step"] for entry in classifier.history_] == [0, 5, 10]
    assert classifier.early_point_reached_ is False
    options = {"early_point": "median-loss", "evaluations_per_epoch": 5}
    stopped = classify(tiny_encoder, max_epochs=12, **options).fit(TEXTS, Y)
    assert stopped.early_point_reached_
    assert stopped.history_[-1]["step"] < 60
    assert stopped.history_[-1]["median_loss"] <= stopped.early_point_loss_
    with pytest.warns(EarlyPointWarning, match="median loss"):
        classify(tiny_encoder, loss_drop=0.999, max_epochs=1, **options).fit(TEXTS, Y)


def test_scikit_learn_takes_it_for_a_classifier(tiny_encoder, fitted):
    assert is_classifier(fitted)
    check_estimator(classify(tiny_encoder))
    short = classify(tiny_encoder, max_epochs=1)
    search = GridSearchCV(short, {"freeze_layers": [0, 2]}, cv=2).fit(TEXTS, NAMES)
    best = search.best_estimator_.predict(NEW)
    assert search.score(NEW, NAMES[:30]) == accuracy_score(NAMES[:30], best)


def test_wrong_weights_are_refused(tiny_encoder):
    with pytest.raises(ValueError, match=r"sample_weight.*41"):
        classify(tiny_encoder).fit(TEXTS, Y, np.ones(41))
    with pytest.raises(ValueError, match="sample_weight"):
        classify(tiny_encoder).fit(TEXTS, Y, -np.ones(40))
