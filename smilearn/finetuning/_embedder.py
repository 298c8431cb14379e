"""Fine-tune to the early point, and read the hidden states there."""

from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from smilearn.finetuning._base import FineTuning, with_shared_docs
from smilearn.utils._sklearn_compat import fit_context


@with_shared_docs
class FineTunedEmbedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, FineTuning):
    """Embed texts with a model that is fine-tuned on them up to the early point.

    Training stops at the early point: the task is learnt, most samples are not yet
    learnt by heart. The embeddings are what the new head of the model reads there.

    Attributes
    ----------
    n_features_out_ : int
        Length of an embedding.

    Examples
    --------
    >>> from smilearn import FineTunedEmbedder
    >>> from smilearn.datasets import packaged_minilm
    >>> embedder = FineTunedEmbedder(packaged_minilm(), freeze_layers=4, random_state=0)
    >>> texts = ["good", "great fun", "superb", "bad", "dull", "a bore"]
    >>> X = embedder.fit_transform(texts * 6, [1, 1, 1, 0, 0, 0] * 6)
    >>> X.shape, embedder.early_point_reached_
    ((36, 384), True)
    """

    def fit(self, texts, y, sample_weight=None):
        """Fine-tune the model to the early point.

        Parameters
        ----------
        texts : sequence of str
            Training texts.

        y : array-like of shape (n_samples,)
            Class labels, 2 classes or more.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample in the loss, 0 or more; None weighs all alike.

        Returns
        -------
        self : FineTunedEmbedder
            The embedder.

        Raises
        ------
        MissingTextError
            If a text is missing.

        MissingDependencyError
            If accelerate or peft is not installed (extra ``finetune``).

        InvalidInputError
            If training diverges, the model lacks what is asked of it, or
            `checkpoint_folder` holds another run.

        Warns
        -----
        EarlyPointWarning
            If `max_epochs` pass before the early point.

        TruncationWarning
            If texts are longer than the model reads.
        """
        self.fit_transform(texts, y, sample_weight)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, texts, y, sample_weight=None):
        """Fine-tune, and embed the training texts at the early point.

        Parameters
        ----------
        texts : sequence of str
            Training texts.

        y : array-like of shape (n_samples,)
            Class labels, 2 classes or more.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample in the loss, 0 or more; None weighs all alike.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Embeddings, float32, in the order of the texts.
        """
        X = self._tune(texts, y, sample_weight)
        self.n_features_out_ = X.shape[1]
        return X

    def transform(self, texts):
        """Embed texts with the fine-tuned model.

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
        return self._read(texts)[0]

    @property
    def _n_features_out(self):
        return self.n_features_out_
