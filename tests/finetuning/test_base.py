"""What both estimators share: documented parameters, and what cannot be trained."""

import inspect

import pytest
import tiny_models as tiny
from finetuning_data import TEXTS, Y, make

from smilearn import FineTunedClassifier, FineTunedEmbedder
from smilearn.exceptions import InvalidInputError
from smilearn.finetuning import _base

pytestmark = pytest.mark.usefixtures("one_thread")
KINDS = [FineTunedClassifier, FineTunedEmbedder]
START = {"early_point": "epochs", "stop_epoch": 0, "max_epochs": 1}


def test_defaults_that_differ_are_documented_where_they_do():
    classifier, embedder = map(inspect.getdoc, KINDS)
    assert "\nmax_epochs : int, default=3\n" in classifier
    assert "\nmax_epochs : int, default=5\n" in embedder
    assert '"epochs"} or None, default=None\n' in classifier
    assert '"epochs"} or None, default="median-loss"\n' in embedder
    assert ("n_features_out_" in classifier, "n_features_out_" in embedder) == (0, 1)


@pytest.mark.parametrize("name", ["loss_drop", "max_epochs", "learning_rate", "lora"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_parameter_is_named(tiny_encoder, kind, name):
    with pytest.raises(ValueError, match=f"The {name!r} parameter of {kind.__name__}"):
        make(tiny_encoder, kind, **{name: 0}).fit(TEXTS, Y)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        (
            {"early_point": "epochs", "stop_epoch": 3.5},
            r"stop_epoch=3.5 comes after max_epochs=3. Raise max_epochs.",
        ),
        (
            {"early_point": "gap", "validation_share": 0.01},
            r"validation_share=0.01 of 40 texts holds none out. Raise it",
        ),
        ({"mixed_precision": "fp16", "device": "cpu"}, '"fp16" needs CUDA; got cpu'),
        ({"learning_rate": 1e30}, r"diverged. Lower learning_rate"),
        (
            {"class_weight": {0: 1.0, "spam": 2.0}},
            "class_weight has 'spam', which is no label; .* 0, 1",
        ),
        ({"class_weight": {0: 0.0, 1: 0.0}}, "must be 0 or more, and not 0 for all"),
        ({"class_weight": {0: -1.0}}, "must be 0 or more"),
        ({"class_weight": {0: None}}, "class_weight of 0 must be a number; got None"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_refused(tiny_encoder, changed, match):
    with pytest.raises(InvalidInputError, match=match):
        make(tiny_encoder, **changed).fit(TEXTS, Y)


def test_a_model_that_cannot_be_trained_is_refused(monkeypatch):
    load, folder = _base.load_backbone, tiny.folder("bert")

    def frozen(*settings, **hub):
        backbone, *others = load(*settings, **hub)
        return (backbone.requires_grad_(False), *others)

    monkeypatch.setattr(_base, "load_backbone", frozen)
    with pytest.raises(InvalidInputError, match="No weight of the BertModel can be"):
        make(folder, **START).fit(TEXTS, Y)
    for changed in ({"lora": True}, {"freeze_layers": 3}):  # adapters or a head alone
        make(folder, **START, **changed).fit(TEXTS, Y)
