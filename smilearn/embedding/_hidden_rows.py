"""Rows of hidden states, into memory, a temporary file or a cache."""

import os
from collections import Counter

import numpy as np

from smilearn.embedding._cache import RowCache
from smilearn.embedding._hidden_reader import HiddenReader
from smilearn.embedding._model_sources import load_source, portable
from smilearn.embedding._pretrained import quiet_transformers
from smilearn.embedding._tokens import FIELD, count_longer
from smilearn.exceptions import InvalidInputError
from smilearn.utils._devices import resolve_device
from smilearn.utils._large_array import large_array


def load_reader(options):
    """Load a model as the parameters of a HiddenStateEmbedder say."""
    template = FIELD if options["template"] is None else options["template"]
    if template.count(FIELD) != 1:
        raise InvalidInputError(
            f"template must hold the field {FIELD} once; got {template!r}."
        )
    hub = {"local_files_only": options["local_files_only"]}
    if options["revision"] is not None:
        hub["revision"] = options["revision"]
    device = options["device"]
    named = ("adapter", "tokenizer", "dtype", "trust_remote_code")
    with quiet_transformers():
        source = load_source(
            options["model"], hub=hub, **{name: options[name] for name in named}
        )
        stays = source.given and device == "auto"
        return HiddenReader(
            source,
            device=None if stays else resolve_device(device),
            template=template,
            **{
                name: options[name]
                for name in ("layer", "pooling", "max_length", "batch_size")
            },
        )


def portable_state(state):
    """Make the state of an embedder one that can be pickled."""
    state, copies = {key: state[key] for key in state if key != "_reader"}, {}

    def moved(model):
        if isinstance(model, (str, os.PathLike)):
            return model
        if id(model) not in copies:
            copies[id(model)] = portable(model)
        return copies[id(model)]

    state["model"] = moved(state["model"])
    if "_settings" in state:
        settings = state["_settings"]
        state["_settings"] = settings | {"model": moved(settings["model"])}
    return state


def read_rows(reader, texts, verbose):
    """Read the rows of texts."""
    # one layer is made to be used whole; several are there to choose from
    several, shape = not reader.single, (len(texts), *reader.row_shape)
    X = large_array(shape, np.float32) if several else np.empty(shape, np.float32)
    n_truncated = 0
    with quiet_transformers():
        for indices, rows, n_longer in reader.batches(texts, verbose):
            X[indices] = rows
            n_truncated += n_longer
    return X, n_truncated


def read_cached(reader, texts, folder, verbose):
    """Read the rows of texts from a cache, and those that are not there by the model"""

    def compute(missing):
        for indices, rows, _ in reader.batches(missing, verbose):
            yield indices, rows

    with quiet_transformers():
        cache = RowCache(folder, reader.key(), reader.row_shape)
        X = cache.rows(texts, compute)
        copies = Counter(texts)
        longer = count_longer(
            list(copies), reader.tokenizer, reader.max_length, reader.template
        )
    return X, int(np.dot(longer, list(copies.values())))
