"""What the rows of a sentence-transformers model depend on, in 32 digits (floor 1)."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import torch

_TRACES = ("_name_or_path", "transformers_version", "name_or_path")  # not of the model


def encoder_fingerprint(encoder):
    """Hash the weights, the settings and the tokenizer of a model.

    The folder that it was loaded from does not count, nor do weights of a pooler that
    is not used: where a checkpoint has none they are drawn anew by each process.

    Parameters
    ----------
    encoder : SentenceTransformer
        The model, on any device.

    Returns
    -------
    fingerprint : str
        32 hexadecimal digits.
    """
    settings = [_module_settings(module) for module in encoder]
    text = json.dumps(settings, sort_keys=True, default=str)
    whole = hashlib.blake2b(text.encode(), digest_size=16)
    whole.update(_tokenizer_text(encoder.tokenizer).encode())
    weights = sorted(encoder.state_dict().items())
    if "pooler" not in text:
        weights = [pair for pair in weights if "pooler" not in pair[0].split(".")]
    with ThreadPoolExecutor(4) as threads:
        for digest in threads.map(_weight_digest, weights):
            whole.update(digest)
    return whole.hexdigest()


def _module_settings(module):
    own = getattr(module, "get_config_dict", dict)()
    network = getattr(module, "auto_model", None)
    config = {} if network is None else network.config.to_dict()
    config = {name: value for name, value in config.items() if name not in _TRACES}
    return [type(module).__name__, own, type(network).__name__, config]


def _tokenizer_text(tokenizer):
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if hasattr(backend, "to_str"):
        parts = json.loads(backend.to_str())
        parts.pop("truncation", None)  # these two are traces of the last call
        parts.pop("padding", None)
    elif hasattr(tokenizer, "get_vocab"):
        parts = [tokenizer.get_vocab(), getattr(tokenizer, "init_kwargs", {})]
    else:
        parts = None
    sides = [
        getattr(tokenizer, f"{what}_side", None) for what in ("truncation", "padding")
    ]
    return json.dumps(
        [type(tokenizer).__name__, parts, sides], sort_keys=True, default=str
    )


def _weight_digest(pair):
    name, tensor = pair
    about = f"{name} {tensor.dtype} {tuple(tensor.shape)}"
    digest = hashlib.blake2b(about.encode(), digest_size=16)
    digest.update(
        tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    )
    return digest.digest()
