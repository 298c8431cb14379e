"""What both fine-tuned estimators share: parameters, their documentation, the fit."""

import copy
import inspect
import os
import re
import tempfile
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from transformers import TrainingArguments

from smilearn.embedding._fingerprints import model_fingerprint
from smilearn.embedding._pretrained import (
    DEFAULT_MODEL,
    load_backbone,
    quiet_transformers,
)
from smilearn.embedding._tokens import embedding_rows
from smilearn.exceptions import EarlyPointWarning, InvalidInputError
from smilearn.finetuning._early_point import POINT_CONSTRAINTS, EarlyPoint
from smilearn.finetuning._frozen_layers import FrozenLayers, add_lora, lora_settings
from smilearn.finetuning._limits import SampleLimits, privacy_settings, spent
from smilearn.finetuning._network import (
    PooledClassifier,
    StandardClassifier,
    losses_and_correct,
    read,
)
from smilearn.finetuning._training import (
    EpochTasks,
    TextSamples,
    loss_weights,
    seeded,
    train,
)
from smilearn.utils._callbacks import FitTasks
from smilearn.utils._devices import resolve_device
from smilearn.utils._documentation import Documented
from smilearn.utils._files import RunFolder, digest
from smilearn.utils._labels import check_labelled_texts
from smilearn.utils._optional import require
from smilearn.utils._random import generator_from, stratified_rows
from smilearn.utils._sklearn_compat import Interval, StrOptions, check_sample_weight
from smilearn.utils._validation import check_texts, warn_truncated
from smilearn.utils._warnings import warn

_POSITIVE = Interval(Integral, 1, None, closed="left")
_AUTO = StrOptions({"auto"})
_NO_SCALING = ("auto", "bf16", None)  # of gradients, which fp16 needs
_NOT_IN_RESULT = {
    "checkpoint_folder",
    "device",
    "local_files_only",
    "random_state",
    "verbose",
}


class FineTuning(FitTasks, Documented, BaseEstimator):
    """Fine-tune a language model with a new head on labelled texts.

    The model gets a new head, and is trained on the labelled texts through
    ``transformers.Trainer``.

    Parameters
    ----------
    model : str or path-like, default="sentence-transformers/all-MiniLM-L6-v2"
        An encoder or decoder: a folder or a name on the Hugging Face Hub. The default
        is read from the package of the extra ``demo`` where that is installed.

    head : {"linear", "standard"}, default="linear"
        "linear": a linear map of the mean of the last hidden states over real tokens
        (encoders) or of that of the last real token (decoders). "standard": the head
        that ``AutoModelForSequenceClassification`` has for this kind of model, such as
        one on the first token, so that the result is a model of transformers.

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
        often as a fifth of the training time allows; without `early_point` once.

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

    privacy : None, float or dict, default=None
        Differentially private training, DP-SGD [2]_ (needs opacus, extra ``privacy``):
        the gradient of each sample is clipped, noise is added, and batches are drawn
        sample by sample. A float is the largest epsilon; a dict has `epsilon` or
        `noise_multiplier` (0: clipping alone, without a guarantee), and any of `delta`
        (default: ``0.1 / n_samples``) and `max_grad_norm` (1.0). Not with an early
        point that is read from losses, which are not private. The guarantee is for one
        sample in the texts and labels of `fit`, not for what else was made from them,
        such as weights or a filter, and holds while `random_state` is a secret: None
        draws one.

    max_length : int, default=None
        Tokens read of a text; None takes what the model can, 512 at most.

    checkpoint_folder : str or path-like, default=None
        Where a checkpoint is kept at each evaluation. A fit that was killed goes on
        from there when it is run again, and gives the same result.

    device : str, default="auto"
        Torch device; "auto" takes cuda, mps or cpu.

    local_files_only : bool, default=False
        Whether to leave the Hub alone.

    revision : str, default=None
        Branch, tag or commit of `model` on the Hub.

    trust_remote_code : bool, default=False
        Whether to run Python code that comes with the model.

    random_state : int, RandomState instance, Generator or None, default=None
        Seed of the head, the order of the samples, dropout, adapters and subsamples.

    verbose : int or bool, default=0
        Whether to show a progress bar over the training steps.

    Attributes
    ----------
    losses_ : ndarray of shape (n_samples,)
        Cross-entropy of each training sample after the last step, in nats.

    logits_ : ndarray of shape (n_samples, n_classes)
        Logits of each training sample after the last step.

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

    epsilon_ : float
        What `privacy` has spent by the accountant of opacus, at the delta of
        `privacy_`; infinite without noise. It holds for the model, not for `losses_`,
        `logits_` and `history_`, which are read from the training samples.

    privacy_ : dict or None
        `noise_multiplier`, `max_grad_norm`, `delta` and `sample_rate` of that training.

    classes_ : ndarray of shape (n_classes,)
        Labels, in the order of the columns of `logits_`.

    n_truncated_ : int
        Training texts that were longer than `max_length`.

    backbone_, tokenizer_ : PreTrainedModel, PreTrainedTokenizerBase
        The fine-tuned model without its head, for HiddenStateEmbedder.

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

    .. [2] M. Abadi et al., "Deep learning with differential privacy", CCS, 2016.
    """

    _parameter_constraints: ClassVar[dict] = {
        "model": [str, os.PathLike],
        "head": [StrOptions({"linear", "standard"})],
        "lora": [None, "boolean", _POSITIVE, dict],
        "freeze_layers": [Interval(Integral, 0, None, closed="left")],
        "early_point": [*POINT_CONSTRAINTS["rule"], None],
        "loss_drop": POINT_CONSTRAINTS["loss_drop"],
        "validation_share": [Interval(Real, 0, 1, closed="neither")],
        "stop_epoch": POINT_CONSTRAINTS["stop_epoch"],
        "max_epochs": [_POSITIVE],
        "evaluations_per_epoch": [_POSITIVE, _AUTO],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), _AUTO],
        "batch_size": [_POSITIVE],
        "gradient_accumulation": [_POSITIVE],
        "mixed_precision": [StrOptions({"auto", "bf16", "fp16"}), None],
        "class_weight": [None, StrOptions({"balanced"}), dict],
        "privacy": [Interval(Real, 0, None, closed="neither"), dict, None],
        "max_length": [_POSITIVE, None],
        "checkpoint_folder": [str, os.PathLike, None],
        "device": [str],
        "local_files_only": ["boolean"],
        "revision": [str, None],
        "trust_remote_code": ["boolean"],
        "random_state": ["random_state", np.random.Generator],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model=DEFAULT_MODEL,
        *,
        head="linear",
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
        privacy=None,
        max_length=None,
        checkpoint_folder=None,
        device="auto",
        local_files_only=False,
        revision=None,
        trust_remote_code=False,
        random_state=None,
        verbose=0,
    ):
        self.model = model
        self.head = head
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
        self.privacy = privacy
        self.max_length = max_length
        self.checkpoint_folder = checkpoint_folder
        self.device = device
        self.local_files_only = local_files_only
        self.revision = revision
        self.trust_remote_code = trust_remote_code
        self.random_state = random_state
        self.verbose = verbose

    def _tune(self, texts, y, sample_weight=None, **per_sample):
        """Train, set the fitted attributes, and return the pooled states of texts."""
        require("accelerate", extra="finetune", caller=type(self).__name__)
        texts, self.classes_, codes = check_labelled_texts(texts, y)
        if sample_weight is not None:
            rows = np.empty((len(texts), 1))
            sample_weight = check_sample_weight(
                sample_weight, rows, ensure_non_negative=True
            )
        limits = SampleLimits(codes, len(self.classes_), **per_sample)
        privacy = self._private(len(codes), limits.clip is not None)
        if self.early_point == "epochs" and self.stop_epoch > self.max_epochs:
            raise InvalidInputError(
                f"stop_epoch={self.stop_epoch} comes after max_epochs="
                f"{self.max_epochs}. Raise max_epochs."
            )
        given = self.class_weight, self.classes_, codes, sample_weight
        weights = loss_weights(*given, private=privacy is not None)
        folder, seed = folder_and_seed(self, "fine-tune")
        device = resolve_device(self.device)
        point = EarlyPoint(self.early_point, self.loss_drop, self.stop_epoch)
        facts = {"most": self.max_epochs, "sample_weight": sample_weight}
        facts["fitted"] = lambda: {"n_features_out_": network.width}
        with (
            quiet_transformers(),
            tempfile.TemporaryDirectory() as temporary,
            seeded(seed),
            self._fit_task(texts, self.classes_[codes], **facts) as fit_task,
        ):
            network = self._make_network(len(self.classes_)).to(device)
            self.held_out_ = self._hold_out(codes, seed)
            samples = self._samples(
                texts,
                network,
                codes=codes,
                targets=limits.targets,
                weights=weights,
                clip=limits.clip,
                held_out=self.held_out_,
            )
            if folder:
                facts = self._facts(network, texts, codes, weights, seed)
                folder.claim(facts | {"limits": limits.digest()})
            callbacks = limits.callbacks(samples, self.max_epochs)
            if fit_task.context is not None:
                callbacks.append(EpochTasks(fit_task, network))
            if network.frozen is not None:
                samples.store(network)
            self.evaluation_share_ = train(
                network,
                samples,
                point,
                self._arguments(
                    folder.path if folder else temporary,
                    device,
                    seed,
                    limited=bool(privacy) or limits.clip is not None,
                ),
                self.evaluations_per_epoch,
                folder,
                callbacks,
                privacy,
            )
            pooled, self.logits_ = read(network, samples)
            self._network = network.eval()
        self._note(point, samples)
        self.privacy_ = privacy
        self.epsilon_ = spent(privacy, self.history_[-1]["step"])
        return pooled

    def _private(self, n_samples, clips):
        """Settings of private training, None without; checks what clipping needs."""
        if not clips and self.privacy is None:
            return None
        require("opacus", extra="privacy", caller="Clipping of gradients")
        needed = {"gradient_accumulation": (1,), "mixed_precision": _NO_SCALING}
        if self.privacy is not None:
            needed["early_point"] = (None, "epochs")
        for name, values in needed.items():
            if getattr(self, name) not in values:
                raise InvalidInputError(
                    f"{'clip' if self.privacy is None else 'privacy'} needs {name}="
                    f"{' or '.join(map(repr, values))}; got {getattr(self, name)!r}."
                )
        if self.privacy is None:
            return None
        if clips or self.class_weight == "balanced":
            raise InvalidInputError(
                "privacy clips all samples to max_grad_norm, and class sizes are not "
                'private; leave out clip and class_weight="balanced".'
            )
        n_epochs = self.max_epochs
        return privacy_settings(self.privacy, n_samples, self.batch_size, n_epochs)

    def _read(self, texts):
        """Pooled states and logits of new texts."""
        texts = check_texts(texts)
        if not texts:
            widths = self._network.width, self._network.n_classes
            return tuple(np.empty((0, width), np.float32) for width in widths)
        samples = self._samples(texts, self._network)
        warn_truncated(samples.n_truncated, len(texts), self._most_tokens)
        return read(self._network, samples)

    def _samples(self, texts, network, **labels):
        n_rows = embedding_rows(network.backbone)
        return TextSamples(texts, self._tokenizer, self._most_tokens, n_rows, **labels)

    def _make_network(self, n_classes):
        settings = lora_settings(self.lora)
        backbone, self._tokenizer, self._most_tokens, is_decoder = load_backbone(
            self.model,
            self.max_length,
            revision=self.revision,
            local_files_only=self.local_files_only,
            trust_remote_code=self.trust_remote_code,
        )
        if backbone.config.is_encoder_decoder:
            raise InvalidInputError(
                f"{os.fspath(self.model)!r} is neither an encoder such as BERT nor a "
                "decoder such as Llama, but both; there is no one state of a text."
            )
        n_frozen = self.freeze_layers
        frozen = FrozenLayers(backbone, n_frozen) if n_frozen else None
        if settings:
            add_lora(backbone, settings, n_frozen, type(self).__name__)
        elif not (
            any(weight.requires_grad for weight in backbone.parameters())
            or 0 < backbone.config.num_hidden_layers <= n_frozen
        ):
            raise InvalidInputError(
                f"No weight of the {type(backbone).__name__} can be trained: they are "
                "frozen, or quantized, as they are loaded. Give a model in floating "
                "point, or lora=."
            )
        backbone.config.pad_token_id = self._tokenizer.pad_token_id
        parts = backbone, n_classes, is_decoder, frozen
        if self.head == "linear":
            return PooledClassifier(*parts)
        return StandardClassifier(*parts, self.trust_remote_code)

    def _hold_out(self, codes, seed):
        """Which samples are held out of training, for the rule that needs some."""
        held_out = np.zeros(len(codes), bool)
        if self.early_point != "gap":
            return held_out
        n_rows = round(self.validation_share * len(codes))
        rng = np.random.default_rng([seed, 0])
        held_out[stratified_rows(codes, n_rows, rng, spare=1)] = True
        if not held_out.any():
            raise InvalidInputError(
                f"validation_share={self.validation_share} of {len(codes)} texts holds "
                'none out. Raise it, or take another early_point than "gap".'
            )
        return held_out

    def _arguments(self, path, device, seed, limited):
        rate = self.learning_rate
        if rate == "auto":
            rate = 5e-5 if self.lora in (None, False) else 5e-4
        precision, is_cuda = self.mixed_precision, device.type == "cuda"
        if precision == "fp16" and not is_cuda:
            raise InvalidInputError(
                f'mixed_precision="fp16" needs CUDA; got {device}. Take "auto".'
            )
        if precision == "auto" and is_cuda:
            scaled = None if limited else "fp16"
            precision = "bf16" if torch.cuda.is_bf16_supported() else scaled
        arguments = TrainingArguments(
            output_dir=str(path),
            num_train_epochs=self.max_epochs,
            per_device_train_batch_size=self.batch_size,
            gradient_accumulation_steps=self.gradient_accumulation,
            learning_rate=rate,
            bf16=precision == "bf16",
            fp16=precision == "fp16",
            seed=seed,
            use_cpu=device.type == "cpu",
            disable_tqdm=not self.verbose,
            save_strategy="no",
            save_total_limit=2,
            logging_strategy="no",
            report_to="none",
            remove_unused_columns=False,
            label_names=["labels"],
            dataloader_pin_memory=is_cuda,
        )
        arguments._n_gpu = min(1, arguments.n_gpu)  # stored states go to one device
        return arguments

    def _facts(self, network, texts, codes, weights, seed):
        """What the result depends on, for the folder of checkpoints."""
        return {
            **{
                name: os.fspath(each) if isinstance(each, os.PathLike) else repr(each)
                for name, each in self.get_params(deep=False).items()
                if name not in _NOT_IN_RESULT
            },
            "seed": seed,
            "texts": digest(texts),
            "labels": digest(codes, self.classes_),
            "weights": digest(weights),
            "pretrained_weights": model_fingerprint(network.backbone),
            "caller": type(self).__name__,
        }

    def _note(self, point, samples):
        """Set the attributes that say how the training went, and warn."""
        self.losses_, correct = losses_and_correct(self.logits_, samples.codes)
        held_out, trained = self.held_out_, ~self.held_out_
        last = point.history[-1]
        if last["n_evaluated"] < trained.sum():
            validation = self.losses_[held_out] if held_out.any() else None
            losses, correct = self.losses_[trained], correct[trained]
            point.note(last["step"], last["epoch"], losses, correct, validation)
            last = point.history[-1]
        self.history_, self.early_point_reached_ = point.history, bool(point.reached)
        self.early_point_loss_ = float(point.threshold)
        self.n_truncated_ = samples.n_truncated
        warn_truncated(self.n_truncated_, len(self.losses_), self._most_tokens)
        if self.early_point is None or self.early_point_reached_:
            return
        advice = ", or lower loss_drop" if self.early_point == "median-loss" else ""
        warn(
            f"max_epochs={self.max_epochs} passed before the early point: "
            f"{point.shortfall()}. Raise max_epochs or learning_rate{advice}; the "
            "result is that of the last step.",
            EarlyPointWarning,
        )

    @property
    def backbone_(self):
        """The fine-tuned model without its head."""
        return self._network.backbone

    @property
    def tokenizer_(self):
        """Its tokenizer."""
        return self._tokenizer

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


def folder_and_seed(estimator, purpose):
    """Folder of checkpoints, None without; and the seed, of its run if none is set."""
    path, random_state = estimator.checkpoint_folder, estimator.random_state
    folder = None if path is None else RunFolder(path)
    seed = folder.seed() if folder and random_state is None else None
    if seed is None:
        seed = int(generator_from(random_state, purpose).integers(2**31))
    return folder, seed


def with_shared_docs(estimator):
    """Put the documentation of `FineTuning` into a docstring: it is written once."""
    if estimator.__doc__ is None:  # python -OO
        return estimator
    own, _, examples = inspect.cleandoc(estimator.__doc__).partition("Examples\n")
    summary, _, attributes = own.partition("Attributes\n----------\n")
    shared = inspect.cleandoc(FineTuning.__doc__).partition("\n\n")[2]
    shared = shared.replace("Notes\n-----\n", f"{attributes}Notes\n-----\n")
    parameters = inspect.signature(estimator).parameters
    shared = re.sub(
        r"(?m)^((\w+) : .*default=).*",
        lambda entry: entry[1] + repr(parameters[entry[2]].default).replace("'", '"'),
        shared,
    )
    estimator.__doc__ = f"{summary}{shared}\n\nExamples\n{examples}\n"
    return estimator
