"""What the rows of a sentence-transformers model depend on, in 32 digits."""

import hashlib
import json

from smilearn.embedding._fingerprints import (
    config_text,
    hash_weights,
    tokenizer_fingerprint,
)


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
