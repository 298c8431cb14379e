"""Batches that halve where memory ends, with a fake lack of memory."""

import numpy as np
import pytest
import tiny_models as tiny
import torch

from smilearn import HiddenStateEmbedder
from smilearn.embedding import _reader
from smilearn.embedding._reader import HalvingBatches
from smilearn.exceptions import DeviceMemoryError

pytestmark = pytest.mark.usefixtures("one_thread")
TEXTS = [
    "good",
    "bad",
    "a bad movie , and the plot was dull and cold and awful .",
    "a b",
]
TEXTS += ["the film"]
CPU = torch.device("cpu")


def lack_of_memory(monkeypatch, most_tokens):
    """Let a forward pass of more tokens fail as a GPU does; count the failures."""
    failed, states = [], _reader.HiddenReader._states

    def fail(self, tokens, mask, *, wanted):
        if tokens.numel() > most_tokens:
            failed.append(tuple(tokens.shape))
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return states(self, tokens, mask, wanted=wanted)

    monkeypatch.setattr(_reader.HiddenReader, "_states", fail)
    return failed


@pytest.mark.parametrize("batch_size", ["auto", 8])
def test_batches_halve_where_memory_ends_and_stay_small(batch_size, monkeypatch):
    embedder = HiddenStateEmbedder(tiny.folder("bert"), batch_size=batch_size).fit([])
    X = embedder.transform(TEXTS)
    assert embedder.batch_size_ == {"auto": 1024, 8: 8}[batch_size]
    failed = lack_of_memory(monkeypatch, 40)
    np.testing.assert_allclose(embedder.transform(TEXTS), X, atol=1e-6)
    assert failed
    assert embedder.batch_size_ == {"auto": 40, 8: 2}[batch_size]
    n_failed = len(failed)
    embedder.transform(TEXTS)
    assert len(failed) == n_failed  # remembered


def test_no_memory_for_one_text_is_an_error(monkeypatch):
    embedder = HiddenStateEmbedder(tiny.folder("bert")).fit([])
    lack_of_memory(monkeypatch, 5)
    with pytest.raises(DeviceMemoryError, match=r"one text of 16 tokens\. Take a"):
        embedder.transform(TEXTS)


def lengths_of_batches(batch_size, lengths):
    input_ids = [[0] * length for length in lengths]
    batches = HalvingBatches(batch_size, CPU).run(
        input_ids, lambda batch: [len(tokens) for tokens in batch]
    )
    found = list(batches)
    for rows, seen in found:
        assert seen == [lengths[row] for row in rows]
    assert sorted(np.concatenate([rows for rows, _ in found])) == [*range(len(lengths))]
    return [seen for _, seen in found]


def test_the_longest_go_first_in_batches_of_like_length(monkeypatch):
    monkeypatch.setattr("smilearn.embedding._reader._TOKENS", {"cpu": 20})
    lengths = [3, 9, 4, 30, 4, 8, 4]
    assert lengths_of_batches("auto", lengths) == [[30], [9, 8], [4, 4, 4, 3]]
    assert lengths_of_batches(3, lengths) == [[30, 9, 8], [4, 4, 4], [3]]


def test_other_errors_are_not_swallowed():
    def fail(batch):
        raise RuntimeError("shapes do not match")

    batches = HalvingBatches(2, CPU)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        list(batches.run([[1], [2]], fail))
    assert batches.most == 2
