"""Hidden states of texts, read in batches that fit into memory."""

import inspect
from contextlib import contextmanager, nullcontext
from functools import partial
from numbers import Integral

import numpy as np
import torch

from smilearn.embedding._batches import Batches, read_texts
from smilearn.embedding._fingerprints import (
    adapter_state,
    config_text,
    model_fingerprint,
    tokenizer_fingerprint,
)
from smilearn.embedding._openvino import forward_by
from smilearn.embedding._pooling import (
    POOLINGS,
    has_head,
    mask_of_head,
    pool,
    pooling_of_head,
    probe,
)
from smilearn.embedding._pretrained import is_causal, tokens_read
from smilearn.embedding._sources import check_effect, load_source
from smilearn.embedding._tokens import (
    FIELD,
    count_longer,
    embedding_rows,
    own_tokenizer,
    pad,
    tokenize,
    unread,
)
from smilearn.exceptions import InvalidInputError
from smilearn.utils._devices import full_float32, resolve_device

_SCHEMA = 2  # of what a row means; to be raised when it changes


class HiddenReader:
    def __init__(self, settings):
        self.template = settings["template"]
        if self.template is None:
            self.template = FIELD
        if self.template.count(FIELD) != 1:
            raise InvalidInputError(
                f"template must hold the field {FIELD} once; got {self.template!r}."
            )
        self.source = source = load_source(settings)
        self.network = source.network
        if not source.given or settings["device"] != "auto":
            self.network.to(resolve_device(settings["device"]))
        self.device = next(self.network.parameters()).device
        self.tokenizer = tokenizer = own_tokenizer(source.tokenizer)
        self.backbone = _backbone(self.network)
        self._weights = self._passed_over = None
        self.pad_id = _first(tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        asked = tokenizer, settings["max_length"], source.usual_length
        self.max_length = tokens_read(source.name, self.backbone, *asked)
        self.causal = is_causal(self.network.config)
        self._takes = inspect.signature(self.backbone.forward).parameters
        self._probe = probe(tokenizer, self.network.config, self.max_length)
        with self._ready():
            self._settle(settings["layer"], settings["pooling"])
        self.in_batches = Batches(settings["batch_size"], self.device)
        self._backend, self._state = settings["backend"], None
        self._make_forward()
        tokenize([""], tokenizer, self.max_length, self.template)  # if it fits at all

    def _settle(self, layer, pooling):
        """Choose layers and pooling, and see what a row looks like."""
        batch = self._padded(self._probe)
        if self.source.wrapped is not None:
            last_states = partial(self._states, *batch, self.backbone, wanted=False)
            check_effect(self.source.wrapped, last_states, self.source.adapter)
        with torch.inference_mode():
            n_states = len(self._states(*batch, self.backbone, wanted=True))
        self.layers = _chosen(layer, n_states)
        self.single = isinstance(layer, Integral)
        self.last = n_states - 1
        self._before_last = [each for each in self.layers if each < self.last]
        self._forward = forward_by("torch", self._chosen_states, self.backbone)
        self.pooling = self._auto_pooling() if pooling == "auto" else pooling
        rows = self._pooled(self._probe)
        if not np.isfinite(rows).all():
            raise InvalidInputError(
                f"The hidden states of {self.source.name} are not finite in "
                f'{self.backbone.dtype}. Take dtype="float32" or "bfloat16".'
            )
        self.row_shape = rows.shape[1:]

    def _auto_pooling(self):
        source, network = self.source, self.network
        if source.pooling in POOLINGS:
            return source.pooling
        if source.pooling is not None:
            raise InvalidInputError(
                f"The folder {source.name!r} pools by {source.pooling!r}, which is not "
                f"one of {sorted(POOLINGS)}. Name the pooling, or give a function."
            )
        if not has_head(network):
            return "last" if self.causal else "mean"
        if network.config.is_encoder_decoder:
            raise InvalidInputError(
                f"The head of {source.name} reads the decoder, and only the encoder "
                'is run. Name the pooling: pooling="mean".'
            )
        pooling, self._passed_over = pooling_of_head(
            network, self._probe, source.name, causal=self.causal
        )
        return pooling

    def key(self):
        pooling = self.pooling_name()
        adapters = getattr(self.source.wrapped, "peft_config", {})
        if self._weights is None or self.source.given:  # the user may train it on
            self._weights = model_fingerprint(self.backbone)
        key = {
            "schema": _SCHEMA,
            "model": self._weights,
            "adapters": {name: config_text(each) for name, each in adapters.items()},
            "adapter_state": adapter_state(self.backbone),
            "pooling": pooling,
            "pad_token_id": self._passed_over,
            "max_length": self.max_length,
            "dtype": str(self.backbone.dtype),
            "template": self.template,
            "tokenizer": tokenizer_fingerprint(self.tokenizer),
            **self._forward.key,
        }
        keys = [key | {"layers": layer} for layer in self.layers]
        return keys[0] if self.single else keys

    def pooling_name(self):
        """Name the pooling, for a cache; an error where a function has no name."""
        name = getattr(self.pooling, "cache_name", self.pooling)
        if not isinstance(name, str):
            raise InvalidInputError(
                "Rows cannot be cached under a pooling that has no name. Give the "
                'function an attribute, such as pooling.cache_name = "max-v1", and '
                "change it when the function changes."
            )
        return name

    def batches(self, texts, verbose=False):
        self._make_forward()
        work = (self._tokens, lambda _, input_ids: self._pooled(input_ids))
        with self._ready():
            yield from read_texts(texts, *work, self.in_batches, verbose=verbose)

    def n_longer(self, texts):
        return count_longer(texts, self.tokenizer, self.max_length, self.template)

    def _tokens(self, texts):
        input_ids, _ = tokenize(texts, self.tokenizer, self.max_length, self.template)
        n_rows = embedding_rows(self.backbone)
        is_unread = unread(texts, input_ids, self.tokenizer, n_rows, self.template)
        # what stands for a text without tokens
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        blank = [_first(bos, eos, self.pad_id)]
        return [tokens or blank for tokens in input_ids], is_unread

    @torch.inference_mode()
    def _pooled(self, input_ids):
        """Rows of one batch, (B, *row_shape), float32."""
        tokens, mask = self._padded(input_ids)
        chosen = self._forward(input_ids=tokens, attention_mask=mask)
        mask = mask_of_head(tokens, mask, self._passed_over)
        pooled = [pool(self.pooling, hidden, mask).cpu() for hidden in chosen]
        return (pooled[0] if self.single else torch.stack(pooled, 1)).numpy()

    def _make_forward(self):
        """Choose what runs the model; anew where the user has trained it on."""
        state = ""
        if self.source.given and self._backend != "torch":
            state = model_fingerprint(self.backbone) + adapter_state(self.backbone)
        if state != self._state:
            work = (self._backend, self._chosen_states, self.backbone)
            self._forward, self._state = forward_by(*work), state

    def _chosen_states(self, network, input_ids, attention_mask):
        """Hidden states (B, T, d) of the layers that are read, a tuple."""
        states = self._states(
            input_ids, attention_mask, network, wanted=self._before_last
        )
        return tuple(states[each if each < self.last else -1] for each in self.layers)

    def _states(self, tokens, mask, network, *, wanted):
        """Hidden states (B, T, d) of each layer; those not wanted may be missing."""
        options = {"use_cache": False} if "use_cache" in self._takes else {}
        options["output_hidden_states"] = wanted or False
        output = network(input_ids=tokens, attention_mask=mask, **options)
        before = output.hidden_states[:-1] if wanted else ()
        return (*before, output.last_hidden_state)

    def _padded(self, input_ids):
        tokens, mask = pad(input_ids, self.pad_id)
        return tokens.to(self.device), mask.to(self.device)

    @contextmanager
    def _ready(self):
        """Evaluation mode and full precision; a training model is put back."""
        training = [module for module in self.network.modules() if module.training]
        self.network.eval()
        try:
            with full_float32() if self.device.type == "cuda" else nullcontext():
                yield
        finally:
            for module in training:
                module.training = True


def _backbone(network):
    """The part of a model that makes hidden states; of encoder-decoders the encoder."""
    if network.config.is_encoder_decoder:
        return network.get_encoder()
    return network.base_model


def _first(*tokens):
    return next(token for token in tokens if token is not None)


def _chosen(layer, n_states):
    """Layers as they are numbered from 0, the embeddings."""
    last = n_states - 1
    if isinstance(layer, str):
        third, two_thirds = round(last / 3), round(2 * last / 3)
        named = {"all": range(n_states), "spread": (third, two_thirds, last)}
        return list(dict.fromkeys(named[layer]))
    asked = [layer] if isinstance(layer, Integral) else list(layer)
    for each in asked:
        if not isinstance(each, Integral) or not -n_states <= each < n_states:
            raise InvalidInputError(
                f"layer={each!r} is not to be had: the model has layers 0 (embeddings) "
                f"to {last}, or -1 (the last) to {-n_states}."
            )
    if not asked:
        raise InvalidInputError("layer must name a layer at least; got an empty list.")
    return [int(each) % n_states for each in asked]
