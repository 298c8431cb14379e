"""Fine-tune to the early point, and read the hidden states there (floor 6)."""

import copy
import os
import warnings
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from smilearn._compat import Interval, StrOptions, fit_context
from smilearn._devices import resolve_device
from smilearn._directions import generator_from
from smilearn._early_point import EarlyPoint
from smilearn._optional import require
from smilearn._pretrained import DEFAULT_MODEL, load_encoder, quiet_transformers
from smilearn._texts import check_labelled_texts, check_texts, warn_truncated
from smilearn.exceptions import EarlyPointWarning

_POSITIVE = Interval(Integral, 1, None, closed="left")
_NEW_HEAD_DROP = 0.5
_SCHEDULE = ("max_epochs", "evaluations_per_epoch", "learning_rate", "batch_size")


class FineTunedEmbedder(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Embed texts with an encoder that is fine-tuned on them up to the early point.

    The encoder gets mean pooling over real tokens and a new linear head, and is trained
    on the labelled texts through ``transformers.Trainer``. Training stops at the early
    point: the task is learnt, most samples are not yet learnt by heart. The embeddings
    are the pooled last hidden states there.

    Parameters
    ----------
    model : str or path-like, default="sentence-transformers/all-MiniLM-L6-v2"
        An encoder: a folder or a name on the Hugging Face Hub.

    loss_drop : float in (0, 1) or "auto", default="auto"
        The early point is the first evaluation at which the median per-sample training
        loss has fallen by this share of what it was before the first step. "auto" is
        0.5: the median starts at the log of the number of classes for a new head, and
        the 0.95 that [1]_ uses for language models comes after most memorization.

    max_epochs : int, default=5
        Passes over the data after which training stops in any case. The learning rate
        falls linearly to 0 over them.

    evaluations_per_epoch : int, default=5
        How often the loss of all training samples is measured.

    learning_rate : float, default=5e-5
        Largest learning rate of AdamW.

    batch_size : int, default=32
        Texts in a training step.

    max_length : int, default=None
        Tokens read of a text; None takes what the model can, 512 at most.

    device : str, default="auto"
        Torch device; "auto" takes cuda, mps or cpu.

    random_state : int, RandomState instance, Generator or None, default=None
        Seed of the head, the order of the samples and dropout.

    verbose : int or bool, default=0
        Whether to show a progress bar over the training steps.

    Attributes
    ----------
    losses_ : ndarray of shape (n_samples,)
        Cross-entropy of each training sample at the early point, in nats.

    logits_ : ndarray of shape (n_samples, n_classes)
        Logits of each training sample at the early point.

    history_ : list of dict
        One entry an evaluation: `step`, `epoch`, `median_loss` in nats, `share_fitted`
        (training samples that are classified as labelled).

    early_point_loss_ : float
        Median loss at which the early point is reached, in nats.

    early_point_reached_ : bool
        Whether the early point came before `max_epochs`.

    classes_ : ndarray of shape (n_classes,)
        Labels, in the order of the columns of `logits_`.

    n_features_out_ : int
        Length of an embedding.

    n_truncated_ : int
        Training texts that were longer than `max_length`.

    References
    ----------
    .. [1] J. Dentan, D. Buscaldi, A. Shabou, S. Vanier, "Predicting memorization
       within Large Language Models fine-tuned for classification",
       arXiv:2409.18858, 2024.

    Examples
    --------
    >>> from smilearn import FineTunedEmbedder
    >>> from smilearn.datasets import packaged_minilm
    >>> embedder = FineTunedEmbedder(packaged_minilm(), max_epochs=10, random_state=0)
    >>> texts = ["good", "great fun", "superb", "bad", "dull", "a bore"]
    >>> X = embedder.fit_transform(texts * 6, [1, 1, 1, 0, 0, 0] * 6)
    >>> X.shape, embedder.early_point_reached_
    ((36, 384), True)
    """

    _parameter_constraints: ClassVar[dict] = {
        "model": [str, os.PathLike],
        "loss_drop": [Interval(Real, 0, 1, closed="neither"), StrOptions({"auto"})],
        "max_epochs": [_POSITIVE],
        "evaluations_per_epoch": [_POSITIVE],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [_POSITIVE],
        "max_length": [_POSITIVE, None],
        "device": [str],
        "random_state": ["random_state", np.random.Generator],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model=DEFAULT_MODEL,
        *,
        loss_drop="auto",
        max_epochs=5,
        evaluations_per_epoch=5,
        learning_rate=5e-5,
        batch_size=32,
        max_length=None,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.model = model
        self.loss_drop = loss_drop
        self.max_epochs = max_epochs
        self.evaluations_per_epoch = evaluations_per_epoch
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_length = max_length
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, texts, y):
        """Fine-tune the encoder to the early point.

        Parameters
        ----------
        texts : sequence of str
            Training texts.

        y : array-like of shape (n_samples,)
            Class labels, 2 classes or more.

        Returns
        -------
        self : FineTunedEmbedder
            The embedder.

        Raises
        ------
        MissingTextError
            If a text is missing.

        MissingDependencyError
            If accelerate is not installed (extra ``finetune``).

        Warns
        -----
        EarlyPointWarning
            If `max_epochs` pass before the early point.

        TruncationWarning
            If texts are longer than the model reads.
        """
        self.fit_transform(texts, y)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, texts, y):
        """Fine-tune, and embed the training texts at the early point.

        Parameters
        ----------
        texts : sequence of str
            Training texts.

        y : array-like of shape (n_samples,)
            Class labels, 2 classes or more.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Embeddings, float32, in the order of the texts.
        """
        require("accelerate", extra="finetune", caller="FineTunedEmbedder")
        from smilearn import _tuning
        from smilearn._tokens import TokenBatches

        texts, self.classes_, codes = check_labelled_texts(texts, y)
        seed = int(generator_from(self.random_state, "fine-tune").integers(2**31))
        device = resolve_device(self.device)
        with quiet_transformers(), _tuning.seeded(seed):
            encoder, self._tokenizer, self._most_tokens = load_encoder(
                self.model, self.max_length
            )
            network = _tuning.PooledClassifier(encoder, len(self.classes_)).to(device)
            tokens = TokenBatches(texts, self._tokenizer, self._most_tokens)
            drop = _NEW_HEAD_DROP if self.loss_drop == "auto" else self.loss_drop
            result = _tuning.train_to_early_point(
                network,
                tokens,
                codes,
                point := EarlyPoint(drop),
                schedule={name: getattr(self, name) for name in _SCHEDULE},
                seed=seed,
                device=device,
                verbose=bool(self.verbose),
            )
        self._network = network.eval()
        self.history_, self.early_point_reached_ = point.history, bool(result.reached)
        self.early_point_loss_ = point.threshold
        self.losses_, self.logits_ = result.losses, result.logits
        self.n_features_out_ = result.pooled.shape[1]
        self.n_truncated_ = tokens.n_truncated
        self._warn(point)
        return result.pooled

    def transform(self, texts):
        """Embed texts with the fine-tuned encoder.

        Parameters
        ----------
        texts : sequence of str
            Texts, new ones or those of the training.

        Returns
        -------
        X : ndarray of shape (n_texts, n_features)
            Embeddings, float32, in the order of the texts.
        """
        check_is_fitted(self, "n_features_out_")
        from smilearn import _tuning
        from smilearn._tokens import TokenBatches

        texts = check_texts(texts)
        if not texts:
            return np.empty((0, self.n_features_out_), np.float32)
        tokens = TokenBatches(texts, self._tokenizer, self._most_tokens)
        warn_truncated(tokens.n_truncated, len(texts), self._most_tokens)
        return _tuning.embed(self._network, tokens)[0]

    def _warn(self, point):
        warn_truncated(self.n_truncated_, len(self.losses_), self._most_tokens)
        if not self.early_point_reached_:
            warnings.warn(
                f"max_epochs={self.max_epochs} passed before the early point: median "
                f"loss {point.history[-1]['median_loss']:.3f}, early point at "
                f"{point.threshold:.3f}. Raise max_epochs or learning_rate, or lower "
                "loss_drop; the embeddings are those of the last evaluation.",
                EarlyPointWarning,
                stacklevel=4,
            )

    @property
    def _n_features_out(self):
        return self.n_features_out_

    def __getstate__(self):
        """Keep the fine-tuned weights, on the CPU: they open on any machine."""
        state = super().__getstate__()
        if "_network" in state:
            state["_network"] = copy.deepcopy(state["_network"]).cpu()
        return state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        return tags
