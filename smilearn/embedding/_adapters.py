"""Adapters of peft: put on their base model, and seen to change it."""

import os
import warnings
from pathlib import Path

import torch

from smilearn.embedding._heads import names_head
from smilearn.embedding._pretrained import fetch, refuse_pickles
from smilearn.exceptions import AdapterError
from smilearn.utils._optional import require

_CALLER = "An adapter"
_PREFIX = "base_model.model."
_HEADS = ("score.weight", "classifier.weight", "out_proj.weight")


def fetch_adapter(adapter, options):
    """Find the folder of an adapter; its files are fetched from the Hub if need be."""
    from huggingface_hub import snapshot_download

    def download(name):
        files = ["adapter_*"]
        return snapshot_download(name, allow_patterns=files, **options)

    if Path(adapter).is_dir():
        return os.fspath(adapter)
    return fetch(download, adapter)


def read_adapter(folder):
    """Read the settings and the weights of an adapter."""
    settings, peft = _settings(folder), _peft()
    refuse_pickles(folder)
    return settings, fetch(peft.load_peft_weights, folder, device="cpu")


def _settings(folder):
    settings = fetch(_peft().PeftConfig.from_pretrained, folder)
    if settings.is_prompt_learning:
        raise _virtual_tokens(folder)
    return settings


def _peft():
    return require("peft", extra="finetune", caller=_CALLER)


def base_of(folder):
    """Name the base model that an adapter says it was trained on."""
    name = _settings(folder).base_model_name_or_path
    if not name:
        raise AdapterError(
            f"The adapter {folder!r} does not name its base model "
            "(base_model_name_or_path in adapter_config.json is not set). Pass the "
            "base model as model= and the adapter as adapter=."
        )
    return name


def base_class(weights, peft_config, config, adapter, code):
    """Choose the Auto class whose modules are called what the adapter calls them."""
    import transformers

    heads = [weights[key] for key in weights if key.endswith(_HEADS)]
    if heads and peft_config.task_type == "SEQ_CLS":
        config.num_labels = len(heads[-1])
    tasks = ["", "ForCausalLM", "ForMaskedLM", "ForSeq2SeqLM"]
    tasks += ["ForTokenClassification", "ForQuestionAnswering"]
    first = names_head(config) or peft_config.task_type == "SEQ_CLS"
    tasks.insert(0 if first else len(tasks), "ForSequenceClassification")
    for task in tasks:
        auto = getattr(transformers, f"AutoModel{task}")
        if _stray(weights, _skeleton(auto, config, code)) is None:
            return auto
    raise _another_base(
        adapter,
        min(weights).removeprefix(_PREFIX),
        f", which it calls {peft_config.base_model_name_or_path!r}",
    )


def put_on(network, folder, weights):
    """Put an adapter on a model, in place."""
    peft = require("peft", extra="finetune", caller=_CALLER)
    stray = _stray(weights, {name for name, _ in network.named_modules()})
    if stray is not None:
        raise _another_base(folder, stray)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            wrapped = peft.PeftModel.from_pretrained(
                network, folder, torch_device="cpu"
            )
    except (RuntimeError, ValueError) as error:
        lines = [line.strip() for line in str(error).split("\n") if line.strip()]
        shown = next((line for line in lines if "size mismatch" in line), lines[0])
        raise AdapterError(
            f"The adapter {folder!r} does not fit this base model: {shown[:200]} "
            "Give the base model that it was trained on."
        ) from error
    if any("missing adapter keys" in str(each.message) for each in caught):
        raise _another_base(folder, min(weights).removeprefix(_PREFIX))
    return wrapped


@torch.inference_mode()
def check_effect(wrapped, states, name):
    """Make sure that an adapter changes the hidden states."""
    if any(each.is_prompt_learning for each in wrapped.peft_config.values()):
        raise _virtual_tokens(name)
    with_adapter = states()
    with wrapped.disable_adapter():
        without = states()
    if not torch.equal(with_adapter, without):
        return
    factors = [p for key, p in wrapped.named_parameters() if "lora_B" in key]
    why = "it is switched off, or changes the head only"
    if factors and not any(bool(factor.any()) for factor in factors):
        why = "its B matrices are all 0, as in a fresh LoRA that nobody has trained"
    raise AdapterError(
        f"The adapter {name!r} has no effect on the hidden states: {why}. Give a "
        "trained adapter, or leave it away."
    )


def _virtual_tokens(name):
    return AdapterError(
        f"The adapter {name!r} puts virtual tokens before the text; only adapters "
        "inside the layers, such as LoRA, are read."
    )


def _skeleton(auto, config, code):
    """Paths of the modules of a model, which is not made; none if it cannot be."""
    try:
        with torch.device("meta"):
            network = auto.from_config(config, **code)
            return {name for name, _ in network.named_modules()}
    except ValueError:  # no such head for this kind of model
        return set()


def _stray(weights, modules):
    """Name a weight of an adapter that belongs to no module, if there is one."""
    paths = sorted(key.removeprefix(_PREFIX) for key in weights)
    for path in paths:
        if not any(path.rsplit(".", drop)[0] in modules for drop in (1, 2)):
            return path
    return None


def _another_base(adapter, path, name=""):
    return AdapterError(
        f"The adapter {adapter!r} belongs to another base model, or to one with "
        f"another head: it changes {path!r}, which this one does not have. Give the "
        f"base model that it was trained on{name}."
    )
