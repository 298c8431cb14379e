"""A folder that transformers loads, from a GGUF file (floor 1)."""

import shutil
import tempfile
from pathlib import Path

from smilearn._optional import require

_STEP = ".unpacking-"


def unpack_gguf(file, folder):
    """Turn a GGUF file of a decoder into a folder in float32, once.

    Loading the file itself takes half a minute each time, and its weights cannot be
    saved as they are, since they are marked as quantized.

    Parameters
    ----------
    file : Path
        The GGUF file.

    folder : path-like
        Where the model and its tokenizer go. A folder that holds a model is kept.

    Returns
    -------
    folder : Path
        The folder, absolute.

    Raises
    ------
    MissingDependencyError
        If the package gguf is not installed.
    """
    folder = Path(folder).expanduser().absolute()
    if (folder / "config.json").is_file():
        return folder
    require("gguf", extra="decoder", caller="packaged_smollm2")
    folder.parent.mkdir(parents=True, exist_ok=True)
    step = Path(tempfile.mkdtemp(prefix=_STEP, dir=folder.parent))
    try:
        _save(file, step)
        step.chmod(0o755)
        step.rename(folder)  # all of it, or nothing
    except OSError:
        if not (folder / "config.json").is_file():  # another process was as quick
            raise
    finally:
        shutil.rmtree(step, ignore_errors=True)
    return folder


def _save(file, folder):
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    given = {"gguf_file": file.name}
    AutoTokenizer.from_pretrained(file.parent, **given).save_pretrained(folder)
    weights = AutoModel.from_pretrained(file.parent, **given, dtype="float32")
    config = AutoConfig.from_pretrained(file.parent, **given)
    for mark in ("quantization_config", "_name_or_path"):
        if hasattr(config, mark):
            delattr(config, mark)
    model = AutoModel.from_config(config)
    model.load_state_dict(weights.state_dict())
    model.save_pretrained(folder)
