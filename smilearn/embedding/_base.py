"""What every embedder of texts does: load at fit, read in transform, keep rows."""

import functools

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from smilearn.embedding._cache import RowCache
from smilearn.embedding._dask import on_chunks
from smilearn.embedding._pretrained import quiet_transformers
from smilearn.embedding._sources import portable
from smilearn.utils._documentation import Documented
from smilearn.utils._indexing import large_array
from smilearn.utils._sklearn_compat import fit_context
from smilearn.utils._validation import check_texts, warn_truncated

_HOW = ("batch_size", "device", "local_files_only")  # no row depends on them


class TextEmbedder(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, Documented, BaseEstimator
):
    """Base of embedders, which name `_make_reader`."""

    # a reader has batches(texts, verbose), key(), n_longer(texts), row_shape and
    # max_length

    @on_chunks
    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, texts, y=None):
        """Load the model and check that it is read right.

        Parameters
        ----------
        texts : sequence of str
            Texts; only checked, unless layers go side by side: these are read, and the
            spread of each layer is learnt. Of a dask collection, the first chunk.

        y : object, default=None
            Ignored.

        Returns
        -------
        self : object
            The embedder.

        Raises
        ------
        MissingTextError
            If a text is missing.

        ModelUnavailableError
            If the model, its tokenizer or an adapter cannot be loaded, lacks weights,
            or needs code.

        AdapterError
            If the adapter belongs to another base model, or changes nothing.

        MissingDependencyError
            If the backend, or peft for an adapter, is not installed.

        InvalidInputError
            If the model does not have what the parameters ask for (layers, tokens,
            features, a prompt, a head to follow), or has fewer embeddings than the
            tokenizer has tokens; or if there is no such device.
        """
        check_texts(texts, again=True)
        self._reader = None  # the model may be another one than last time
        vars(self).pop("_token", None)  # nor do workers of Dask hold this one
        self._settings = self.get_params(deep=False)  # those that a pickle goes on with
        reader = self._load()
        self._describe(reader)
        self._row_shape = reader.row_shape
        self.n_features_out_ = self._n_features_out = reader.row_shape[-1]
        self.n_truncated_ = 0
        return self

    @on_chunks
    def transform(self, texts):
        """Embed texts; equal texts are encoded once.

        Parameters
        ----------
        texts : sequence of str
            A list, an array, a pandas or polars Series. Of a dask series or bag, the
            chunks are embedded by the workers when the result, a dask array, is
            computed; each worker process loads the model once.

        Returns
        -------
        X : ndarray of shape (n_texts, n_features) or (n_texts, n_layers, n_features)
            Embeddings, float32, in the order of the texts; three dimensions where
            several layers are read and do not go side by side. Several layers, and
            rows of a cache, are from 256 MiB on a ``numpy.memmap`` of a temporary file
            that goes away with it.

        Raises
        ------
        MissingTextError
            If a text is missing.

        DeviceMemoryError
            If the device has no memory for one text.

        CacheError
            If `cache_folder` cannot be used.

        Warns
        -----
        BackendWarning
            If openvino cannot run the model; once.

        TruncationWarning
            If texts are longer than the model reads.

        UnknownTokensWarning
            If texts are mostly tokens that the model does not know; an error if ten
            texts or more are, and no other.

        CacheWarning
            If rows in the cache are damaged, or cannot be kept, on a full disk say.
        """
        check_is_fitted(self, "n_features_out_")
        return self._embed(texts)

    def _embed(self, texts):
        """Rows of texts as the reader gives them, (n_texts, *row_shape)."""
        texts = check_texts(texts)
        self.n_truncated_ = 0
        if not texts:
            return np.empty((0, *self._row_shape), np.float32)
        reader = self._load()
        with quiet_transformers():
            X = self._rows(reader, texts)
            self.n_truncated_ = reader.n_longer(texts)
        self._describe(reader)
        warn_truncated(self.n_truncated_, len(texts), reader.max_length)
        return X

    def _describe(self, reader):
        """Take attributes from a reader; here none but those that all have."""

    def _rows(self, reader, texts):
        compute = functools.partial(reader.batches, verbose=bool(self.verbose))
        if self.cache_folder is not None:
            cache = RowCache(self.cache_folder, reader.key(), reader.row_shape)
            return cache.rows(texts, compute)
        # one layer is made to be used whole; several are there to choose from
        make = np.empty if len(reader.row_shape) == 1 else large_array
        X = make((len(texts), *reader.row_shape), np.float32)
        for indices, rows in compute(texts):
            X[indices] = rows
        return X

    def _load(self):
        if getattr(self, "_reader", None) is None:
            how = {name: getattr(self, name) for name in _HOW}
            with quiet_transformers():
                self._reader = self._make_reader(self._settings | how)
        return self._reader

    def __getstate__(self):
        """Leave the weights of a named model out, and move a loaded one to the host."""
        state = {k: v for k, v in super().__getstate__().items() if k != "_reader"}
        moved = functools.cache(portable)  # one copy for two owners
        state["model"] = moved(state["model"])
        if "_settings" in state:
            model = moved(state["_settings"]["model"])
            state["_settings"] = state["_settings"] | {"model": model}
        return state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags
