"""Fingerprints: what a row of hidden states depends on, in a few bytes."""

import copy
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

import torch

from smilearn.embedding._cache import digest

# of a config: where it came from, not what the model computes
_VOLATILE = """_name_or_path transformers_version dtype torch_dtype architectures
base_model_name_or_path inference_mode revision peft_version"""


def model_fingerprint(network):
    whole = hashlib.blake2b(type(network).__name__.encode(), digest_size=16)
    _hash_weights(whole, network, pooler=False)
    whole.update(config_text(network.config).encode())
    return whole.hexdigest()


def encoder_fingerprint(encoder):
    settings = []
    for module in encoder:
        network = getattr(module, "auto_model", None)
        config = "" if network is None else config_text(network.config)
        own = getattr(module, "get_config_dict", dict)()
        settings.append([type(module).__name__, own, type(network).__name__, config])
    text, tokenizer = json.dumps(settings, sort_keys=True, default=str), "none"
    if hasattr(encoder.tokenizer, "truncation_side"):  # one of transformers
        tokenizer = tokenizer_fingerprint(encoder.tokenizer)
        tokenizer += encoder.tokenizer.padding_side
    whole = hashlib.blake2b((text + tokenizer).encode(), digest_size=16)
    _hash_weights(whole, encoder, pooler="pooler" in text)
    return whole.hexdigest()


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
    return digest(text).hex()


def adapter_state(network):
    """Hash how the adapters inside a model are used, beside their weights."""
    layers = {}
    for name, module in network.named_modules():
        if not isinstance(getattr(module, "active_adapters", None), (list, tuple)):
            continue
        names = getattr(module, "other_param_names", ())  # scaling and so on
        values = {each: getattr(module, each, None) for each in names}
        layers[name] = {
            "active": module.active_adapters,
            "off": getattr(module, "disable_adapters", False),
            "merged": list(getattr(module, "merged_adapters", ())),
            "numbers": {
                each: {k: v for k, v in of.items() if isinstance(v, (int, float))}
                for each, of in values.items()
                if isinstance(of, dict)
            },
        }
    return digest(json.dumps(layers, sort_keys=True)).hex() if layers else ""


def config_text(config):
    """Write the settings of a model or an adapter down, the same in each session."""
    settings = {
        name: value
        for name, value in config.to_dict().items()
        if name not in _VOLATILE.split()
        and not (value is None or value is False or value in ({}, []))
    }
    return json.dumps(settings, sort_keys=True, default=_plain)


def _plain(value):
    is_set = isinstance(value, (set, frozenset))
    return sorted(map(str, value)) if is_set else str(value)


def _hash_weights(whole, network, *, pooler):
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


def _tensor_digest(tensor):
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    digest = hashlib.blake2b(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    digest.update(data.numpy())
    return digest.digest()
