"""Decoders of a few kilobytes, with a tokenizer of words that pads on the left."""

import functools
import tempfile

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
)

_WORDS = """the a of and is was film movie plot actor scene good bad great awful bright
dull warm cold , . !"""


@functools.cache
def _session():
    return tempfile.TemporaryDirectory(prefix="smilearn-decoders-")


@functools.cache
def decoder(kind, dropout=0.0):
    """Folder of a random "gpt2" or "llama" of 3 layers, made once a session."""
    folder = f"{_session().name}/{kind}-{dropout}"
    words = ["</s>", "<unk>", *_WORDS.split()]
    backend = Tokenizer(
        models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="</s>",
        unk_token="<unk>",
        padding_side="left",
        model_max_length=64,
    )
    sizes = {"vocab_size": len(words), "bos_token_id": 0, "eos_token_id": 0}
    if kind == "gpt2":
        sizes |= {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 64}
        names = ("resid_pdrop", "embd_pdrop", "attn_pdrop")
        config = GPT2Config(**sizes, **dict.fromkeys(names, dropout))
    else:
        sizes |= {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3}
        sizes |= {"num_attention_heads": 2, "num_key_value_heads": 1}
        config = LlamaConfig(**sizes, max_position_embeddings=64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = {"gpt2": GPT2Model, "llama": LlamaModel}[kind](config)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder
