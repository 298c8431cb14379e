"""Texts to embeddings, before any fine-tuning (floor 6)."""

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

from smilearn._compat import Interval, fit_context
from smilearn._devices import resolve_device
from smilearn._pretrained import DEFAULT_MODEL, load_pretrained, quiet_transformers
from smilearn._texts import check_texts, warn_truncated


class SentenceEmbedder(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Embed texts with a pretrained sentence-transformers model, as it comes.

    Nothing is trained: the embeddings are those of the base model, ready in seconds.
    Scores made from them foretell memorization before any fine-tuning.

    Parameters
    ----------
    model : str or path-like, default="sentence-transformers/all-MiniLM-L6-v2"
        A folder or a name on the Hugging Face Hub.

    batch_size : int, default=32
        Texts in a forward pass. Texts are sorted by length first.

    normalize : bool, default=False
        Whether to scale each embedding to unit length. Some models do so by themselves.

    device : str, default="auto"
        Torch device; "auto" takes cuda, mps or cpu.

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
        "device": [str],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model=DEFAULT_MODEL,
        *,
        batch_size=32,
        normalize=False,
        device="auto",
        verbose=0,
    ):
        self.model = model
        self.batch_size = batch_size
        self.normalize = normalize
        self.device = device
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
            If the model cannot be loaded.
        """
        check_texts(texts)
        self._encoder = None  # the model may be another one than last time
        self._load()
        self.n_features_out_ = int(self._encoder.get_embedding_dimension())
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

        Warns
        -----
        TruncationWarning
            If texts are longer than the model reads.
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
        unique = self._encoder.encode(
            list(places),
            batch_size=self.batch_size,
            normalize_embeddings=self.normalize,
            show_progress_bar=bool(self.verbose),
            convert_to_numpy=True,
        )
        return np.asarray(unique, np.float32)[order]

    def _load(self):
        if getattr(self, "_encoder", None) is None:
            from sentence_transformers import SentenceTransformer

            device = str(resolve_device(self.device))
            with quiet_transformers():
                self._encoder = load_pretrained(
                    SentenceTransformer, self.model, device=device
                )

    def _count_truncated(self, texts, repeats):
        tokenizer, most = self._encoder.tokenizer, self._encoder.max_seq_length
        if most is None:
            self.n_truncated_ = 0
            return
        lengths = tokenizer(texts, truncation=False, verbose=False)["input_ids"]
        longer = np.array([len(tokens) > most for tokens in lengths])
        self.n_truncated_ = int(repeats[longer].sum())
        warn_truncated(self.n_truncated_, int(repeats.sum()), most)

    @property
    def _n_features_out(self):
        return self.n_features_out_

    def __getstate__(self):
        state = super().__getstate__()
        state.pop("_encoder", None)
        return state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags
