"""Fine-tuned classifiers as folders of transformers."""

import numpy as np
import pytest
import tiny_models as tiny
from finetuning_data import TEXTS, Y, data, make
from scipy.special import softmax
from tiny_decoders import decoder
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from smilearn import FineTunedClassifier, HiddenStateEmbedder
from smilearn.exceptions import InvalidInputError, ModelUnavailableError

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = np.array(["down", "up"])[Y]
NEW = data(10, seed=9)[0]


def fitted(folder, **changed):
    settings = {"head": "standard", "max_epochs": 4, **changed}
    return make(folder, FineTunedClassifier, **settings).fit(TEXTS, NAMES)


FOLDERS = {
    **dict.fromkeys(("bert", "roberta", "distilbert", "qwen2"), tiny.folder),
    **dict.fromkeys(("gpt2", "llama"), decoder),
}


@pytest.mark.parametrize("settings", [{}, {"lora": 4}, {"freeze_layers": 1}])
@pytest.mark.parametrize("kind", FOLDERS)
def test_transformers_opens_what_was_saved(kind, settings, tmp_path):
    """The same probabilities, by the names of the classes."""
    classifier = fitted(FOLDERS[kind](kind), **settings)
    classifier.save_pretrained(tmp_path / "model")
    model, loading = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "model", output_loading_info=True
    )
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert model.config.id2label == {0: "down", 1: "up"}
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model", padding_side="right")
    expected = classifier.predict_proba(NEW)
    for text, row in zip(NEW, expected, strict=True):
        logits = model.eval()(**tokenizer(text, return_tensors="pt")).logits
        np.testing.assert_allclose(softmax(logits.detach()[0]), row, atol=1e-5)
    ask = pipeline("text-classification", str(tmp_path / "model"), device="cpu")
    assert [each["label"] for each in ask(NEW)] == classifier.predict(NEW).tolist()
    scores = [each["score"] for each in ask(NEW)]
    np.testing.assert_allclose(scores, expected.max(1), atol=1e-5)


def test_smilearn_opens_what_was_saved(tmp_path):
    classifier = fitted(tiny.folder("bert"))
    classifier.save_pretrained(tmp_path)
    embedder = HiddenStateEmbedder(tmp_path, pooling="mean")
    np.testing.assert_allclose(
        embedder.fit_transform(NEW), classifier._read(NEW)[0], atol=1e-5
    )
    before = {name: p.clone() for name, p in classifier.backbone_.named_parameters()}
    start = {"early_point": "epochs", "stop_epoch": 0, "max_epochs": 1}
    again = fitted(tmp_path, **start)  # its head is new, what is below it is not
    for name, weight in again.backbone_.named_parameters():
        np.testing.assert_array_equal(weight.detach(), before[name].detach())


@pytest.mark.filterwarnings("ignore::smilearn.exceptions.TruncationWarning")
def test_what_is_saved_reads_as_much_and_as_one_label(tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(tiny.folder("bert"))
    model.config.problem_type = "multi_label_classification"
    model.save_pretrained(tmp_path / "base")
    words = AutoTokenizer.from_pretrained(tiny.folder("bert"))
    words.save_pretrained(tmp_path / "base")
    classifier = fitted(tmp_path / "base", max_length=4)
    classifier.save_pretrained(tmp_path / "model")
    ask = pipeline("text-classification", str(tmp_path / "model"), device="cpu")
    scores = [each["score"] for each in ask(NEW, truncation=True)]
    np.testing.assert_allclose(scores, classifier.predict_proba(NEW).max(1), atol=1e-5)


def test_numbers_as_labels_and_a_pickle(tmp_path):
    settings = {"head": "standard", "max_epochs": 8}
    classifier = make(tiny.folder("bert"), FineTunedClassifier, **settings)
    classifier.fit(TEXTS, Y + 3)
    assert (classifier.predict(TEXTS) == Y + 3).mean() > 0.9
    classifier.save_pretrained(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert model.config.label2id == {"3": 0, "4": 1}


def test_a_linear_head_cannot_be_saved(tmp_path):
    classifier = fitted(tiny.folder("bert"), head="linear", max_epochs=1)
    with pytest.raises(InvalidInputError, match=r"joblib\.dump keeps this one"):
        classifier.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_options_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for options in ({"revision": "abc"}, {"local_files_only": True}):
        with pytest.raises(ModelUnavailableError, match="No model 'nobody/nothing'"):
            fitted("nobody/nothing", **options)
    folder = tiny.folder("bert")
    kept = fitted(folder, revision="main", local_files_only=True, max_epochs=1)
    np.testing.assert_array_equal(kept.logits_, fitted(folder, max_epochs=1).logits_)
