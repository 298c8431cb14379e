"""Texts to embeddings, before any fine-tuning."""

import contextlib
import json
import os
from importlib.util import find_spec
from numbers import Integral
from pathlib import Path
from typing import ClassVar

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from smilearn.embedding._batches import Batches, read_texts
from smilearn.embedding._cache import RowCache
from smilearn.embedding._fingerprints import encoder_fingerprint
from smilearn.embedding._pretrained import (
    DEFAULT_MODEL,
    check_complete,
    check_finite,
    load_pretrained,
    load_weights,
    quiet_transformers,
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
from smilearn.utils._documentation import Documented
from smilearn.utils._sklearn_compat import Interval, fit_context
from smilearn.utils._validation import check_texts, warn_truncated

_BATCHES_OF_WORKERS = 32  # that each process gets at once


def load_sentence_encoder(model, device, **options):
    """Load a model to a device, or to the host if it is to work on several."""
    from sentence_transformers import SentenceTransformer

    refuse_pickles(model, "", *_module_folders(model))
    safe = {"model_kwargs": {"use_safetensors": True}}
    devices = resolved_devices(device)
    place = devices if isinstance(devices, str) else "cpu"
    with quiet_transformers():
        options["device"] = place
        encoder = load_pretrained(SentenceTransformer, model, **safe, **options)
        check_complete(model, _missing_weights(encoder, model, options))
    check_finite(model, encoder)
    if _has_words(encoder):
        check_words(encoder.tokenizer, model)
        check_rows(encoder.tokenizer, _network(encoder), model)
    return encoder


def _module_folders(model):
    """Folders of the modules inside that of a model."""
    listed = Path(model, "modules.json")
    if not listed.is_file():
        return []
    return [each["path"] for each in json.loads(listed.read_text(encoding="utf-8"))]


def _network(encoder):
    """The transformer of an encoder, None if it has none."""
    from transformers import PreTrainedModel

    networks = (each for each in encoder.modules() if isinstance(each, PreTrainedModel))
    return next(networks, None)


def _has_words(encoder):
    """Whether a transformer reads texts by a tokenizer of transformers."""
    from transformers import PreTrainedTokenizerBase

    words = isinstance(encoder.tokenizer, PreTrainedTokenizerBase)
    return words and _network(encoder) is not None


def _missing_weights(encoder, model, options):
    """Names of the weights that the library made up, by loading the names again."""
    from transformers import MODEL_MAPPING, AutoModel

    network = _network(encoder)
    if network is None or hasattr(network, "peft_config"):
        return ()
    if MODEL_MAPPING.get(type(network.config), None) is not type(network):
        return ()  # such as the encoder of a T5: other weights than AutoModel's
    given = {key: options[key] for key in options if options[key] is not None}
    del given["device"]
    if find_spec("accelerate"):
        given["device_map"] = "meta"  # reads no weights
    try:
        loading = load_weights(AutoModel.from_pretrained, model, **given)[1]
    except ModelUnavailableError:
        return ()  # it is loaded, so it lies in a folder inside this one
    return loading["missing_keys"]


def resolved_devices(device):
    """Turn a device, or each of a list, into one that this machine has."""
    if isinstance(device, str):
        return str(resolve_device(device))
    if not device:
        raise InvalidInputError("device is an empty list; name a device, or more.")
    return [str(resolve_device(each)) for each in device]


def prompt_text(encoder, prompt, prompt_name):
    """Find what is put before each text."""
    prompts = encoder.prompts
    if prompt_name is None:
        return prompts.get(encoder.default_prompt_name) if prompt is None else prompt
    if prompt is not None:
        raise InvalidInputError("Give prompt or prompt_name, not both.")
    if prompt_name not in prompts:
        raise InvalidInputError(
            f"prompt_name={prompt_name!r} is none of the model's prompts, "
            f"{sorted(prompts)}. Name one of them, or give the text as prompt."
        )
    return prompts[prompt_name]


def kept_features(encoder, truncate_dim):
    """Count the features of an embedding."""
    n_features = int(encoder.get_embedding_dimension())
    if truncate_dim is not None and truncate_dim > n_features:
        raise InvalidInputError(
            f"truncate_dim={truncate_dim} is more than the {n_features} features of an "
            "embedding of this model. Give a smaller one, or None."
        )
    return truncate_dim or n_features


@contextlib.contextmanager
def workers(encoder, devices):
    """Start a process for each of several devices."""
    if isinstance(devices, str):
        yield {}
        return
    pool = encoder.start_multi_process_pool(devices)
    try:
        yield {"pool": pool}
    finally:
        encoder.stop_multi_process_pool(pool)


def encode(encoder, texts, device, *, batch_size, verbose, **options):
    """Yield indices of texts and their embeddings, equal texts encoded once."""
    tokenizer, devices = encoder.tokenizer, resolved_devices(device)
    has_words = _has_words(encoder)
    n_rows = embedding_rows(_network(encoder)) if has_words else None

    def tokens_of(texts):
        if not callable(tokenizer):
            return texts, np.zeros(len(texts), bool)
        input_ids = tokenizer(texts, truncation=False, verbose=False)["input_ids"]
        if not has_words:
            return input_ids, np.zeros(len(texts), bool)
        return input_ids, unread(texts, input_ids, tokenizer, n_rows)

    def rows_of(texts, tokens):
        settings = {**options, "batch_size": batch_size, "show_progress_bar": False}
        return encoder.encode(texts, **settings).astype(np.float32, copy=False)

    with workers(encoder, devices) as pool:
        options |= pool
        size = batch_size * len(devices) * _BATCHES_OF_WORKERS if pool else batch_size
        batches = Batches(size, encoder.device)
        yield from read_texts(texts, tokens_of, rows_of, batches, verbose=verbose)


class SentenceEmbedder(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, Documented, BaseEstimator
):
    """Embed texts with a pretrained sentence-transformers model, as it comes.

    Nothing is trained: the embeddings are those of the base model, ready in seconds.
    Scores made from them foretell memorization before any fine-tuning.

    Parameters
    ----------
    model : str or path-like, default="sentence-transformers/all-MiniLM-L6-v2"
        A folder or a name on the Hugging Face Hub.

    batch_size : int, default=32
        Texts in a forward pass. Texts are sorted by their number of tokens first.

    normalize : bool, default=False
        Whether to scale each embedding to unit length. Some models do so by themselves.

    device : str or list of str, default="auto"
        Torch device; "auto" takes cuda, mps or cpu. Of a list each has a process of its
        own; a script then needs ``if __name__ == "__main__"``.

    prompt : str, default=None
        Put before each text, as some models expect. None takes the model's own default,
        if it has one.

    prompt_name : str, default=None
        Name of a prompt that the model brings, in place of `prompt`.

    truncate_dim : int, default=None
        Features to keep of an embedding, the first ones; for models trained so that
        these are of use alone. Done before normalizing.

    cache_folder : str or path-like, default=None
        Folder in which embeddings are kept and found again, whatever the order of the
        texts: in each fold, after a restart or a kill half-way, by several processes at
        once. They belong to the content of a text and to the weights and settings of
        the model. Delete the folder to free its space.

    local_files_only : bool, default=False
        Whether to ask the Hugging Face Hub for nothing.

    revision : str, default=None
        Branch, tag or commit of the model on the Hub.

    trust_remote_code : bool, default=False
        Whether code that comes with the model may run.

    verbose : int or bool, default=0
        Whether to show a progress bar.

    Attributes
    ----------
    n_features_out_ : int
        Length of an embedding.

    n_truncated_ : int
        Texts of the last :meth:`transform` that were longer than the model reads.

    Notes
    -----
    A pickle holds no weights; the model is loaded again from where it came when it is
    next needed.

    References
    ----------
    .. [1] N. Reimers, I. Gurevych, "Sentence-BERT: sentence embeddings using Siamese
       BERT-networks", EMNLP, 2019.

    Examples
    --------
    >>> from smilearn import SentenceEmbedder
    >>> from smilearn.datasets import packaged_minilm
    >>> embedder = SentenceEmbedder(packaged_minilm())
    >>> embedder.fit_transform(["a gripping film", "dull"]).shape
    (2, 384)
    """

    _parameter_constraints: ClassVar[dict] = {
        "model": [str, os.PathLike],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "normalize": ["boolean"],
        "device": [str, list],
        "prompt": [str, None],
        "prompt_name": [str, None],
        "truncate_dim": [Interval(Integral, 1, None, closed="left"), None],
        "cache_folder": [str, os.PathLike, None],
        "local_files_only": ["boolean"],
        "revision": [str, None],
        "trust_remote_code": ["boolean"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model=DEFAULT_MODEL,
        *,
        batch_size=32,
        normalize=False,
        device="auto",
        prompt=None,
        prompt_name=None,
        truncate_dim=None,
        cache_folder=None,
        local_files_only=False,
        revision=None,
        trust_remote_code=False,
        verbose=0,
    ):
        self.model = model
        self.batch_size = batch_size
        self.normalize = normalize
        self.device = device
        self.prompt = prompt
        self.prompt_name = prompt_name
        self.truncate_dim = truncate_dim
        self.cache_folder = cache_folder
        self.local_files_only = local_files_only
        self.revision = revision
        self.trust_remote_code = trust_remote_code
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, texts, y=None):
        """Load the model; nothing is learnt from the texts.

        Parameters
        ----------
        texts : sequence of str
            Texts; only checked.

        y : object, default=None
            Ignored.

        Returns
        -------
        self : SentenceEmbedder
            The embedder.

        Raises
        ------
        MissingTextError
            If a text is missing.

        ModelUnavailableError
            If the model cannot be loaded, lacks weights or a tokenizer, or needs code.

        InvalidInputError
            If there is no such prompt or device, `truncate_dim` is too large, or the
            tokenizer has more tokens than the model has embeddings.
        """
        check_texts(texts, again=True)
        self._encoder = None  # the model may be another one than last time
        self._load()
        self._prompt()
        self.n_features_out_ = kept_features(self._encoder, self.truncate_dim)
        return self

    def transform(self, texts):
        """Embed texts; equal texts are encoded once.

        Parameters
        ----------
        texts : sequence of str
            A list, an array, a pandas or polars Series.

        Returns
        -------
        X : ndarray of shape (n_texts, n_features)
            Embeddings, float32, in the order of the texts.

        Raises
        ------
        MissingTextError
            If a text is missing.

        CacheError
            If `cache_folder` cannot be written to.

        Warns
        -----
        TruncationWarning
            If texts are longer than the model reads.

        UnknownTokensWarning
            If texts are mostly tokens that the model does not know; an error if ten
            texts or more are, and no other.

        CacheWarning
            If rows in the cache are damaged, or cannot be kept, on a full disk say.
        """
        check_is_fitted(self, "n_features_out_")
        texts = check_texts(texts)
        self._load()
        if not texts:
            self.n_truncated_ = 0
            return np.empty((0, self.n_features_out_), np.float32)
        self._count_truncated(texts)
        if self.cache_folder is not None:
            return self._cache().rows(texts, self._encoded)
        X = np.empty((len(texts), self.n_features_out_), np.float32)
        for indices, rows in self._encoded(texts):
            X[indices] = rows
        return X

    def _load(self):
        if getattr(self, "_encoder", None) is None:
            self._encoder = load_sentence_encoder(
                self.model,
                self.device,
                local_files_only=self.local_files_only,
                revision=self.revision,
                trust_remote_code=self.trust_remote_code,
            )
            self._fingerprint = None

    def _prompt(self):
        return prompt_text(self._encoder, self.prompt, self.prompt_name)

    def _cache(self):
        if self._fingerprint is None:
            self._fingerprint = encoder_fingerprint(self._encoder)
        key = {
            "embedder": "SentenceEmbedder",
            "model": self._fingerprint,
            "prompt": self._prompt(),
            "normalize": bool(self.normalize),
            "max_seq_length": self._encoder.max_seq_length,
        }
        return RowCache(self.cache_folder, key, (self.n_features_out_,))

    def _encoded(self, texts):
        return encode(
            self._encoder,
            texts,
            self.device,
            batch_size=self.batch_size,
            verbose=self.verbose,
            prompt=self._prompt(),
            normalize_embeddings=self.normalize,
            truncate_dim=self.n_features_out_,
        )

    def _count_truncated(self, texts):
        tokenizer, most = self._encoder.tokenizer, self._encoder.max_seq_length
        self.n_truncated_ = 0
        if most is not None and np.isfinite(most) and callable(tokenizer):
            template = (self._prompt() or "") + FIELD
            self.n_truncated_ = count_longer(texts, tokenizer, most, template)
            warn_truncated(self.n_truncated_, len(texts), most)

    @property
    def _n_features_out(self):
        return self.n_features_out_

    def __getstate__(self):
        state = super().__getstate__()
        state.pop("_encoder", None)
        state.pop("_fingerprint", None)
        return state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags
