"""Texts longer than a model reads, found without a look at the short ones."""

from types import SimpleNamespace

import numpy as np
import pytest

from smilearn.embedding import _sentence
from smilearn.embedding._sentence import encode_chunks, truncated_texts

MOST = 20


class Tokenizer:
    """Two tokens of its own, one a letter, and three for each that is not ASCII."""

    def __init__(self):
        self.texts = []

    def n_tokens(self, text):
        return 2 + sum(1 if letter.isascii() else 3 for letter in text)

    def __call__(self, texts, **options):
        self.texts += texts
        return {"input_ids": [[7] * self.n_tokens(text) for text in texts]}


@pytest.mark.parametrize("prompt", [None, "", "say: ", "é"])
@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_long_texts_are_those_with_more_tokens(monkeypatch, seed, prompt, at_once):
    monkeypatch.setattr(_sentence, "_TOKENIZED_AT_ONCE", at_once)
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice([*"ab é"], size)) for size in rng.integers(0, 30, 60)]
    tokenizer = Tokenizer()
    encoder = SimpleNamespace(tokenizer=tokenizer, max_seq_length=MOST)
    counts = np.array([tokenizer.n_tokens((prompt or "") + text) for text in texts])
    cut = truncated_texts(encoder, texts, prompt)
    np.testing.assert_array_equal(cut, np.flatnonzero(counts > MOST))
    assert 0 < len(cut) < 60


def test_short_texts_need_no_tokenizer():
    tokenizer = Tokenizer()
    encoder = SimpleNamespace(tokenizer=tokenizer, max_seq_length=MOST)
    assert truncated_texts(encoder, ["a" * 12, "b" * 13, "é"], "").tolist() == []
    assert tokenizer.texts == ["b" * 13, "é"]


@pytest.mark.parametrize("most", [None, float("inf")])
def test_a_model_without_a_limit_cuts_nothing(most):
    encoder = SimpleNamespace(tokenizer=None, max_seq_length=most)
    assert truncated_texts(encoder, ["a" * 10_000], None).tolist() == []


class Encoder:
    """Its embedding of a text is the number of its tokens."""

    def __init__(self, tokenizer):
        self.tokenizer, self.batches = tokenizer, []

    def encode(self, texts, *, batch_size, show_progress_bar):
        assert len(texts) <= batch_size
        self.batches.append([Tokenizer().n_tokens(text) for text in texts])
        return np.array(self.batches[-1], np.float64)[:, None]


@pytest.mark.parametrize("tokenizer", [Tokenizer(), None], ids=["counts", "none"])
def test_batches_are_of_like_numbers_of_tokens(seed, tokenizer):
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice([*"ab é"], size)) for size in rng.integers(0, 30, 300)]
    encoder = Encoder(tokenizer)
    X = np.zeros((300, 1))
    options = {"batch_size": 4, "verbose": 0}
    chunks = list(encode_chunks(encoder, texts, "cpu", **options))
    assert [len(places) for places, _ in chunks] == [128, 128, 44]
    for places, rows in chunks:
        assert rows.dtype == np.float32
        X[places] = rows
    counts = [Tokenizer().n_tokens(text) for text in texts]
    assert X[:, 0].tolist() == counts
    if tokenizer:
        in_turn = [count for batch in encoder.batches for count in batch]
        assert in_turn == sorted(counts, reverse=True)
