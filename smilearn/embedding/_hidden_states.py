"""Hidden states of any language model as embeddings."""

import os
from numbers import Integral
from typing import ClassVar

import numpy as np
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from smilearn.embedding._base import TextEmbedder
from smilearn.embedding._dask import on_chunks
from smilearn.embedding._reader import HiddenReader
from smilearn.exceptions import InvalidInputError
from smilearn.utils._sklearn_compat import HasMethods, Interval, StrOptions

_POSITIVE = Interval(Integral, 1, None, closed="left")


class HiddenStateEmbedder(TextEmbedder):
    """Embed texts with the hidden states of any transformer, at any layer.

    Of encoders and decoders, with a classification head or an adapter or without, on
    disk or loaded. Nothing is trained.

    Parameters
    ----------
    model : str, path-like, PreTrainedModel or PeftModel
        A folder or a name on the Hugging Face Hub: of a model of transformers or
        sentence-transformers, or of an adapter, with its base model. Or a loaded model,
        which keeps its dtype and its device; ``clone`` copies it.

    adapter : str or path-like, default=None
        An adapter of peft, such as LoRA, to put on the model, or on a copy of a loaded
        one.

    tokenizer : str, path-like or PreTrainedTokenizerBase, default=None
        None takes that of the model. A loaded model may need one.

    layer : int, list of int, "all" or "spread", default=-1
        Layers to read, in one forward pass. 0 is the embeddings, 1 the first layer,
        -1 the last, after the final norm. "spread" puts three layers side by side, a
        third and two thirds of the way up and the last: before any training these tell
        more than the last alone.

    concatenate : bool, default=False
        Whether to put layers side by side in one matrix, each divided by its spread in
        the texts of :meth:`fit`, so that they weigh alike.

    pooling : {"auto", "mean", "cls", "last"} or callable, default="auto"
        How the tokens of a text become one vector: the mean over real tokens, the
        first token, the last real token. "auto" follows the classification head or the
        sentence-transformers folder; of models without either, encoders take the mean
        and decoders the last token. A callable takes hidden states
        (n_texts, n_tokens, n_features) and a mask (n_texts, n_tokens), both tensors.

    max_length : int, default=None
        Tokens read of a text, with the template; None takes what the model can, 512 at
        most.

    batch_size : int or "auto", default="auto"
        Texts in a forward pass; "auto" takes as many as have 1,024 tokens on a CPU,
        32,768 elsewhere. Halved where a device has no memory left.

    device : str, default="auto"
        Torch device; "auto" takes cuda, mps or cpu, or where a loaded model is.

    dtype : {"float32", "auto", "bfloat16", "float16"}, default="float32"
        Of the weights that are loaded; "auto" is that of the checkpoint. Embeddings are
        float32 in any case; bfloat16 weights make errors of up to a hundredth.

    backend : {"torch", "openvino"}, default="torch"
        What runs the model. "openvino", of the extra of that name, compiles it for the
        CPU at the first batch, of any shape; what it cannot run is left to torch. With
        `dtype` "bfloat16" it computes in that, from the same weights.

    template : str, default=None
        What stands around each text, as in ``"Review: {text} Sentiment:"``. Texts that
        are too long lose their end, the template loses nothing.

    cache_folder : str or path-like, default=None
        Where rows are kept, by text, weights and settings, to be read again.

    local_files_only : bool, default=False
        Whether to leave the Hub alone.

    revision : str, default=None
        Branch, tag or commit of `model` on the Hub.

    trust_remote_code : bool, default=False
        Whether to run Python code that comes with the model.

    verbose : int or bool, default=0
        Whether to show a progress bar on a terminal.

    Attributes
    ----------
    pooling_ : str or callable
        How tokens are pooled.

    layers_ : list of int
        Layers that are read, counted from 0.

    max_length_ : int
        Tokens that are read of a text.

    n_features_out_ : int
        Length d of an embedding; of layers side by side that of all together.

    scale_ : ndarray of shape (n_layers,) or None
        Spread of each layer, if they are side by side: the root mean square of what is
        left of the texts of :meth:`fit` without their mean.

    batch_size_ : int
        Texts in a forward pass, or tokens where it is "auto", as memory allowed.

    n_truncated_ : int
        Texts of the last :meth:`transform` that were longer than `max_length_`.

    See Also
    --------
    LayerSelector : Take one layer of several, as a parameter to search over.

    Notes
    -----
    "auto" makes sure at :meth:`fit` that the head's logits can be had from what is
    pooled; heads of decoders pass over pad tokens, within texts too. The dense layers
    that some heads begin with, such as BERT's pooler, are counted to the head.

    Of an encoder-decoder the encoder is run. Padding is on the right in any case.

    A pickle holds no weights when `model` is a folder or a name; they are loaded again
    when next needed. ``sklearn.frozen.FrozenEstimator`` around a fitted embedder keeps
    a search from loading it for each candidate.

    Examples
    --------
    >>> from smilearn import HiddenStateEmbedder
    >>> from smilearn.datasets import packaged_minilm
    >>> embedder = HiddenStateEmbedder(packaged_minilm(), layer="all")
    >>> embedder.fit_transform(["a gripping film", "dull"]).shape
    (2, 7, 384)
    >>> embedder.pooling_
    'mean'
    >>> embedder = HiddenStateEmbedder(packaged_minilm(), layer="spread")
    >>> embedder.fit_transform(["a gripping film", "dull"]).shape, embedder.layers_
    ((2, 1152), [2, 4, 6])
    """

    _make_reader = HiddenReader
    _parameter_constraints: ClassVar[dict] = {
        "model": [str, os.PathLike, HasMethods(["forward"])],
        "adapter": [str, os.PathLike, None],
        "tokenizer": [str, os.PathLike, callable, None],
        "layer": [Integral, list, tuple, StrOptions({"all", "spread"})],
        "concatenate": ["boolean"],
        "pooling": [StrOptions({"auto", "mean", "cls", "last"}), callable],
        "max_length": [_POSITIVE, None],
        "batch_size": [_POSITIVE, StrOptions({"auto"})],
        "device": [str],
        "dtype": [StrOptions({"float32", "auto", "bfloat16", "float16"})],
        "backend": [StrOptions({"torch", "openvino"})],
        "template": [str, None],
        "cache_folder": [str, os.PathLike, None],
        "local_files_only": ["boolean"],
        "revision": [str, None],
        "trust_remote_code": ["boolean"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model,
        *,
        adapter=None,
        tokenizer=None,
        layer=-1,
        concatenate=False,
        pooling="auto",
        max_length=None,
        batch_size="auto",
        device="auto",
        dtype="float32",
        backend="torch",
        template=None,
        cache_folder=None,
        local_files_only=False,
        revision=None,
        trust_remote_code=False,
        verbose=0,
    ):
        self.model = model
        self.adapter = adapter
        self.tokenizer = tokenizer
        self.layer = layer
        self.concatenate = concatenate
        self.pooling = pooling
        self.max_length = max_length
        self.batch_size = batch_size
        self.device = device
        self.dtype = dtype
        self.backend = backend
        self.template = template
        self.cache_folder = cache_folder
        self.local_files_only = local_files_only
        self.revision = revision
        self.trust_remote_code = trust_remote_code
        self.verbose = verbose

    @on_chunks
    def fit(self, texts, y=None):
        super().fit(texts)
        self._learn(self._embed(texts) if self._concatenates() else None)
        return self

    @on_chunks
    def fit_transform(self, texts, y=None):
        """Fit, and embed the same texts; they are read once.

        Parameters
        ----------
        texts : sequence of str
            A list, an array, a pandas or polars Series.

        y : object, default=None
            Ignored.

        Returns
        -------
        X : ndarray of shape (n_texts, n_features) or (n_texts, n_layers, n_features)
            What :meth:`transform` gives.
        """
        super().fit(texts)
        X = self._embed(texts)
        self._learn(X if self._concatenates() else None)
        return self._arranged(X)

    @on_chunks
    def transform(self, texts):
        check_is_fitted(self, "scale_")
        return self._arranged(self._embed(texts))

    def _concatenates(self):
        return self.concatenate or self.layer == "spread"

    def _learn(self, X):
        """Learn the spread of each layer from rows; None where nothing is learnt."""
        self.scale_ = None
        if X is None:
            return
        if not len(X):
            raise InvalidInputError(
                "Layers side by side are scaled by their spread over the texts of fit, "
                "so there must be a text at least; got none."
            )
        X = self._by_layer(X)
        self.scale_ = _spreads(X)
        self.n_features_out_ = self._n_features_out = X[0].size

    def _arranged(self, X):
        """Put layers side by side, in place, if a scale was learnt for them."""
        if self.scale_ is None:
            return X
        X = self._by_layer(X)
        X /= self.scale_[:, None]
        return X.reshape(len(X), self.n_features_out_)

    def _by_layer(self, X):
        """One layer or several, as (n_texts, n_layers, d)."""
        return X.reshape(len(X), len(self.layers_), X.shape[-1])

    def _describe(self, reader):
        if self.cache_folder is not None:
            reader.pooling_name()  # an error where it has none
        self.pooling_, self.layers_ = reader.pooling, reader.layers
        self.max_length_, self.batch_size_ = reader.max_length, reader.in_batches.most


def _spreads(X):
    """Root mean square of what the mean leaves of each layer; (n, L, d) to (L,)."""
    total = squares = 0.0
    for rows in gen_batches(len(X), 1024):
        gaps = X[rows] - X[0].astype(np.float64)  # exactly 0 where texts are equal
        total, squares = total + gaps.sum(0), squares + (gaps**2).sum(0)
    variances = squares / len(X) - (total / len(X)) ** 2
    spreads = np.sqrt(np.maximum(variances, 0).mean(1))
    # what is left of a layer that does not differ between texts is rounding
    return np.where(spreads > 1e-6 * np.abs(X[0]).mean(1), spreads, 1.0)
