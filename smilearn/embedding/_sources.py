"""Models as people have them: folders, Hub names, adapters, loaded ones."""

import copy
import json
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from smilearn.embedding._pooling import names_head
from smilearn.embedding._pretrained import (
    check_complete,
    check_finite,
    fetch,
    is_adapter,
    load_pretrained,
    load_tokenizer,
    load_weights,
    refuse_pickles,
)
from smilearn.embedding._tokens import check_rows, check_words, embedding_rows
from smilearn.exceptions import AdapterError, InvalidInputError, ModelUnavailableError
from smilearn.utils._optional import require

_PREFIX = "base_model.model."
_HEADS = ("score.weight", "classifier.weight", "out_proj.weight")
_POOLINGS = {"cls": "cls", "mean": "mean", "lasttoken": "last"}  # and our names
_OF_ADAPTERS = ["adapter_*", "*token*", "vocab*", "merges.txt", "*.model"]
_TOKENIZER = "tokenizer_config.json"
_FLAG = r"pooling_mode_(.+?)(_tokens?)?$"
_TASKS = {
    "SEQ_CLS": "ForSequenceClassification",
    "SEQ_2_SEQ_LM": "ForSeq2SeqLM",
    "CAUSAL_LM": "ForCausalLM",
    "TOKEN_CLS": "ForTokenClassification",
    "QUESTION_ANS": "ForQuestionAnswering",
}


def fetch_adapter(adapter, options):
    from huggingface_hub import snapshot_download

    if Path(adapter).is_dir():
        return os.fspath(adapter)
    return fetch(snapshot_download, adapter, allow_patterns=_OF_ADAPTERS, **options)


def read_adapter(folder):
    settings = _settings(folder)
    refuse_pickles(folder)
    return settings, fetch(_peft().load_peft_weights, folder, device="cpu")


def _settings(folder):
    settings = fetch(_peft().PeftConfig.from_pretrained, folder)
    if settings.is_prompt_learning:
        raise _virtual_tokens(folder)
    return settings


def _peft():
    return require("peft", extra="finetune", caller="An adapter")


def base_of(folder):
    name = _settings(folder).base_model_name_or_path
    if not name:
        raise AdapterError(
            f"The adapter {folder!r} does not name its base model "
            "(base_model_name_or_path in adapter_config.json is not set). Pass the "
            "base model as model= and the adapter as adapter=."
        )
    return name


def base_class(weights, settings, config):
    """The class of model that an adapter was trained on, by its task."""
    import transformers

    task = settings.task_type
    if task is None:
        name = (settings.auto_mapping or {}).get("base_model_class")
        network = getattr(transformers, str(name), None)
        if getattr(network, "config_class", None) is type(config):
            return network
        task = "SEQ_CLS" if names_head(config) else "FEATURE_EXTRACTION"
    heads = [weights[key] for key in weights if key.endswith(_HEADS)]
    if heads and task == "SEQ_CLS":
        config.num_labels = len(heads[-1])
    return getattr(transformers, f"AutoModel{_TASKS.get(task, '')}")


def put_on(network, folder, settings, weights):
    modules = {name for name, _ in network.named_modules()}
    for path in sorted(key.removeprefix(_PREFIX) for key in weights):
        if not any(path.rsplit(".", drop)[0] in modules for drop in (1, 2)):
            raise _another_base(folder, settings, path)
    n_rows = _rows_of_embeddings(network, weights)
    if n_rows not in (None, embedding_rows(network)):  # tokens were added
        network.resize_token_embeddings(n_rows, mean_resizing=False)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            load = _peft().PeftModel.from_pretrained
            wrapped = load(network, folder, torch_device="cpu")
    except (RuntimeError, ValueError) as error:
        lines = [line.strip() for line in str(error).split("\n") if line.strip()]
        shown = next((line for line in lines if "size mismatch" in line), lines[0])
        raise AdapterError(
            f"The adapter {folder!r} does not fit this base model: {shown[:200]} "
            "Give the base model that it was trained on."
        ) from error
    if any("missing adapter keys" in str(each.message) for each in caught):
        raise _another_base(folder, settings, min(weights).removeprefix(_PREFIX))
    return wrapped


def _rows_of_embeddings(network, weights):
    """Count the tokens that an adapter brings embeddings of; None if it brings none."""
    table = network.get_input_embeddings()
    name = next(name for name, each in network.named_modules() if each is table)
    for end, axis in (("weight", 0), ("base_layer.weight", 0), ("lora_embedding_A", 1)):
        found = weights.get(f"{_PREFIX}{name}.{end}")
        if found is not None:
            return found.shape[axis]
    return None


def _another_base(adapter, settings, path):
    task = (
        ", and set task_type in adapter_config.json (such as CAUSAL_LM) if it was "
        "trained on a model with a head"
    )
    return AdapterError(
        f"The adapter {adapter!r} belongs to another base model, or to one with "
        f"another head: it changes {path!r}, which this one does not have. Give the "
        f"base model that it was trained on, {settings.base_model_name_or_path!r}"
        f"{task if settings.task_type is None else ''}."
    )


@torch.inference_mode()
def check_effect(wrapped, states, name):
    if any(each.is_prompt_learning for each in wrapped.peft_config.values()):
        raise _virtual_tokens(name)
    with_adapter = states()[-1]
    with wrapped.disable_adapter():
        without = states()[-1]
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


@dataclass
class Source:
    network: object
    tokenizer: object
    name: str
    wrapped: object = None
    adapter: str | None = None
    pooling: str | None = None
    usual_length: int | None = None
    given: bool = False


def load_source(settings):
    """Load what the parameters of an embedder name, and check that it is whole."""
    names = ("local_files_only", "revision", "trust_remote_code")
    options = {n: settings[n] for n in names if settings[n] is not None}
    model, adapter, tokenizer = (settings[n] for n in ("model", "adapter", "tokenizer"))
    if isinstance(model, (str, os.PathLike)):
        source = _from_files(model, adapter, tokenizer, settings["dtype"], options)
    else:
        source = _loaded(model, adapter, tokenizer, options)
    check_finite(source.name, source.network)
    check_rows(source.tokenizer, source.network, source.name)
    return source


def _from_files(model, adapter, tokenizer, dtype, options):
    hub = {key: options[key] for key in options if key != "trust_remote_code"}
    if adapter is None and is_adapter(model, **hub):
        adapter, hub = fetch_adapter(model, hub), _newest(hub)
        model = base_of(adapter)
    name, folder = os.fspath(model), _sentence_folder(model, hub)
    inside = {key: folder.pop(key) for key in [*folder] if key == "subfolder"}
    options = hub | inside | {"trust_remote_code": options["trust_remote_code"]}
    network, wrapped, adapter = _load_network(model, adapter, dtype, options, hub)
    tokenizer = _load_tokenizer(tokenizer, adapter, model, options)
    return Source(network, tokenizer, name, wrapped, adapter, **folder)


def _load_network(model, adapter, dtype, options, hub):
    """Give the model, the same with its adapter, and the adapter's folder."""
    import transformers

    config = load_pretrained(transformers.AutoConfig.from_pretrained, model, **options)
    auto = transformers.AutoModel
    if names_head(config):
        auto = transformers.AutoModelForSequenceClassification
    if adapter is not None:
        adapter = fetch_adapter(adapter, _newest(hub))
        settings, weights = read_adapter(adapter)
        auto = base_class(weights, settings, config)
    options = {"config": config, "dtype": dtype, **options}
    network, loading = load_weights(auto.from_pretrained, model, **options)
    inside = network.base_model_prefix if network.base_model is not network else ""
    missing = loading["missing_keys"]
    if adapter is not None:  # it brings its head
        missing = [key for key in missing if key.startswith(inside)]
    check_complete(model, missing, both=network.config.is_encoder_decoder)
    wrapped = None if adapter is None else put_on(network, adapter, settings, weights)
    return network, wrapped, adapter


def _loaded(model, adapter, tokenizer, options):
    """Take a loaded model; one that gets an adapter is copied first."""
    wrapped = model if hasattr(model, "get_base_model") else None
    network = model if wrapped is None else model.get_base_model()
    if not hasattr(network, "base_model") or not hasattr(network, "config"):
        raise InvalidInputError(
            "model must be a folder, a Hub name, a PreTrainedModel of transformers or "
            f"a PeftModel of peft; got {type(model).__name__}."
        )
    name, label = network.config.name_or_path, f"given ({type(network).__name__})"
    if adapter is not None:
        if wrapped is not None:
            raise InvalidInputError("adapter is given, and model has one already.")
        local = {"local_files_only": options["local_files_only"]}
        adapter = fetch_adapter(adapter, local)
    tokenizer = _load_tokenizer(tokenizer, adapter, name, options, loaded=True)
    if adapter is not None:
        wrapped = put_on(copy.deepcopy(network), adapter, *read_adapter(adapter))
        network = wrapped.get_base_model()
    elif wrapped is not None:
        adapter = str(wrapped.active_adapter)
    return Source(network, tokenizer, label, wrapped, adapter, given=True)


def portable(model):
    """Copy a loaded model to the host, without the hooks that cannot be pickled."""
    if isinstance(model, (str, os.PathLike)):
        return model
    model = copy.deepcopy(model).cpu()
    for module in model.modules():
        for key, hook in [*module._forward_hooks.items()]:
            home = getattr(hook, "__module__", "")
            if home == "transformers.utils.output_capturing":
                del module._forward_hooks[key]  # put back when it is needed
        if hasattr(module, "_output_capturing_hooks_installed"):
            module._output_capturing_hooks_installed = False
    return model


def _newest(options):
    """Options for something else than the model, of which a revision is asked for."""
    return {key: each for key, each in options.items() if key != "revision"}


def _load_tokenizer(tokenizer, adapter, model, options, loaded=False):
    """Take the tokenizer that is given, else that beside the adapter or the model."""
    if tokenizer is None and adapter and Path(adapter, _TOKENIZER).is_file():
        tokenizer = adapter
    if tokenizer is not None and not isinstance(tokenizer, (str, os.PathLike)):
        check_words(tokenizer, getattr(tokenizer, "name_or_path", "") or "tokenizer=")
        return tokenizer
    if tokenizer is not None:
        return load_tokenizer(tokenizer, **_newest(options) | {"subfolder": ""})
    if not loaded:
        return load_tokenizer(model, **options)
    try:
        if not model:
            raise ModelUnavailableError("The model does not say where it came from.")
        return load_tokenizer(model, **options)
    except ModelUnavailableError as error:
        raise ModelUnavailableError(
            f"A loaded model came without a tokenizer, and there is none at {model!r}. "
            "Pass tokenizer=, a folder, a Hub name or an object."
        ) from error


def _sentence_folder(model, hub):
    """Where a sentence-transformers model is, its pooling and length; {} for others."""
    modules = _read_json(model, "modules.json", hub) or []
    paths = {each["type"].rpartition(".")[2]: each["path"] for each in modules}
    if "Transformer" not in paths:
        return {}
    inside = f"{paths['Transformer']}/" if paths["Transformer"] else ""
    settings = _read_json(model, f"{inside}sentence_bert_config.json", hub) or {}
    found = {"usual_length": settings.get("max_seq_length")}
    if paths["Transformer"]:
        found["subfolder"] = paths["Transformer"]
    if "Pooling" in paths:
        config = _read_json(model, f"{paths['Pooling']}/config.json", hub) or {}
        found["pooling"] = _sentence_pooling(config)
    return found


def _sentence_pooling(config):
    """Name the pooling of a Pooling module, by its own name if it is none of ours."""
    modes = config.get("pooling_mode")
    if modes is None:
        matches = [re.match(_FLAG, key) for key, value in config.items() if value]
        modes = [match[1] for match in matches if match]
    joined = modes if isinstance(modes, str) else "+".join(modes)
    return _POOLINGS.get(joined, joined)


def _read_json(model, file, hub):
    from transformers.utils import cached_file

    path = fetch(
        cached_file,
        model,
        filename=file,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        **hub,
    )
    return None if path is None else json.loads(Path(path).read_text(encoding="utf-8"))
