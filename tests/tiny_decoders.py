"""Decoders of a few kilobytes, with a tokenizer of words that pads on the left."""

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


def make_decoder(folder, kind, *, dropout=0.0, seed=0):
    """Save a random decoder of 3 layers and 16 dimensions.

    Parameters
    ----------
    folder : Path
        Where to.

    kind : {"gpt2", "llama"}
        What it is like.

    dropout : float, default=0.0
        Of GPT-2.

    seed : int, default=0
        Of its weights.

    Returns
    -------
    folder : str
        The folder.
    """
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
    common = {"vocab_size": len(words), "bos_token_id": 0, "eos_token_id": 0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "gpt2":
            config = GPT2Config(
                n_embd=16,
                n_layer=3,
                n_head=2,
                n_positions=64,
                resid_pdrop=dropout,
                embd_pdrop=dropout,
                attn_pdrop=dropout,
                **common,
            )
            model = GPT2Model(config)
        else:
            config = LlamaConfig(
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=3,
                num_attention_heads=2,
                num_key_value_heads=1,
                max_position_embeddings=64,
                **common,
            )
            model = LlamaModel(config)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return str(folder)
