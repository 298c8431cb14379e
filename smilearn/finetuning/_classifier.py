"""A fine-tuned language model as a scikit-learn classifier of texts."""

import copy
from functools import partialmethod

import numpy as np
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from smilearn.embedding._pretrained import quiet_transformers
from smilearn.exceptions import InvalidInputError
from smilearn.finetuning._base import FineTuning, with_shared_docs
from smilearn.finetuning._frozen_layers import merged
from smilearn.finetuning._network import StandardClassifier
from smilearn.utils._sklearn_compat import fit_context


@with_shared_docs
class FineTunedClassifier(ClassifierMixin, FineTuning):
    """Classify texts with a fine-tuned language model.

    Examples
    --------
    >>> from smilearn import FineTunedClassifier
    >>> from smilearn.datasets import packaged_minilm
    >>> classifier = FineTunedClassifier(
    ...     packaged_minilm(), freeze_layers=4, learning_rate=1e-3, random_state=0
    ... )
    >>> texts = ["good", "great fun", "superb", "bad", "dull", "a bore"]
    >>> classifier.fit(texts * 6, ["up", "up", "up", "down", "down", "down"] * 6)
    FineTunedClassifier(...)
    >>> classifier.predict(["a good film", "awful"])
    array(['up', 'down'], dtype='<U4')
    """

    __init__ = partialmethod(FineTuning.__init__, early_point=None, max_epochs=3)

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, texts, y, sample_weight=None, *, soft_labels=None, clip=None, passes=None
    ):
        """Fine-tune the model.

        Parameters
        ----------
        texts : sequence of str
            Training texts.

        y : array-like of shape (n_samples,)
            Class labels, 2 classes or more.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample in the loss, 0 or more; None weighs all alike.

        soft_labels : array-like of shape (n_samples, n_classes), default=None
            Probability of each class, in the order of `classes_`, that a sample is
            trained towards in place of its label; rows sum to 1.

        clip : array-like of shape (n_samples,), default=None
            Largest gradient norm of each sample, as a multiple of the median norm in
            its batch (needs opacus, extra ``privacy``); infinity does not clip. Without
            noise this is no guarantee.

        passes : array-like of shape (n_samples,), default=None
            Share of `max_epochs`, in [0, 1], that each sample is trained in, rounded
            up to whole epochs: the first ones.

        Returns
        -------
        self : FineTunedClassifier
            The classifier.

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
            If `early_point` is a rule, and `max_epochs` pass before it holds.

        TruncationWarning
            If texts are longer than the model reads.
        """
        limits = {"soft_labels": soft_labels, "clip": clip, "passes": passes}
        self._tune(texts, y, sample_weight, **limits)
        return self

    def save_pretrained(self, folder):
        """Write the fine-tuned model as a folder of transformers.

        ``AutoModelForSequenceClassification``, ``pipeline("text-classification")``,
        `HiddenStateEmbedder` and, with a new head, `FineTunedClassifier` open it.
        Adapters are merged into the weights. The folder has the names of the classes,
        as strings, and reads `max_length` tokens.

        Parameters
        ----------
        folder : path-like
            Where to; made if it is not there. Files of its names are replaced.

        Raises
        ------
        InvalidInputError
            If it was fitted with ``head="linear"``, which transformers does not have.
            ``joblib.dump`` keeps such a classifier.
        """
        check_is_fitted(self, "logits_")
        network = self._network
        if not isinstance(network, StandardClassifier):
            raise InvalidInputError(
                'save_pretrained needs a classifier fitted with head="standard": '
                "transformers has no model with a linear head on the mean of hidden "
                "states. joblib.dump keeps this one."
            )
        model = merged(network.model).cpu()
        names = [str(name) for name in self.classes_.tolist()]
        model.config.id2label = dict(enumerate(names))
        model.config.label2id = {name: code for code, name in enumerate(names)}
        with quiet_transformers():
            model.save_pretrained(folder)
            tokenizer = copy.deepcopy(self.tokenizer_)
            tokenizer.model_max_length = self._most_tokens
            tokenizer.save_pretrained(folder)

    def decision_function(self, texts):
        """Logits of texts.

        Parameters
        ----------
        texts : sequence of str
            Texts.

        Returns
        -------
        logits : ndarray of shape (n_texts, n_classes) or (n_texts,)
            One column a class; of two classes, that of the second minus the first.
        """
        check_is_fitted(self, "logits_")
        logits = self._read(texts)[1].astype(np.float64)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def predict_proba(self, texts):
        """Probabilities of the classes.

        Parameters
        ----------
        texts : sequence of str
            Texts.

        Returns
        -------
        probabilities : ndarray of shape (n_texts, n_classes)
            One column a class, in the order of `classes_`; rows sum to 1.
        """
        check_is_fitted(self, "logits_")
        return softmax(self._read(texts)[1].astype(np.float64), axis=1)

    def predict(self, texts):
        """Likeliest class of each text.

        Parameters
        ----------
        texts : sequence of str
            Texts.

        Returns
        -------
        labels : ndarray of shape (n_texts,)
            Labels, among `classes_`.
        """
        check_is_fitted(self, "logits_")
        return self.classes_[self._read(texts)[1].argmax(1)]
