"""Decoders of a few kilobytes, with a tokenizer of words that pads on the left."""

import functools

import torch
from tiny_models import new_folder
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

_WORDS = """</s> <unk> the a of and is was film movie plot actor scene good bad great
awful bright dull warm cold , . !"""
_LLAMA = {"intermediate_size": 32, "num_key_value_heads": 1}


@functools.cache
def decoder(kind, dropout=0.0):
    """Folder of a random "gpt2" or "llama" of 3 layers, made once a session."""
    folder = new_folder(f"{kind}-decoder-{dropout}")
    words = {word: n for n, word in enumerate(_WORDS.split())}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="</s>",
        unk_token="<unk>",
        padding_side="left",
        model_max_length=64,
    ).save_pretrained(folder)
    dropouts = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(words),
        bos_token_id=0,
        eos_token_id=0,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=64,
        **(dropouts if kind == "gpt2" else _LLAMA),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(folder)
    return folder
