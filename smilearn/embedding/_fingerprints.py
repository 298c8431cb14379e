"""Fingerprints: what a row of hidden states depends on, in a few bytes."""

import copy
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

import torch

_VOLATILE = (  # of a config: where it came from, not what the model computes
    "_name_or_path",
    "transformers_version",
    "dtype",
    "torch_dtype",
    "architectures",
    "base_model_name_or_path",
    "inference_mode",
    "revision",
    "peft_version",
)


def model_fingerprint(network):
    """Hash the weights of a model and the settings that say how they are used."""
    whole = hashlib.blake2b(type(network).__name__.encode(), digest_size=16)
    hash_weights(whole, network, pooler=False)
    whole.update(config_text(network.config).encode())
    return whole.hexdigest()


def hash_weights(whole, network, *, pooler):
    """Take the weights of a model into a hash, in the order of their names."""
    tensors = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if pooler or "pooler" not in name.split(".")
    }
    names = sorted(tensors)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        digests = threads.map(lambda name: _tensor_digest(tensors[name]), names)
        for name, digest in zip(names, digests, strict=True):
            whole.update(name.encode() + digest)


def adapter_state(network):
    """Hash how the adapters inside a model are used, beside their weights."""
    layers = {
        name: {
            "active": module.active_adapters,
            "off": getattr(module, "disable_adapters", False),
            "merged": list(getattr(module, "merged_adapters", ())),
            "numbers": _numbers(module),
        }
        for name, module in network.named_modules()
        if isinstance(getattr(module, "active_adapters", None), (list, tuple))
    }
    text = json.dumps(layers, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest() if layers else ""


def _numbers(module):
    """Numbers of each adapter in a layer, such as its scaling, by their names."""
    found = {}
    for name in getattr(module, "other_param_names", ()):
        values = getattr(module, name, None)
        if isinstance(values, dict):
            plain = {k: v for k, v in values.items() if isinstance(v, (int, float))}
            found[name] = plain
    return found


def tokenizer_fingerprint(tokenizer):
    """Hash what a tokenizer does to a text; 32 hexadecimal digits."""
    if getattr(tokenizer, "backend_tokenizer", None) is not None:
        backend = copy.deepcopy(tokenizer.backend_tokenizer)
        backend.no_truncation()  # these two are traces of the last call
        backend.no_padding()
        text = backend.to_str()
    else:
        vocabulary = sorted(tokenizer.get_vocab().items())
        settings = sorted(tokenizer.init_kwargs.items(), key=lambda pair: pair[0])
        text = repr((type(tokenizer).__name__, vocabulary, settings))
    text += f"{tokenizer.truncation_side} {sorted(tokenizer.all_special_tokens)}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def config_text(config):
    """Write the settings of a model or an adapter down, the same in each session."""
    settings = {
        name: value
        for name, value in config.to_dict().items()
        if name not in _VOLATILE and not _is_unset(value)
    }
    return json.dumps(settings, sort_keys=True, default=_plain)


def _is_unset(value):
    return value is None or value is False or value in ({}, [])


def _plain(value):
    return (
        sorted(map(str, value)) if isinstance(value, (set, frozenset)) else str(value)
    )


def _tensor_digest(tensor):
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    digest = hashlib.blake2b(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    digest.update(data.numpy())
    return digest.digest()


def encoder_fingerprint(encoder):
    """Hash the weights, the settings and the tokenizer of a model."""
    settings = [_module_settings(module) for module in encoder]
    text = json.dumps(settings, sort_keys=True, default=str)
    whole = hashlib.blake2b(text.encode(), digest_size=16)
    whole.update(_tokenizer_text(encoder.tokenizer).encode())
    hash_weights(whole, encoder, pooler="pooler" in text)
    return whole.hexdigest()


def _module_settings(module):
    own = getattr(module, "get_config_dict", dict)()
    network = getattr(module, "auto_model", None)
    config = "" if network is None else config_text(network.config)
    return [type(module).__name__, own, type(network).__name__, config]


def _tokenizer_text(tokenizer):
    """Fingerprint of a tokenizer; of what is no tokenizer of transformers, its kind."""
    if hasattr(tokenizer, "truncation_side"):
        return f"{tokenizer_fingerprint(tokenizer)} {tokenizer.padding_side}"
    return type(tokenizer).__name__
