"""What every test may ask for: a seed, and a language model of a few kilobytes."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports the hub's client
os.environ["TQDM_DISABLE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest

_WORDS = """[PAD] [UNK] [CLS] [SEP] [MASK] the a of and is was film movie plot actor
scene good bad great awful bright dull warm cold ##s ##ly ##er , . !"""


def _seeds():
    n_seeds = os.environ.get("SMILEARN_TEST_SEEDS", "1")
    if not n_seeds.isdecimal() or int(n_seeds) < 1:
        raise pytest.UsageError(
            f"SMILEARN_TEST_SEEDS must be a positive integer; got {n_seeds!r}."
        )
    return range(int(n_seeds))


@pytest.fixture(params=_seeds(), ids=lambda seed: f"seed{seed}")
def seed(request):
    """Seed 0, or each of 0 to N - 1 under SMILEARN_TEST_SEEDS=N."""
    return request.param


@pytest.fixture(scope="module")
def one_thread():
    """Products this small are done before two threads have met."""
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory):
    """Folder of a random BERT of 16 dimensions and its WordPiece tokenizer."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-encoder")
    words = _WORDS.split()
    vocabulary = folder / "words.txt"
    vocabulary.write_text("\n".join(words), encoding="utf-8")
    tokenizer = BertTokenizerFast(str(vocabulary), model_max_length=64)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(config)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def no_network(monkeypatch):
    """A socket that refuses to connect anywhere."""
    import socket

    def refuse(self, address):
        raise OSError(f"a test wanted to reach {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def read(monkeypatch):
    """Number of texts in each forward pass, those of the probe left out."""
    from smilearn.embedding import _reader

    counts, pooled = [], _reader.HiddenReader._pooled

    def spy(self, input_ids):
        if input_ids != self._probe:
            counts.append(len(input_ids))
        return pooled(self, input_ids)

    monkeypatch.setattr(_reader.HiddenReader, "_pooled", spy)
    return counts
