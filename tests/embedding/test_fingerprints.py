"""Fingerprints: the same for the same model, another for any other."""

import pytest
import tiny_models as tiny
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import AutoModel, AutoTokenizer

from smilearn.embedding._fingerprints import (
    encoder_fingerprint,
    model_fingerprint,
    tokenizer_fingerprint,
)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_it_survives_a_folder_and_differs_between_models(kind):
    network = tiny.model(kind)
    loaded = AutoModel.from_pretrained(tiny.folder(kind))
    assert model_fingerprint(network) == model_fingerprint(loaded)
    assert len(model_fingerprint(network)) == 32
    others = {model_fingerprint(tiny.model(each)) for each in tiny.KINDS}
    assert len(others) == len(tiny.KINDS)


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.layers[1].mlp.up_proj.weight[3, 2].add_(1e-6),
        lambda net: net.norm.weight[-1].mul_(-1),
        lambda net: net.half(),
        lambda net: setattr(net.config, "rope_theta", 3.0),
        lambda net: setattr(net.config, "rms_norm_eps", 0.5),
        lambda net: setattr(net.config, "some_setting", 0),
    ],
)
def test_the_least_change_is_seen(change):
    network = tiny.model("llama")
    before = model_fingerprint(network)
    with torch.no_grad():
        change(network)
    assert model_fingerprint(network) != before


def test_a_tokenizer_is_what_it_does_and_not_what_it_did_last():
    words = tiny.tokenizer("bert")
    before, state = tokenizer_fingerprint(words), words.backend_tokenizer.to_str()
    words(["a b c", "a"], truncation=True, max_length=2, padding=True)
    assert words.backend_tokenizer.to_str() != state
    assert tokenizer_fingerprint(words) == before
    loaded = AutoTokenizer.from_pretrained(tiny.folder("bert"))
    assert tokenizer_fingerprint(loaded) == before
    prints = {tokenizer_fingerprint(tiny.tokenizer(kind)) for kind in ("bert", "t5")}
    words.add_tokens(["unheard"])
    assert len(prints | {tokenizer_fingerprint(words)}) == 3


def changed(folder, source, *, weights=None, pooling="mean", lower=True):
    """Save the tiny encoder with one thing changed; load it."""
    model = AutoModel.from_pretrained(source)
    if weights is not None:
        model.get_parameter(weights).data[0] += 1e-3
    model.save_pretrained(folder / "bert")
    tokenizer = AutoTokenizer.from_pretrained(source, do_lower_case=lower)
    tokenizer.save_pretrained(folder / "bert")
    whole = SentenceTransformer(str(folder / "bert"), device="cpu")
    whole[1] = Pooling(16, pooling_mode=pooling)
    whole.save(str(folder / "whole"))
    return SentenceTransformer(str(folder / "whole"), device="cpu")


def test_fingerprint_is_of_what_a_row_depends_on(tiny_encoder, tmp_path):
    changes = {
        "same": {},
        "again": {},
        "pooler": {"weights": "pooler.dense.bias"},  # is not used
        "bias": {"weights": "encoder.layer.1.output.dense.bias"},
        "cls": {"pooling": "cls"},
        "case": {"lower": False},
    }
    prints = {
        name: encoder_fingerprint(changed(tmp_path / name, tiny_encoder, **what))
        for name, what in changes.items()
    }
    assert prints["same"] == prints["again"] == prints["pooler"]
    assert len(set(prints.values())) == 4
    encoder = SentenceTransformer(str(tmp_path / "same" / "whole"), device="cpu")
    encoder.encode(["good", "the bad film"])  # leaves traces in the tokenizer
    assert encoder_fingerprint(encoder) == prints["same"]
