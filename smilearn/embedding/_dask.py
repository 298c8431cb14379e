"""Texts in the chunks of dask series and bags: one loaded model a worker process."""

import functools
from threading import Lock
from uuid import uuid4

import numpy as np

from smilearn.exceptions import InvalidInputError
from smilearn.utils._dask import (
    as_array,
    chunks_of,
    computed,
    is_dask,
    naming_chunk,
    use_dask,
)

_MOST = 2  # models that a process keeps
_LOCK, _loaded = Lock(), {}  # the embedders that it used last, by their token


def on_chunks(method):
    """Make a method of an embedder work chunk by chunk on a dask collection."""

    @functools.wraps(method)
    def call(self, texts, *args, **options):
        if not is_dask(texts):
            return method(self, texts, *args, **options)
        if getattr(texts, "ndim", 1) > 1:
            raise InvalidInputError(
                "texts must be one column, such as ddf['text']; got a collection of "
                f"{texts.ndim} dimensions."
            )
        if method.__name__ == "transform":
            return _embedded(self, texts)
        self.fit(_first_texts(texts), *args, **options)
        return self if method.__name__ == "fit" else self.transform(texts)

    return call


def _first_texts(texts):
    """Texts of the first chunk that has some."""
    dask = use_dask("A dask collection")
    for chunk in chunks_of(texts, "texts")[0]:
        [first] = computed(dask, [dask.delayed(list)(chunk)])
        if first:
            return first
    return []


def _embedded(embedder, texts):
    """Embeddings of all chunks, a dask array, made when it is computed."""
    dask = use_dask("A dask collection")
    chunks, rows = chunks_of(texts, "texts")
    side_by_side = getattr(embedder, "scale_", None) is not None
    shape = (embedder.n_features_out_,) if side_by_side else embedder._row_shape
    token = vars(embedder).setdefault("_token", uuid4().hex)  # until it is fitted anew
    sent = dask.delayed(embedder, pure=False, traverse=False)
    embed = dask.delayed(_embed, pure=False)
    parts = [
        embed(sent, token, number, chunk, shape) for number, chunk in enumerate(chunks)
    ]
    return as_array(parts, rows, shape=shape, dtype=np.float32)


def _embed(embedder, token, number, texts, shape):
    """Embed a chunk with the model that this process has loaded, or loads now."""
    texts = list(texts)
    if not texts:
        return np.empty((0, *shape), np.float32)
    with _LOCK, naming_chunk(number):  # a model is run by one thread at a time
        embedder = _loaded.pop(token, embedder)
        _loaded[token] = embedder  # as the last
        while len(_loaded) > _MOST:
            del _loaded[next(iter(_loaded))]
        return embedder.transform(texts)
