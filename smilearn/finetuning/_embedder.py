"""Fine-tune to the early point, and read the hidden states there."""

from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from smilearn.embedding._pretrained import DEFAULT_MODEL
from smilearn.finetuning._base import FineTuning
from smilearn.utils._documentation import Documented
from smilearn.utils._sklearn_compat import fit_context


class FineTunedEmbedder(
    FineTuning,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    Documented,
    BaseEstimator,
):
    """Embed texts with a model that is fine-tuned on them up to the early point.

    The model gets a new linear head over the mean of the last hidden states over real
    tokens (encoders) or over that of the last real token (decoders), and is trained on
    the labelled texts through ``transformers.Trainer``. Training stops at the early
    point: the task is learnt, most samples are not yet learnt by heart. The embeddings
    are what the head reads there.

    Parameters
    ----------
    model : str or path-like, default="sentence-transformers/all-MiniLM-L6-v2"
        An encoder or decoder: a folder or a name on the Hugging Face Hub.

    lora : None, bool, int or dict, default=None
        Train low-rank adapters instead of the weights of the model (needs peft). True
        takes rank 16 on the maps that peft takes for this kind of model; an int is the
        rank; a dict has any of `rank`, `alpha` (default: twice the rank), `dropout` (0)
        and `target_modules` (names of linear maps).

    freeze_layers : int, default=0
        With 1 or more, the embeddings and so many of the lowest layers are not trained,
        run once a text without dropout, and are not run again in any epoch.

    early_point : {"median-loss", "gap", "epochs"} or None, default="median-loss"
        When training stops. "median-loss": once the median loss of the training samples
        has fallen by `loss_drop`, the rule of [1]_. "gap": once their mean loss is
        below 0.8 of that of held-out samples. "epochs": after `stop_epoch`. None: at
        `max_epochs`.

    loss_drop : float in (0, 1) or "auto", default="auto"
        For "median-loss". Share by which the median loss has fallen since before
        the first step. "auto" is 0.5: the median starts at the log of the number of
        classes for a new head, and the 0.95 that [1]_ uses for language models comes
        after most memorization.

    validation_share : float in (0, 1), default=0.1
        For "gap": share of the texts, drawn class by class, that are not trained on.

    stop_epoch : float, default=1.0
        For "epochs": passes over the data; 0 is before any training.

    max_epochs : int, default=5
        Passes over the data after which training stops in any case. The learning rate
        falls linearly to 0 over them.

    evaluations_per_epoch : int or "auto", default="auto"
        How often losses are measured. "auto": 5 times an epoch, or as
        often as a fifth of the training time allows.

    learning_rate : float or "auto", default="auto"
        Largest learning rate of AdamW; "auto" is 5e-5, and 5e-4 for adapters. Those on
        MiniLM learn faster with 2e-3.

    batch_size : int, default=32
        Texts in a forward pass of the training.

    gradient_accumulation : int, default=1
        Such passes in a training step.

    mixed_precision : {"auto", "bf16", "fp16"} or None, default="auto"
        Precision of products in training; "auto" takes bf16 or fp16 on CUDA. Losses and
        embeddings are read in float32.

    class_weight : None, "balanced" or dict of label to float, default=None
        Weight of each class in the loss; "balanced" makes all classes weigh the same.

    max_length : int, default=None
        Tokens read of a text; None takes what the model can, 512 at most.

    checkpoint_folder : str or path-like, default=None
        Where a checkpoint is kept at each evaluation. A fit that was killed goes on
        from there when it is run again, and gives the same result.

    device : str, default="auto"
        Torch device; "auto" takes cuda, mps or cpu.

    random_state : int, RandomState instance, Generator or None, default=None
        Seed of the head, the order of the samples, dropout, adapters and subsamples.

    verbose : int or bool, default=0
        Whether to show a progress bar over the training steps.

    Attributes
    ----------
    losses_ : ndarray of shape (n_samples,)
        Cross-entropy of each training sample at the early point, in nats.

    logits_ : ndarray of shape (n_samples, n_classes)
        Logits of each training sample at the early point.

    held_out_ : ndarray of shape (n_samples,)
        Whether each sample was held out of the training.

    history_ : list of dict
        One entry an evaluation: `step`, `epoch`, `median_loss` and `mean_loss` in nats,
        `share_fitted` (training samples that are classified as labelled), `n_evaluated`
        (how many were looked at), and with "gap" `validation_loss`. The last entry is
        of all of them.

    early_point_loss_ : float
        For "median-loss": median loss at which the early point is reached, in nats.

    early_point_reached_ : bool
        Whether the early point came before `max_epochs`.

    evaluation_share_ : float
        Time spent on evaluations while training, as a share of the time spent training.

    classes_ : ndarray of shape (n_classes,)
        Labels, in the order of the columns of `logits_`.

    n_truncated_ : int
        Training texts that were longer than `max_length`.

    backbone_, tokenizer_ : PreTrainedModel, PreTrainedTokenizerBase
        The fine-tuned model without its head, for HiddenStateEmbedder.

    n_features_out_ : int
        Length of an embedding.

    Notes
    -----
    Evaluations look at a random subsample of each class, always the same one, of a size
    that keeps them within about a fifth of the training time; at least 100 samples, so
    a small data set evaluated more often than by "auto" costs more. All samples are
    read once, at the end.

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

    def __init__(
        self,
        model=DEFAULT_MODEL,
        *,
        lora=None,
        freeze_layers=0,
        early_point="median-loss",
        loss_drop="auto",
        validation_share=0.1,
        stop_epoch=1.0,
        max_epochs=5,
        evaluations_per_epoch="auto",
        learning_rate="auto",
        batch_size=32,
        gradient_accumulation=1,
        mixed_precision="auto",
        class_weight=None,
        max_length=None,
        checkpoint_folder=None,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.model = model
        self.lora = lora
        self.freeze_layers = freeze_layers
        self.early_point = early_point
        self.loss_drop = loss_drop
        self.validation_share = validation_share
        self.stop_epoch = stop_epoch
        self.max_epochs = max_epochs
        self.evaluations_per_epoch = evaluations_per_epoch
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.gradient_accumulation = gradient_accumulation
        self.mixed_precision = mixed_precision
        self.class_weight = class_weight
        self.max_length = max_length
        self.checkpoint_folder = checkpoint_folder
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, texts, y):
        """Fine-tune the model to the early point.

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
        X = self._tune(texts, y)
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
