"""Sentence-transformers models, loaded whole and read in batches."""

import json
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from smilearn.embedding._batches import Batches, read_texts
from smilearn.embedding._fingerprints import encoder_fingerprint
from smilearn.embedding._openvino import forward_by, warn_torch
from smilearn.embedding._pretrained import (
    check_complete,
    check_finite,
    load_pretrained,
    load_weights,
    refuse_pickles,
)
from smilearn.embedding._tokens import (
    FIELD,
    check_rows,
    check_words,
    count_longer,
    embedding_rows,
    unread,
)
from smilearn.exceptions import InvalidInputError, ModelUnavailableError
from smilearn.utils._devices import resolve_device

_BATCHES_OF_WORKERS = 32  # that each process gets at once


class SentenceReader:
    def __init__(self, settings):
        from transformers import PreTrainedTokenizerBase

        self._settings, self._fingerprint = settings, None
        self.devices = _resolved(settings["device"])
        names = ("local_files_only", "revision", "trust_remote_code")
        hub = {name: settings[name] for name in names}
        self.encoder = _load_encoder(settings["model"], self.devices, hub)
        self._network = _network(self.encoder)
        words = isinstance(self.encoder.tokenizer, PreTrainedTokenizerBase)
        self._has_words = words and self._network is not None
        if self._has_words:
            check_words(self.encoder.tokenizer, settings["model"])
            check_rows(self.encoder.tokenizer, self._network, settings["model"])
        self.max_length = self.encoder.max_seq_length  # None where there is no limit
        self.prompt = self._chosen_prompt()
        self.row_shape = (self._n_features(),)
        self._key = {}
        if settings["backend"] == "openvino":
            if self._network is not None and isinstance(self.devices, str):
                self._key = _run_by_openvino(self._network)
            else:
                warn_torch("openvino runs one transformer, on one device")

    def key(self):
        if self._fingerprint is None:
            self._fingerprint = encoder_fingerprint(self.encoder)
        return {
            "embedder": "SentenceEmbedder",
            "model": self._fingerprint,
            "prompt": self.prompt,
            "normalize": bool(self._settings["normalize"]),
            "max_seq_length": self.max_length,
            **self._key,
        }

    def n_longer(self, texts):
        tokenizer, most = self.encoder.tokenizer, self.max_length
        if most is None or not np.isfinite(most) or not callable(tokenizer):
            return 0
        return count_longer(texts, tokenizer, most, (self.prompt or "") + FIELD)

    def batches(self, texts, verbose=False):
        size = self._settings["batch_size"]
        options = {
            "batch_size": size,
            "show_progress_bar": False,
            "prompt": self.prompt,
            "normalize_embeddings": self._settings["normalize"],
            "truncate_dim": self.row_shape[0],
        }
        with ExitStack() as stack:
            if not isinstance(self.devices, str):  # a process for each of several
                size *= len(self.devices) * _BATCHES_OF_WORKERS
                pool = self.encoder.start_multi_process_pool(self.devices)
                stack.callback(self.encoder.stop_multi_process_pool, pool)
                options["pool"] = pool

            def rows_of(texts, tokens):
                rows = self.encoder.encode(texts, **options)
                return rows.astype(np.float32, copy=False)

            work = (self._tokens, rows_of, Batches(size, self.encoder.device))
            yield from read_texts(texts, *work, verbose=verbose)

    def _tokens(self, texts):
        tokenizer, known = self.encoder.tokenizer, np.zeros(len(texts), bool)
        if not callable(tokenizer):
            return texts, known
        input_ids = tokenizer(texts, truncation=False, verbose=False)["input_ids"]
        if not self._has_words:
            return input_ids, known
        n_rows = embedding_rows(self._network)
        return input_ids, unread(texts, input_ids, tokenizer, n_rows)

    def _chosen_prompt(self):
        prompt, name = self._settings["prompt"], self._settings["prompt_name"]
        prompts = self.encoder.prompts
        if name is None:
            default = prompts.get(self.encoder.default_prompt_name)
            return default if prompt is None else prompt
        if prompt is not None:
            raise InvalidInputError("Give prompt or prompt_name, not both.")
        if name not in prompts:
            raise InvalidInputError(
                f"prompt_name={name!r} is none of the model's prompts, "
                f"{sorted(prompts)}. Name one of them, or give the text as prompt."
            )
        return prompts[name]

    def _n_features(self):
        truncate_dim = self._settings["truncate_dim"]
        n_features = int(self.encoder.get_embedding_dimension())
        if truncate_dim is not None and truncate_dim > n_features:
            raise InvalidInputError(
                f"truncate_dim={truncate_dim} is more than the {n_features} features "
                "of an embedding of this model. Give a smaller one, or None."
            )
        return truncate_dim or n_features


def _load_encoder(model, devices, hub):
    from sentence_transformers import SentenceTransformer

    listed = Path(model, "modules.json")
    modules = json.loads(listed.read_text("utf-8")) if listed.is_file() else []
    refuse_pickles(model, "", *(each["path"] for each in modules))
    options = {"model_kwargs": {"use_safetensors": True}, **hub}
    options["device"] = devices if isinstance(devices, str) else "cpu"
    encoder = load_pretrained(SentenceTransformer, model, **options)
    check_complete(model, _missing_weights(encoder, model, hub))
    check_finite(model, encoder)
    return encoder


def _network(encoder):
    """The transformer of an encoder, None if it has none."""
    from transformers import PreTrainedModel

    networks = (each for each in encoder.modules() if isinstance(each, PreTrainedModel))
    return next(networks, None)


def _run_by_openvino(network):
    """Have openvino run the transformer of an encoder; give what rows depend on."""
    from transformers.modeling_outputs import BaseModelOutput

    def states(network, **tensors):
        output = type(network).forward(network, **tensors, return_dict=True)
        return (output.last_hidden_state,)

    def forward(return_dict=True, **tensors):
        [last] = run(**tensors)
        return BaseModelOutput(last_hidden_state=last)

    run = forward_by("openvino", states, network)
    network.forward = forward
    return run.key


def _missing_weights(encoder, model, hub):
    """Names of the weights that the library made up, by loading the names again."""
    from transformers import MODEL_MAPPING, AutoModel

    network = _network(encoder)
    if network is None or hasattr(network, "peft_config"):
        return ()
    if MODEL_MAPPING.get(type(network.config), None) is not type(network):
        return ()  # such as the encoder of a T5: other weights than AutoModel's
    given = {key: value for key, value in hub.items() if value is not None}
    if find_spec("accelerate"):
        given["device_map"] = "meta"  # reads no weights
    try:
        loading = load_weights(AutoModel.from_pretrained, model, **given)[1]
    except ModelUnavailableError:
        return ()  # it is loaded, so it lies in a folder inside this one
    return loading["missing_keys"]


def _resolved(device):
    if isinstance(device, str):
        return str(resolve_device(device))
    if not device:
        raise InvalidInputError("device is an empty list; name a device, or more.")
    return [str(resolve_device(each)) for each in device]
