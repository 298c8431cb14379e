"""The training samples of a user's own Trainer, in data-set order."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

from smilearn.embedding._pooling import mask_of_head, pool
from smilearn.embedding._pretrained import is_causal
from smilearn.exceptions import InvalidInputError
from smilearn.finetuning._network import collect, losses_and_correct
from smilearn.finetuning._training import streams_kept
from smilearn.utils._validation import check_texts

_LABELS = ("labels", "label", "label_ids")


class TrainerSamples:
    """A data set as a Trainer collates it, read without touching the training."""

    def __init__(self, dataset, collate, model, args):
        self.dataset, self.collate = dataset, collate
        sizes = args.per_device_train_batch_size, args.per_device_eval_batch_size
        self.batch_size = max(sizes)
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.config, self.accepted = getattr(base, "config", None), None
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise InvalidInputError(
                f"A {type(dataset).__name__} cannot be read by index. Give the "
                "callback a data set with a length, and a dict at each index."
            )
        if self.config is None:
            raise InvalidInputError(
                f"A {type(base).__name__} has no config: give the Trainer a "
                "PreTrainedModel, such as AutoModelForSequenceClassification makes."
            )
        item = dataset[0] if len(dataset) else {}
        ids = {"input_ids", "inputs_embeds"}
        if not isinstance(item, Mapping) or ids.isdisjoint(item):
            raise InvalidInputError(
                "The data set must hold tokenized samples, each a dict with input_ids; "
                f"got a {type(item).__name__} with "
                f"{', '.join(map(str, item)) or 'nothing'}. "
                "For a column of texts give a list of strings."
            )
        if args.remove_unused_columns:
            names = inspect.signature(type(base).forward).parameters
            self.accepted = {*names, *_LABELS}
        name = next((name for name in _LABELS if name in item), None)
        if name is None:
            raise InvalidInputError(
                f"The data set must hold labels, called {' or '.join(_LABELS)}; its "
                f"columns are: {', '.join(item)}."
            )
        labels = np.array([np.asarray(x) for x in _column_of(dataset, name)])
        if labels.ndim != 1 or labels.dtype.kind not in "iub":
            raise InvalidInputError(
                "Labels must be one whole number a sample, as for single-label "
                f"classification; got shape {labels.shape} of {labels.dtype}."
            )
        self.labels = labels.astype(np.int64)

    def __len__(self):
        return len(self.dataset)

    def check_labels(self, model, *, layer, pooling):
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

    def losses(self, model, rows):
        """Loss in nats, and whether it is classified as labelled, of samples."""
        [logits] = self.read(model, rows)
        return losses_and_correct(logits, self.labels[rows])

    def embed(self, model, layer, pooling):
        """Pooled states of a layer (n, d), losses, and correctness of all samples."""
        rows = np.arange(len(self))
        X, logits = self.read(model, rows, layer=layer, pooling=pooling)
        return X, *losses_and_correct(logits, self.labels)

    def read(self, model, rows, *, layer=None, pooling="auto"):
        """Logits, and before them the pooled states of a layer; eval mode is yours."""
        options = {} if layer is None else {"output_hidden_states": True}
        if is_causal(self.config):
            options["use_cache"] = False

        def forward(places):
            inputs = self._inputs(rows[places], model)
            outputs = model(**inputs, **options)
            if layer is None:
                return [outputs["logits"]]
            return self._pooled(inputs, outputs, layer, pooling), outputs["logits"]

        starts = range(0, len(rows), self.batch_size)
        places = (slice(start, start + self.batch_size) for start in starts)
        return collect(len(rows), ((each, forward(each)) for each in places))

    def _inputs(self, rows, model):
        features = [self.dataset[int(row)] for row in rows]
        if self.accepted is not None:
            names = self.accepted
            features = [{n: x[n] for n in x if n in names} for x in features]
        with _padding_right(self.collate):
            batch = dict(self.collate(features))
        device = next(model.parameters()).device
        return {
            name: value.to(device)
            for name, value in batch.items()
            if isinstance(value, torch.Tensor) and name not in _LABELS
        }

    def _pooled(self, inputs, outputs, layer, pooling):
        states, tokens = outputs.get("hidden_states"), inputs.get("input_ids")
        if states is None or not -len(states) <= layer < len(states):
            count = "none" if states is None else f"0 to {len(states) - 1}"
            raise InvalidInputError(
                f"layer={layer} is not to be had: hidden states of this model: {count}."
            )
        states = states[layer]  # (B, T, d)
        mask = inputs.get("attention_mask")
        if mask is None:
            mask = torch.ones(states.shape[:2], device=states.device)
            if tokens is not None and self.config.pad_token_id is not None:
                mask = tokens != self.config.pad_token_id
        if pooling == "auto" and is_causal(self.config):
            pooling = "last"
            if tokens is not None:
                pad_id = self.config.get_text_config().pad_token_id
                mask = mask_of_head(tokens, mask, pad_id)
        elif pooling == "auto":
            pooling = getattr(self.config, "classifier_pooling", "cls")
        return pool(pooling, states, mask)


def dataset_and_texts(source, dataset):
    """Data set to score, and its texts, from `texts_or_dataset` and the Trainer's."""
    if source is None:
        return dataset, None
    refused = isinstance(source, Mapping | Iterator)  # by check_texts
    if not refused and (
        hasattr(source, "column_names") or isinstance(next(iter(source), None), Mapping)
    ):
        return source, None
    return dataset, check_texts(source)


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
def _padding_right(collate):
    """Let the tokenizer of a collator pad on the right, and put its side back."""
    collators = [collate, getattr(collate, "data_collator", None)]
    tokenizers = [getattr(collator, "tokenizer", None) for collator in collators]
    with ExitStack() as after:
        for tokenizer in tokenizers:
            if hasattr(tokenizer, "padding_side"):
                after.callback(
                    setattr, tokenizer, "padding_side", tokenizer.padding_side
                )
                tokenizer.padding_side = "right"
        yield


@contextmanager
def untouched(model):
    """Eval mode within; the mode of each module and all random streams as before."""
    modes = [(module, module.training) for module in model.modules()]
    with streams_kept():
        model.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode
