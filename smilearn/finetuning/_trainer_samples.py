"""The training samples of a user's own Trainer, in data-set order."""

import inspect
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

from smilearn.embedding._pooling import mask_of_head, pool
from smilearn.embedding._pretrained import is_causal
from smilearn.exceptions import InvalidInputError
from smilearn.finetuning._training import streams_kept

_LABELS = ("labels", "label", "label_ids")


class TrainerSamples:
    """A data set as a Trainer collates it, read without touching the training."""

    def __init__(self, dataset, collate, model, *, batch_size, only_accepted):
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise InvalidInputError(
                f"A {type(dataset).__name__} cannot be read by index. Give the "
                "callback a data set with a length, and a dict at each index."
            )
        self.dataset, self.collate, self.batch_size = dataset, collate, batch_size
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.config, self.accepted = getattr(base, "config", None), None
        if self.config is None:
            raise InvalidInputError(
                f"A {type(base).__name__} has no config: give the Trainer a "
                "PreTrainedModel, such as AutoModelForSequenceClassification makes."
            )
        if only_accepted:
            self.accepted = {
                *inspect.signature(type(base).forward).parameters,
                *_LABELS,
            }
        self._check_item()
        self.labels = self._labels()

    def __len__(self):
        return len(self.dataset)

    def check(self, model, *, layer, pooling):
        """Read a batch and look at all labels, before anything depends on them."""
        rows = np.arange(min(self.batch_size, len(self)))
        _, logits = self.read(model, rows, layer=layer, pooling=pooling)
        self.n_classes = logits.shape[1]
        if len(np.unique(self.labels)) < 2:
            raise InvalidInputError(
                f"Labels must be of 2 classes or more; got {self.labels[0]} only."
            )
        wrong = np.flatnonzero(~self.usable(self.n_classes))
        if len(wrong):
            values = ", ".join(map(str, np.unique(self.labels[wrong])[:5]))
            shown = ", ".join(map(str, wrong[:5])) + (", ..." if len(wrong) > 5 else "")
            raise InvalidInputError(
                f"Labels must be 0 to {self.n_classes - 1}, the classes of the model; "
                f"got {values} in {len(wrong)} samples (rows {shown}). Leave them out."
            )

    def usable(self, n_classes):
        """Whether each label is a class of the model; (n_samples,), bool."""
        return (self.labels >= 0) & (self.labels < n_classes)

    @torch.no_grad()
    def read(self, model, rows, *, layer=None, pooling="auto"):
        """Logits, and pooled states of a layer, of some samples; eval mode is yours."""
        pooled, logits = [], []
        for start in range(0, len(rows), self.batch_size):
            inputs = self._inputs(rows[start : start + self.batch_size], model)
            outputs = model(**inputs, **self._options(layer))
            logits.append(outputs["logits"].float().cpu().numpy())
            if layer is not None:
                states, way = self._states(outputs, layer), self._way(pooling)
                mask = self._mask(inputs, states)
                if pooling == "auto" and way == "last" and "input_ids" in inputs:
                    padding = self.config.get_text_config().pad_token_id
                    mask = mask_of_head(inputs["input_ids"], mask, padding)
                vectors = pool(way, states, mask)
                pooled.append(vectors.float().cpu().numpy())
        return np.concatenate(pooled) if pooled else None, np.concatenate(logits)

    def _inputs(self, rows, model):
        features = [self.dataset[int(row)] for row in rows]
        if self.accepted is not None:
            features = [
                {name: value for name, value in item.items() if name in self.accepted}
                for item in features
            ]
        with padding_right(self.collate):
            batch = dict(self.collate(features))
        device = next(model.parameters()).device
        return {
            name: value.to(device)
            for name, value in batch.items()
            if isinstance(value, torch.Tensor) and name not in _LABELS
        }

    def _options(self, layer):
        options = {} if layer is None else {"output_hidden_states": True}
        if is_causal(self.config):
            options["use_cache"] = False
        return options

    def _states(self, outputs, layer):
        states = outputs.get("hidden_states")
        if states is None or not -len(states) <= layer < len(states):
            count = "none" if states is None else f"0 to {len(states) - 1}"
            raise InvalidInputError(
                f"layer={layer} is not to be had: hidden states of this model: {count}."
            )
        return states[layer]  # (B, T, d)

    def _mask(self, inputs, states):
        if "attention_mask" in inputs:
            return inputs["attention_mask"]
        padding = self.config.pad_token_id
        if padding is None or "input_ids" not in inputs:
            return torch.ones(states.shape[:2], device=states.device)
        return inputs["input_ids"] != padding

    def _way(self, pooling):
        if pooling != "auto":
            return pooling
        if is_causal(self.config):
            return "last"
        return getattr(self.config, "classifier_pooling", "cls")

    def _check_item(self):
        item = self.dataset[0] if len(self.dataset) else {}
        if not isinstance(item, Mapping) or not {"input_ids", "inputs_embeds"} & {
            *item
        }:
            raise InvalidInputError(
                "The data set must hold tokenized samples, each a dict with input_ids; "
                f"got a {type(item).__name__} with "
                f"{', '.join(map(str, item)) or 'nothing'}. "
                "For a column of texts give a list of strings."
            )

    def _labels(self):
        name = next((name for name in _LABELS if name in self.dataset[0]), None)
        if name is None:
            raise InvalidInputError(
                f"The data set must hold labels, called {' or '.join(_LABELS)}; its "
                f"columns are: {', '.join(self.dataset[0])}."
            )
        column = _column_of(self.dataset, name)
        labels = np.array([np.asarray(each) for each in column])
        if labels.ndim != 1 or labels.dtype.kind not in "iub":
            raise InvalidInputError(
                "Labels must be one whole number a sample, as for single-label "
                f"classification; got shape {labels.shape} of {labels.dtype}."
            )
        return labels.astype(np.int64)


def texts_of(dataset):
    """The column `text` of a data set that is read by index; None if it has no texts"""
    if not isinstance(dataset[0].get("text"), str):
        return None
    texts = _column_of(dataset, "text")
    return texts if all(isinstance(text, str) for text in texts) else None


def _column_of(dataset, name):
    if name in getattr(dataset, "column_names", ()):
        return list(dataset[name])
    return [dataset[row][name] for row in range(len(dataset))]


@contextmanager
def padding_right(collate):
    """Let the tokenizer of a collator pad on the right, and put its side back."""
    collators = [collate, getattr(collate, "data_collator", None)]
    tokenizers = [getattr(each, "tokenizer", None) for each in collators]
    tokenizers = [each for each in tokenizers if hasattr(each, "padding_side")]
    sides = [each.padding_side for each in tokenizers]
    for tokenizer in tokenizers:
        tokenizer.padding_side = "right"
    try:
        yield
    finally:
        for tokenizer, side in zip(tokenizers, sides, strict=True):
            tokenizer.padding_side = side


@contextmanager
def untouched(model):
    """Eval mode within; the mode of each module and all random streams as before."""
    modes = [(module, module.training) for module in model.modules()]
    with ExitStack() as stack:
        stack.enter_context(streams_kept())
        model.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode
