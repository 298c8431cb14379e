"""Texts to embeddings, before any fine-tuning."""

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
from smilearn.embedding._encoder_fingerprint import encoder_fingerprint
from smilearn.embedding._pretrained import DEFAULT_MODEL
from smilearn.embedding._sentences import (
    encode_chunks,
    kept_features,
    load_sentence_encoder,
    prompt_text,
    truncated_texts,
)
from smilearn.utils._documentation import Documented
from smilearn.utils._sklearn_compat import Interval, fit_context
from smilearn.utils._texts import check_texts, warn_truncated


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
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        order = np.array([places[text] for text in texts])
        self._count_truncated(list(places), np.bincount(order))
        if self.cache_folder is not None:
            return self._cache().rows(texts, self._chunks)
        X = np.empty((len(places), self.n_features_out_), np.float32)
        for some, rows in self._chunks(list(places)):
            X[some] = rows
        return X[order]

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

    def _chunks(self, texts):
        return encode_chunks(
            self._encoder,
            texts,
            self.device,
            batch_size=self.batch_size,
            verbose=self.verbose,
            prompt=self._prompt(),
            normalize_embeddings=self.normalize,
            truncate_dim=self.n_features_out_,
        )

    def _count_truncated(self, texts, repeats):
        cut = truncated_texts(self._encoder, texts, self._prompt())
        self.n_truncated_ = int(repeats[cut].sum())
        n_texts, most = int(repeats.sum()), self._encoder.max_seq_length
        warn_truncated(self.n_truncated_, n_texts, most)

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
