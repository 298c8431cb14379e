"""Loading of pretrained models, with errors that say what to do."""

import functools
import math
import os
from contextlib import contextmanager
from pathlib import Path

from smilearn.datasets import packaged_minilm
from smilearn.embedding._tokens import check_rows, check_words, no_tokenizer
from smilearn.exceptions import (
    InvalidInputError,
    MissingDependencyError,
    ModelUnavailableError,
)

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_MOST_TOKENS = 512  # for models that state no limit
# can be generators, but see all tokens unless their config says is_decoder
_PICKLES = {
    "pytorch_model*.bin": "model*.safetensors",
    "adapter_model.bin": "adapter_model.safetensors",
}
_TWO_WAY = {"bert-generation", "xlnet"}


@functools.cache  # its files are hashed
def default_model():
    """The packaged MiniLM if it is installed, else its name on the Hub."""
    try:
        return packaged_minilm()
    except MissingDependencyError:
        return DEFAULT_MODEL


def load_pretrained(loader, model, *, trust_remote_code=False, **options):
    """Load a config, a tokenizer or a model, and never ask whether to run its code."""
    return fetch(loader, model, trust_remote_code=trust_remote_code, **options)


def load_weights(loader, model, **options):
    refuse_pickles(model, options.get("subfolder", ""))
    return load_pretrained(
        loader, model, output_loading_info=True, use_safetensors=True, **options
    )


def load_tokenizer(model, **options):
    """Load the tokenizer of a model; one that transformers made up is refused."""
    from transformers import AutoTokenizer

    tokenizer = load_pretrained(AutoTokenizer.from_pretrained, model, **options)
    check_words(tokenizer, model)
    return tokenizer


def fetch(loader, model, **options):
    """Call a loader with a folder or Hub name; its errors say what to do."""
    name = os.fspath(model)
    if name == DEFAULT_MODEL and options.get("revision") is None:
        name = default_model()
    is_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name
    if is_path and not Path(name).is_dir():
        raise ModelUnavailableError(f"No folder {name!r} to load a model from.")
    from safetensors import SafetensorError

    try:
        return loader(name, **options)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelUnavailableError(_explanation(name, error)) from error


def refuse_pickles(model, *inside):
    """Refuse a folder of weights, or folders inside it, that are pickles only."""
    for folder in (Path(model, each) for each in inside or ("",)):
        for pickles, safe in _PICKLES.items():
            found = sorted(folder.glob(pickles))
            if found and not any(folder.glob(safe)):
                raise ModelUnavailableError(_pickled(os.fspath(model), found[0].name))


def check_finite(model, network):
    """Refuse a model with a weight that is NaN or infinite."""
    import torch

    for key, weight in network.named_parameters():
        if weight.is_meta or not weight.is_floating_point() or not weight.numel():
            continue
        ends = torch.stack(torch.aminmax(weight.detach()))  # NaN if one is
        if not bool(ends.isfinite().all()):
            raise ModelUnavailableError(
                f"The model {os.fspath(model)!r} holds weights that are NaN or "
                f"infinite, such as in {key!r} ({weight.dtype}). Its files are "
                "damaged, its training diverged, or its weights need a wider dtype. "
                "Take another checkpoint."
            )


def is_adapter(model, **hub):
    from transformers.utils.peft_utils import find_adapter_config_file

    try:
        return fetch(find_adapter_config_file, model, **hub) is not None
    except ModelUnavailableError:
        return False  # what is the matter is said when the model itself is loaded


def check_complete(model, missing, *, both=False):
    """Refuse a model some of whose weights its files did not give: they are random."""
    unread = {"pooler", "decoder"} if both else {"pooler"}
    lost = [key for key in sorted(missing) if not unread & set(key.split("."))]
    if lost:
        raise ModelUnavailableError(
            f"The model {os.fspath(model)!r} lacks {len(lost)} of its weights, such as "
            f"{lost[0]!r}. Its files are not whole, or its config is of another model."
        )


def load_backbone(model, max_length, *, trust_remote_code=False, **hub):
    from transformers import AutoModel

    name = os.fspath(model)
    if is_adapter(model, **hub):
        raise InvalidInputError(
            f"{name!r} is an adapter of peft, not a model. Give its base model and "
            "lora=, or merge it into its base with peft's merge_and_unload() and save "
            "that."
        )
    hub["trust_remote_code"] = trust_remote_code
    tokenizer = load_tokenizer(model, **hub)
    loader = AutoModel.from_pretrained
    backbone, loading = load_weights(loader, model, dtype="float32", **hub)
    missing, both = loading["missing_keys"], backbone.config.is_encoder_decoder
    check_complete(model, missing, both=both)
    check_finite(model, backbone)
    check_rows(tokenizer, backbone, name)
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise InvalidInputError(
                f"The tokenizer of {name!r} has no token to pad with. Set its "
                "pad_token and save it."
            )
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    most = tokens_read(name, backbone, tokenizer, max_length)
    return backbone, tokenizer, most, is_causal(backbone.config)


def tokens_read(name, backbone, tokenizer, max_length, usual=None):
    """Settle how many tokens of a text are read."""
    able = min(tokenizer.model_max_length, _positions(backbone))
    if max_length is not None and max_length > able:
        raise InvalidInputError(
            f"max_length={max_length} is more than the {able} tokens that {name!r} "
            "reads."
        )
    return max_length or min(able, usual or _MOST_TOKENS)


def _positions(backbone):
    """Tokens that a model has positions for; infinity where it has no table of them."""
    config = backbone.config.get_text_config()
    positions = getattr(config, "max_position_embeddings", None)
    positions = positions if positions and positions > 0 else math.inf  # XLNet says -1
    for name, module in backbone.named_modules():
        if name.rpartition(".")[2] == "position_embeddings":
            before = getattr(module, "padding_idx", None)  # RoBERTa counts from there
            return positions if before is None else positions - before - 1
    return positions


def is_causal(config):
    """Tell whether a token of a model sees only those before it, by its config."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_MASKED_LM_MAPPING,
    )

    kind = type(config)  # encoders that can serve as decoders are masked ones too
    only_causal = (
        kind in MODEL_FOR_CAUSAL_LM_MAPPING and kind not in MODEL_FOR_MASKED_LM_MAPPING
    ) and config.model_type not in _TWO_WAY
    return only_causal or bool(getattr(config, "is_decoder", False))


def _explanation(name, error):
    first = str(error).strip().split("\n")[0]
    if "trust_remote_code" in str(error):
        return (
            f"The model {name!r} needs Python code of its own, which smilearn does not "
            "run. Read it; if you trust it, pass trust_remote_code=True."
        )
    if "use_safetensors" in str(error):
        return _pickled(name, "pytorch_model.bin")
    if _is_gated(error):
        return (
            f"The model {name!r} is gated. Accept its terms at "
            f"https://huggingface.co/{name}, then log in with `hf auth login`."
        )
    if Path(name).is_dir() and "tokenizer" in first.replace(name, ""):
        return f"{no_tokenizer(name)} ({first})"
    if Path(name).is_dir():
        return f"The folder {name!r} holds no model that can be loaded: {first}"
    return (
        f"No model {name!r}: it is neither a folder nor in the local cache, and the "
        "Hugging Face Hub does not have it or cannot be reached. Check the name and "
        'the connection, give a folder, or install "smilearn[demo]" for a packaged '
        f"model. ({first})"
    )


def _pickled(name, file):
    return (
        f"The weights of {name!r} are a pickle ({file}), which can run code when it is "
        "read. Convert them to safetensors: load the model where you trust it, and "
        "save it again with save_pretrained."
    )


def _is_gated(error):
    from huggingface_hub.errors import GatedRepoError

    while error is not None and not isinstance(error, GatedRepoError):
        error = error.__cause__
    return error is not None


@contextmanager
def quiet_transformers():
    """Keep the library's warnings and loading bars off the screen."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    levels = [(each, each.get_verbosity()) for each in (logging, hub_logging)]
    bars = logging.is_progress_bar_enabled()
    for each, _ in levels:
        each.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        for each, level in levels:
            each.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
