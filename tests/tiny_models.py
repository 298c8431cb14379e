"""Random language models of a few kilobytes, of every kind, and LoRA adapters."""

import copy
import functools
import tempfile
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

_TEXT = """the a of and is was film movie plot actor scene good bad great awful bright
dull warm cold slow , . ! review sentiment :"""
WORDS = _TEXT.split()
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
MOST = 48  # tokens that each model reads
N_LABELS = 3
_SMALL = {"vocab_size": 160, "num_labels": N_LABELS}
_SMALL |= {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
_USUAL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
_USUAL |= {"intermediate_size": 32, "max_position_embeddings": MOST}
_GROUPED = {**_USUAL, "num_key_value_heads": 1, "head_dim": 8}
_DISTIL = {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32}
_T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 3, "num_heads": 2}
KINDS = {
    "bert": ("Bert", _USUAL),
    "roberta": ("Roberta", {**_USUAL, "max_position_embeddings": MOST + 1}),
    "distilbert": ("DistilBert", {**_DISTIL, "max_position_embeddings": MOST}),
    "gpt2": ("GPT2", {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": MOST}),
    "llama": ("Llama", _GROUPED),
    "qwen2": ("Qwen2", _GROUPED),
    "gemma": ("Gemma", _GROUPED),
    "t5": ("T5", _T5),
}
DECODERS = ("gpt2", "llama", "qwen2", "gemma")
LORA_TARGETS = {
    **{key: ["query", "value"] for key in ("bert", "roberta")},
    "distilbert": ["q_lin", "v_lin"],
    "gpt2": ["c_attn"],
    **{key: ["q_proj", "v_proj"] for key in ("llama", "qwen2", "gemma")},
    "t5": ["q", "v"],
}


def tokenizer(kind, **settings):
    """A tokenizer of words; CLS and SEP around a text for encoders, BOS for Llama."""
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    names |= {"pad_token": "<pad>", "model_max_length": MOST, **settings}
    if kind == "qwen2":  # AutoTokenizer makes its own of whatever a folder holds
        vocabulary, merges = _pairs()
        return transformers.Qwen2Tokenizer(vocab=vocabulary, merges=merges, **names)
    vocabulary = {word: place for place, word in enumerate(SPECIAL + WORDS)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    around = {
        **dict.fromkeys(("bert", "roberta", "distilbert"), "<s> $A </s>"),
        "t5": "$A </s>",
        "llama": "<s> $A",
        "gemma": "<s> $A",
    }
    if kind in around:
        backend.post_processor = processors.TemplateProcessing(
            single=around[kind], special_tokens=[("<s>", 2), ("</s>", 3)]
        )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def _pairs():
    """Byte pairs that build each word with the space before it, letter by letter."""
    pieces = [*SPECIAL, "Ġ", *"abcdefghijklmnopqrstuvwxyz,.!:"]
    merges = []
    for word in WORDS:
        for stop in range(len(word)):
            pair = ("Ġ" + word[:stop], word[stop])
            if pair not in merges:
                merges.append(pair)
    pieces += [left + right for left, right in merges]
    return {piece: place for place, piece in enumerate(pieces)}, merges


def model(kind, head="Model", **settings):
    """A random model; weights so large that each layer and token counts."""
    name, sizes = KINDS[kind]
    config = getattr(transformers, f"{name}Config")(**{**_SMALL, **sizes, **settings})
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        network = getattr(transformers, f"{name}{head}")(config)
        torch.manual_seed(0)  # below the head the same, whatever the head
        for key, weight in network.named_parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.3)
            elif key.endswith("bias"):
                weight.normal_(std=0.1)
    return network.eval()


_SESSION = tempfile.TemporaryDirectory(prefix="smilearn-tiny-")


def new_folder(name):
    """A folder that goes away with the session."""
    return str(Path(_SESSION.name, name))


@functools.cache
def folder(kind, head="Model", padding_side="right", dtype="float32"):
    """A folder of a random model and its tokenizer, made once a session."""
    path = new_folder(f"{kind}-{head}-{padding_side}-{dtype}")
    model(kind, head).to(getattr(torch, dtype)).save_pretrained(path)
    tokenizer(kind, padding_side=padding_side).save_pretrained(path)
    return path


def with_lora(network, kind, *, trained=True, **settings):
    """A copy of a model with a LoRA adapter; an untrained one changes nothing."""
    import peft

    settings = {
        "fan_in_fan_out": kind == "gpt2",
        "r": 2,
        "lora_alpha": 8,
        "target_modules": LORA_TARGETS[kind],
        **settings,
    }
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        wrapped = peft.get_peft_model(
            copy.deepcopy(network), peft.LoraConfig(**settings)
        )
        for key, weight in wrapped.named_parameters():
            if trained and ("lora_B" in key or "modules_to_save" in key):
                weight.normal_(std=0.5)
    return wrapped.eval()


@functools.cache
def adapter_folder(kind, head="Model", *, trained=True, task=None):
    """A folder of a LoRA adapter for the model of the same kind, made once."""
    path = new_folder(f"{kind}-{head}-lora-{trained}-{task}")
    wrapped = with_lora(model(kind, head), kind, trained=trained, task_type=task)
    wrapped.peft_config["default"].base_model_name_or_path = folder(kind)
    wrapped.save_pretrained(path)
    return path


@torch.inference_mode()
def states_one_by_one(network, words, texts):
    """Every hidden state of each text alone, nothing padded; (n_layers + 1, T, d)."""
    if network.config.is_encoder_decoder:
        network = network.get_encoder()
    found = []
    for text in texts:
        tokens = words(text, return_tensors="pt")["input_ids"]
        states = network(input_ids=tokens, output_hidden_states=True).hidden_states
        found.append(torch.stack(states)[:, 0])
    return found
