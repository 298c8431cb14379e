"""Models that leave nothing to train are refused."""

import pytest
import tiny_models as tiny
from finetuning_data import TEXTS, Y

from smilearn import FineTunedEmbedder
from smilearn.exceptions import InvalidInputError
from smilearn.finetuning import _base

pytestmark = pytest.mark.usefixtures("one_thread")
START = {"early_point": "epochs", "stop_epoch": 0, "max_epochs": 1, "random_state": 0}


def test_a_model_that_cannot_be_trained_is_refused(monkeypatch):
    load = _base.load_backbone

    def frozen(*settings, **hub):
        backbone, *others = load(*settings, **hub)
        return (backbone.requires_grad_(False), *others)

    monkeypatch.setattr(_base, "load_backbone", frozen)
    with pytest.raises(InvalidInputError, match="No weight of the BertModel can be"):
        FineTunedEmbedder(tiny.folder("bert"), **START).fit(TEXTS, Y)
    for changed in ({"lora": True}, {"freeze_layers": 3}):  # adapters or a head alone
        FineTunedEmbedder(tiny.folder("bert"), **START, **changed).fit(TEXTS, Y)
