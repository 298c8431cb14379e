"""The fingerprint of a model: the same for the same rows, another for others."""

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import AutoModel, AutoTokenizer

from smilearn.embedding._fingerprints import encoder_fingerprint


def changed(folder, source, *, weights=None, pooling="mean", lower=True):
    """Save the tiny encoder with one thing changed; the folder."""
    model = AutoModel.from_pretrained(source)
    if weights is not None:
        model.get_parameter(weights).data[0] += 1e-3
    model.save_pretrained(folder / "bert")
    tokenizer = AutoTokenizer.from_pretrained(source, do_lower_case=lower)
    tokenizer.save_pretrained(folder / "bert")
    whole = SentenceTransformer(str(folder / "bert"), device="cpu")
    whole[1] = Pooling(16, pooling_mode=pooling)
    whole.save(str(folder / "whole"))
    return str(folder / "whole")


def fingerprint(folder):
    return encoder_fingerprint(SentenceTransformer(folder, device="cpu"))


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
        name: fingerprint(changed(tmp_path / name, tiny_encoder, **what))
        for name, what in changes.items()
    }
    assert prints["same"] == prints["again"] == prints["pooler"]
    assert len(set(prints.values())) == 4
    encoder = SentenceTransformer(str(tmp_path / "same" / "whole"), device="cpu")
    encoder.encode(["good", "the bad film"])  # leaves traces in the tokenizer
    assert encoder_fingerprint(encoder) == prints["same"]
