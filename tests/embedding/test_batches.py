"""Batches of like length that halve where memory ends, with a fake lack of memory."""

import numpy as np
import pytest
import tiny_models as tiny
import torch
from sentence_transformers import SentenceTransformer

from smilearn import HiddenStateEmbedder, SentenceEmbedder
from smilearn.embedding import _batches, _reader
from smilearn.embedding._batches import Batches
from smilearn.exceptions import DeviceMemoryError

pytestmark = pytest.mark.usefixtures("one_thread")
TEXTS = ["good", "bad", "a bad movie , and the plot was dull and cold and awful ."]
TEXTS += ["a b", "the film"]
CPU = torch.device("cpu")


def out_of_memory(monkeypatch, owner, name, most, size_of):
    """Let a call of more than some size fail as a GPU does; sizes of the failures."""
    failed, method = [], getattr(owner, name)

    def fail(self, inputs, *rest, **options):
        if size_of(inputs) > most:
            failed.append(size_of(inputs))
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return method(self, inputs, *rest, **options)

    monkeypatch.setattr(owner, name, fail)
    return failed


@pytest.mark.parametrize("batch_size", ["auto", 8])
def test_batches_halve_where_memory_ends_and_stay_small(batch_size, monkeypatch):
    embedder = HiddenStateEmbedder(tiny.folder("bert"), batch_size=batch_size).fit([])
    X = embedder.transform(TEXTS)
    assert embedder.batch_size_ == {"auto": 1024, 8: 8}[batch_size]
    failed = out_of_memory(
        monkeypatch, _reader.HiddenReader, "_states", 40, torch.numel
    )
    np.testing.assert_allclose(embedder.transform(TEXTS), X, atol=1e-5)
    assert failed
    assert embedder.batch_size_ == {"auto": 40, 8: 2}[batch_size]
    n_failed = len(failed)
    embedder.transform(TEXTS)
    assert len(failed) == n_failed  # remembered


def test_batches_of_sentences_halve_too(monkeypatch):
    embedder = SentenceEmbedder(tiny.folder("bert")).fit([])
    X = embedder.transform(TEXTS)
    failed = out_of_memory(monkeypatch, SentenceTransformer, "encode", 2, len)
    np.testing.assert_allclose(embedder.transform(TEXTS), X, atol=1e-5)
    assert failed == [5]


def test_no_memory_for_one_text_is_an_error(monkeypatch):
    embedder = HiddenStateEmbedder(tiny.folder("bert")).fit([])
    out_of_memory(monkeypatch, _reader.HiddenReader, "_states", 5, torch.numel)
    with pytest.raises(DeviceMemoryError, match=r"one text of 16 tokens\. Take a"):
        embedder.transform(TEXTS)


def test_the_longest_go_first_in_batches_of_like_length(monkeypatch):
    monkeypatch.setattr(_batches, "_TOKENS", {"cpu": 20})
    lengths = np.array([3, 9, 4, 30, 4, 8, 4, 0])
    for batch_size, expected in (
        ("auto", [[30], [9, 8], [4, 4, 4, 3, 0]]),
        (3, [[30, 9, 8], [4, 4, 4], [3, 0]]),
    ):
        batches = list(
            Batches(batch_size, CPU).run(lengths, lambda rows: lengths[rows])
        )
        assert [seen.tolist() for _, seen in batches] == expected
        assert sorted(np.concatenate([rows for rows, _ in batches])) == [*range(8)]


def test_other_errors_are_not_swallowed():
    def fail(batch):
        raise RuntimeError("shapes do not match")

    batches = Batches(2, CPU)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        list(batches.run([1, 2], fail))
    assert batches.most == 2
