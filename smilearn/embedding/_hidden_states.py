"""Hidden states of any language model as embeddings."""

import os
from numbers import Integral
from typing import ClassVar

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from smilearn.embedding._cache import RowCache
from smilearn.embedding._pretrained import quiet_transformers
from smilearn.embedding._reader import HiddenReader
from smilearn.embedding._sources import load_source, portable
from smilearn.embedding._tokens import FIELD
from smilearn.exceptions import InvalidInputError
from smilearn.utils._devices import resolve_device
from smilearn.utils._documentation import Documented
from smilearn.utils._indexing import large_array
from smilearn.utils._sklearn_compat import HasMethods, Interval, StrOptions, fit_context
from smilearn.utils._validation import check_texts, warn_truncated


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


_HOW = ("batch_size", "device", "local_files_only")  # no row depends on them
_POSITIVE = Interval(Integral, 1, None, closed="left")


class HiddenStateEmbedder(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, Documented, BaseEstimator
):
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

    layer : int, list of int or "all", default=-1
        Layers to read, in one forward pass. 0 is the embeddings, 1 the first layer,
        -1 the last, after the final norm.

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
        Length d of an embedding.

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
    """

    _parameter_constraints: ClassVar[dict] = {
        "model": [str, os.PathLike, HasMethods(["forward"])],
        "adapter": [str, os.PathLike, None],
        "tokenizer": [str, os.PathLike, callable, None],
        "layer": [Integral, list, tuple, StrOptions({"all"})],
        "pooling": [StrOptions({"auto", "mean", "cls", "last"}), callable],
        "max_length": [_POSITIVE, None],
        "batch_size": [_POSITIVE, StrOptions({"auto"})],
        "device": [str],
        "dtype": [StrOptions({"float32", "auto", "bfloat16", "float16"})],
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
        pooling="auto",
        max_length=None,
        batch_size="auto",
        device="auto",
        dtype="float32",
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
        self.pooling = pooling
        self.max_length = max_length
        self.batch_size = batch_size
        self.device = device
        self.dtype = dtype
        self.template = template
        self.cache_folder = cache_folder
        self.local_files_only = local_files_only
        self.revision = revision
        self.trust_remote_code = trust_remote_code
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, texts, y=None):
        """Load the model and check that it is read right; nothing is learnt.

        Parameters
        ----------
        texts : sequence of str
            Texts; only checked.

        y : object, default=None
            Ignored.

        Returns
        -------
        self : HiddenStateEmbedder
            The embedder.

        Raises
        ------
        MissingTextError
            If a text is missing.

        ModelUnavailableError
            If the model, its tokenizer or the adapter cannot be loaded.

        AdapterError
            If the adapter belongs to another base model, or changes nothing.

        InvalidInputError
            If the model has no such layer, reads fewer tokens than asked for, has
            fewer embeddings than the tokenizer has tokens, or a head that "auto"
            cannot follow.
        """
        check_texts(texts, again=True)
        self._reader = None  # the model may be another one than last time
        self._settings = self.get_params(deep=False)  # those that a pickle goes on with
        reader = self._load()
        if self.cache_folder is not None:
            reader.pooling_name()
        self.pooling_, self.layers_ = reader.pooling, reader.layers
        self.max_length_, self.n_features_out_ = reader.max_length, reader.row_shape[-1]
        self.batch_size_, self.n_truncated_ = reader.in_batches.most, 0
        return self

    def transform(self, texts):
        """Embed texts; equal texts are encoded once.

        Parameters
        ----------
        texts : sequence of str
            A list, an array, a pandas or polars Series.

        Returns
        -------
        X : ndarray of shape (n_texts, n_features) or (n_texts, n_layers, n_features)
            Hidden states, float32, in the order of the texts; three dimensions where
            `layer` is a list or "all". These, and rows of a cache, are from 256 MiB on
            a ``numpy.memmap`` of a temporary file that goes away with it.

        Raises
        ------
        MissingTextError
            If a text is missing.

        DeviceMemoryError
            If the device has no memory for one text.

        Warns
        -----
        TruncationWarning
            If texts are longer than the model reads.

        UnknownTokensWarning
            If texts are mostly tokens that the model does not know; an error if ten
            texts or more are, and no other.
        """
        check_is_fitted(self, "n_features_out_")
        texts = check_texts(texts)
        if not texts:
            single = isinstance(self._settings["layer"], Integral)
            several = () if single else (len(self.layers_),)
            self.n_truncated_ = 0
            return np.empty((0, *several, self.n_features_out_), np.float32)
        reader = self._load()
        with quiet_transformers():
            X = self._rows(reader, texts)
            self.n_truncated_ = reader.n_longer(texts)
        self.batch_size_ = reader.in_batches.most
        warn_truncated(self.n_truncated_, len(texts), self.max_length_)
        return X

    def _rows(self, reader, texts):
        def compute(texts):
            return reader.batches(texts, bool(self.verbose))

        if self.cache_folder is not None:
            cache = RowCache(self.cache_folder, reader.key(), reader.row_shape)
            return cache.rows(texts, compute)
        # one layer is made to be used whole; several are there to choose from
        make = np.empty if reader.single else large_array
        X = make((len(texts), *reader.row_shape), np.float32)
        for indices, rows in compute(texts):
            X[indices] = rows
        return X

    def _load(self):
        if getattr(self, "_reader", None) is None:
            how = {name: getattr(self, name) for name in _HOW}
            self._reader = load_reader(self._settings | how)
        return self._reader

    @property
    def _n_features_out(self):
        return self.n_features_out_

    def __getstate__(self):
        return portable_state(super().__getstate__())

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags
