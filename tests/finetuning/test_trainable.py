"""Models that leave nothing to train are refused; adapters are merged or named."""

import pytest
import tiny_models as tiny

from smilearn import FineTunedClassifier, FineTunedEmbedder
from smilearn.exceptions import InvalidInputError
from smilearn.finetuning import _base

pytestmark = pytest.mark.usefixtures("one_thread")
TEXTS = ["the good film", "a bad movie", "great plot", "dull actor"]
Y = [1, 0, 1, 0]
ESTIMATORS = [FineTunedEmbedder, FineTunedClassifier]
START = {"early_point": "epochs", "stop_epoch": 0, "max_epochs": 1, "random_state": 0}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_merged_adapter_is_one(estimator, tmp_path):
    wrapped = tiny.with_lora(tiny.model("bert"), "bert")
    wrapped.merge_and_unload().save_pretrained(tmp_path)
    tiny.tokenizer("bert").save_pretrained(tmp_path)
    fitted = estimator(tmp_path, **START).fit(TEXTS, Y)
    assert all(each.requires_grad for each in fitted.backbone_.parameters())


@pytest.fixture
def loaded_frozen(monkeypatch):
    """Models come with weights that cannot be trained."""
    load = _base.load_backbone

    def frozen(*given):
        backbone, *rest = load(*given)
        return (backbone.requires_grad_(False), *rest)

    monkeypatch.setattr(_base, "load_backbone", frozen)


@pytest.mark.usefixtures("loaded_frozen")
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_model_that_cannot_be_trained_is_refused(estimator):
    with pytest.raises(InvalidInputError, match="No weight of the BertModel can be"):
        estimator(tiny.folder("bert"), **START).fit(TEXTS, Y)


@pytest.mark.usefixtures("loaded_frozen")
@pytest.mark.parametrize("changed", [{"lora": True}, {"freeze_layers": 3}])
def test_adapters_or_a_head_alone_are_what_is_asked_for(changed):
    FineTunedEmbedder(tiny.folder("bert"), **START, **changed).fit(TEXTS, Y)
