"""The classifier of texts: scikit-learn's contract, and folders of transformers."""

import numpy as np
import pytest
import tiny_models as tiny
from finetuning_data import TEXTS, Y, classify, data
from scipy.special import softmax
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator
from tiny_decoders import decoder
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from smilearn import HiddenStateEmbedder
from smilearn.exceptions import (
    EarlyPointWarning,
    InvalidInputError,
    ModelUnavailableError,
)

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = np.array(["down", "up"])[Y]
NEW, _ = data(30, seed=9)
FEW = NEW[:10]


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


def saved(folder, **changed):
    """A classifier that can be saved: with a head that transformers has."""
    settings = {"head": "standard", "max_epochs": 4, **changed}
    return classify(folder, **settings).fit(TEXTS, NAMES)


FOLDERS = {
    **dict.fromkeys(("bert", "roberta", "distilbert", "qwen2"), tiny.folder),
    **dict.fromkeys(("gpt2", "llama"), decoder),
}


@pytest.mark.parametrize("settings", [{}, {"lora": 4}, {"freeze_layers": 1}])
@pytest.mark.parametrize("kind", FOLDERS)
def test_transformers_opens_what_was_saved(kind, settings, tmp_path):
    """The same probabilities, by the names of the classes."""
    classifier = saved(FOLDERS[kind](kind), **settings)
    classifier.save_pretrained(tmp_path / "model")
    model, loading = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "model", output_loading_info=True
    )
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert model.config.id2label == {0: "down", 1: "up"}
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model", padding_side="right")
    expected = classifier.predict_proba(FEW)
    for text, row in zip(FEW, expected, strict=True):
        logits = model.eval()(**tokenizer(text, return_tensors="pt")).logits
        np.testing.assert_allclose(softmax(logits.detach()[0]), row, atol=1e-5)
    ask = pipeline("text-classification", str(tmp_path / "model"), device="cpu")
    assert [each["label"] for each in ask(FEW)] == classifier.predict(FEW).tolist()
    scores = [each["score"] for each in ask(FEW)]
    np.testing.assert_allclose(scores, expected.max(1), atol=1e-5)


def test_smilearn_opens_what_was_saved(tmp_path):
    classifier = saved(tiny.folder("bert"))
    classifier.save_pretrained(tmp_path)
    embedder = HiddenStateEmbedder(tmp_path, pooling="mean")
    np.testing.assert_allclose(
        embedder.fit_transform(FEW), classifier._read(FEW)[0], atol=1e-5
    )
    before = {name: p.clone() for name, p in classifier.backbone_.named_parameters()}
    start = {"early_point": "epochs", "stop_epoch": 0, "max_epochs": 1}
    again = saved(tmp_path, **start)  # its head is new, what is below it is not
    for name, weight in again.backbone_.named_parameters():
        np.testing.assert_array_equal(weight.detach(), before[name].detach())


@pytest.mark.filterwarnings("ignore::smilearn.exceptions.TruncationWarning")
def test_what_is_saved_reads_as_much_and_as_one_label(tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(tiny.folder("bert"))
    model.config.problem_type = "multi_label_classification"
    model.save_pretrained(tmp_path / "base")
    words = AutoTokenizer.from_pretrained(tiny.folder("bert"))
    words.save_pretrained(tmp_path / "base")
    classifier = saved(tmp_path / "base", max_length=4)
    classifier.save_pretrained(tmp_path / "model")
    ask = pipeline("text-classification", str(tmp_path / "model"), device="cpu")
    scores = [each["score"] for each in ask(FEW, truncation=True)]
    np.testing.assert_allclose(scores, classifier.predict_proba(FEW).max(1), atol=1e-5)


def test_numbers_as_labels_and_a_pickle(tmp_path):
    classifier = classify(tiny.folder("bert"), head="standard", max_epochs=8)
    classifier.fit(TEXTS, Y + 3)
    assert (classifier.predict(TEXTS) == Y + 3).mean() > 0.9
    classifier.save_pretrained(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert model.config.label2id == {"3": 0, "4": 1}


def test_a_linear_head_cannot_be_saved(tmp_path):
    classifier = saved(tiny.folder("bert"), head="linear", max_epochs=1)
    with pytest.raises(InvalidInputError, match=r"joblib\.dump keeps this one"):
        classifier.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_options_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for options in ({"revision": "abc"}, {"local_files_only": True}):
        with pytest.raises(ModelUnavailableError, match="No model 'nobody/nothing'"):
            saved("nobody/nothing", **options)
    folder = tiny.folder("bert")
    kept = saved(folder, revision="main", local_files_only=True, max_epochs=1)
    np.testing.assert_array_equal(kept.logits_, saved(folder, max_epochs=1).logits_)
