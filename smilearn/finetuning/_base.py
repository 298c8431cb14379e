"""What both fine-tuned estimators do: texts in, a trained network out."""

import copy
import os
import warnings
from numbers import Integral, Real
from typing import ClassVar

import numpy as np

from smilearn.embedding._pretrained import load_backbone, quiet_transformers
from smilearn.exceptions import EarlyPointWarning, InvalidInputError
from smilearn.finetuning._early_point import NEW_HEAD_DROP, RULES, EarlyPoint
from smilearn.utils._callbacks import FitTasks
from smilearn.utils._devices import resolve_device
from smilearn.utils._files import RunFolder, digest
from smilearn.utils._optional import require
from smilearn.utils._random import generator_from, stratified_rows
from smilearn.utils._sklearn_compat import Interval, StrOptions
from smilearn.utils._validation import check_labelled_texts, check_texts, warn_truncated
from smilearn.utils._weights import loss_weights

_POSITIVE = Interval(Integral, 1, None, closed="left")
_NOT_IN_RESULT = {"checkpoint_folder", "device", "random_state", "verbose"}
_RATES = {"whole": 5e-5, "lora": 5e-4}


class FineTuning(FitTasks):
    """Training, reading and keeping of a network; the estimators add their contract."""

    _parameter_constraints: ClassVar[dict] = {
        "model": [str, os.PathLike],
        "lora": [None, "boolean", _POSITIVE, dict],
        "freeze_layers": [Interval(Integral, 0, None, closed="left")],
        "early_point": [StrOptions(set(RULES)), None],
        "loss_drop": [Interval(Real, 0, 1, closed="neither"), StrOptions({"auto"})],
        "validation_share": [Interval(Real, 0, 1, closed="neither")],
        "stop_epoch": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [_POSITIVE],
        "evaluations_per_epoch": [_POSITIVE, StrOptions({"auto"})],
        "learning_rate": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"auto"}),
        ],
        "batch_size": [_POSITIVE],
        "gradient_accumulation": [_POSITIVE],
        "mixed_precision": [StrOptions({"auto", "bf16", "fp16"}), None],
        "class_weight": [None, StrOptions({"balanced"}), dict],
        "max_length": [_POSITIVE, None],
        "checkpoint_folder": [str, os.PathLike, None],
        "device": [str],
        "random_state": ["random_state", np.random.Generator],
        "verbose": ["verbose"],
    }

    def _tune(self, texts, y, sample_weight=None):
        """Train, set the fitted attributes, and give the pooled states of all texts."""
        caller = type(self).__name__
        require("accelerate", extra="finetune", caller=caller)
        from smilearn.finetuning import _training
        from smilearn.finetuning._network import read

        texts, self.classes_, codes = check_labelled_texts(texts, y)
        self._check_schedule()
        weights = loss_weights(self.class_weight, self.classes_, codes, sample_weight)
        path = self.checkpoint_folder
        folder = None if path is None else RunFolder(path)
        seed = self._seed(folder)
        device = resolve_device(self.device)
        told = {"most": self.max_epochs, "sample_weight": sample_weight}
        told["fitted"] = lambda: {"n_features_out_": network.head.in_features}
        with (
            quiet_transformers(),
            _training.seeded(seed),
            self._fit_task(texts, self.classes_[codes], **told) as follow,
        ):
            network = self._network_for(len(self.classes_), caller).to(device)
            samples = self._samples(texts, network)
            held_out = self._held_out(codes, seed)
            if folder:
                folder.claim(self._facts(network, texts, codes, weights, seed))
            if network.lower is not None:
                samples.store(network)
            task = _training.Task(samples, codes, weights, held_out)
            point = self._point()
            self.evaluation_share_ = _training.train_to_early_point(
                network,
                task,
                point,
                self._schedule(_training, device),
                seed=seed,
                device=device,
                verbose=bool(self.verbose),
                folder=folder,
                others=self._epoch_tasks(follow, network),
            )
            pooled, self.logits_ = read(network, samples)
            self._network = network.eval()
        self._note(point, task)
        return pooled

    def _epoch_tasks(self, follow, network):
        if follow.context is None:
            return []
        from smilearn.finetuning._epochs import EpochTasks

        fitted = {
            "_network": network,
            "logits_": np.empty((0, network.head.out_features), np.float32),
            "n_features_out_": network.head.in_features,
        }
        return [EpochTasks(follow, fitted)]

    def _read(self, texts):
        """Pooled states and logits of new texts."""
        from smilearn.finetuning._network import read

        texts = check_texts(texts)
        head = self._network.head
        if not texts:
            shapes = (0, head.in_features), (0, head.out_features)
            return tuple(np.empty(shape, np.float32) for shape in shapes)
        samples = self._samples(texts, self._network)
        warn_truncated(samples.n_truncated, len(texts), self._most_tokens)
        return read(self._network, samples)

    def _samples(self, texts, network):
        from smilearn.embedding._tokens import embedding_rows
        from smilearn.finetuning._training import TextSamples

        n_rows = embedding_rows(network.backbone)
        return TextSamples(texts, self._tokenizer, self._most_tokens, n_rows)

    def _network_for(self, n_classes, caller):
        from smilearn.finetuning._network import (
            LowerLayers,
            PooledClassifier,
            add_lora,
            check_trainable,
            lora_settings,
        )

        settings = lora_settings(self.lora)
        backbone, self._tokenizer, self._most_tokens, is_decoder = load_backbone(
            self.model, self.max_length
        )
        if backbone.config.is_encoder_decoder:
            raise InvalidInputError(
                f"{os.fspath(self.model)!r} is neither an encoder such as BERT nor a "
                "decoder such as Llama, but both; there is no one state of a text."
            )
        lower = None
        if self.freeze_layers:
            lower = LowerLayers(backbone, self.freeze_layers)
        if settings:
            add_lora(backbone, settings, n_frozen=self.freeze_layers, caller=caller)
        else:
            check_trainable(backbone, self.freeze_layers)
        return PooledClassifier(backbone, n_classes, is_decoder=is_decoder, lower=lower)

    def _check_schedule(self):
        if self.early_point == "epochs" and self.stop_epoch > self.max_epochs:
            raise InvalidInputError(
                f"stop_epoch={self.stop_epoch} comes after max_epochs="
                f"{self.max_epochs}. Raise max_epochs."
            )

    def _held_out(self, codes, seed):
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

    def _point(self):
        drop = NEW_HEAD_DROP if self.loss_drop == "auto" else self.loss_drop
        return EarlyPoint(self.early_point, loss_drop=drop, stop_epoch=self.stop_epoch)

    def _schedule(self, training, device):
        rate = self.learning_rate
        if rate == "auto":
            rate = _RATES["whole" if self.lora in (None, False) else "lora"]
        per_epoch = self.evaluations_per_epoch
        if per_epoch == "auto" and self.early_point is None:
            per_epoch = 1
        return training.Schedule(
            self.max_epochs,
            per_epoch,
            rate,
            self.batch_size,
            self.gradient_accumulation,
            self._precision(device),
        )

    def _precision(self, device):
        if self.mixed_precision == "auto":
            import torch

            if device.type != "cuda":
                return None
            return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        if self.mixed_precision == "fp16" and device.type != "cuda":
            raise InvalidInputError(
                f'mixed_precision="fp16" needs CUDA; got {device}. Take "auto".'
            )
        return self.mixed_precision

    def _seed(self, folder):
        """Seed of the run; of the run in the folder, where the user names none."""
        if folder and self.random_state is None and folder.seed() is not None:
            return folder.seed()
        return int(generator_from(self.random_state, "fine-tune").integers(2**31))

    def _facts(self, network, texts, codes, weights, seed):
        """What the result depends on, for the folder of checkpoints."""
        from smilearn.embedding._fingerprints import model_fingerprint

        parameters = {
            name: os.fspath(value) if isinstance(value, os.PathLike) else repr(value)
            for name, value in self.get_params(deep=False).items()
            if name not in _NOT_IN_RESULT
        }
        return {
            **parameters,
            "seed": seed,
            "texts": digest(texts),
            "labels": digest(codes, self.classes_),
            "weights": digest(weights),
            "pretrained_weights": model_fingerprint(network.backbone),
            "caller": type(self).__name__,
        }

    def _note(self, point, task):
        """Set the attributes that tell what the training was like."""
        from smilearn.finetuning._network import losses_and_correct

        self.losses_, correct = losses_and_correct(self.logits_, task.codes)
        self.held_out_ = task.held_out
        trained = ~task.held_out
        last = point.history[-1]
        if last["n_evaluated"] < trained.sum():
            held_out = self.losses_[task.held_out] if task.held_out.any() else None
            point.note(
                last["step"],
                last["epoch"],
                self.losses_[trained],
                correct[trained],
                held_out,
            )
        self.history_, self.early_point_reached_ = point.history, bool(point.reached)
        self.early_point_loss_ = float(point.threshold)
        self.n_truncated_ = task.texts.n_truncated
        warn_truncated(self.n_truncated_, len(self.losses_), self._most_tokens)
        if self.early_point is not None and not self.early_point_reached_:
            self._warn_not_reached(point)

    def _warn_not_reached(self, point):
        last = point.history[-1]
        facts = (
            f"mean loss {last['mean_loss']:.3f}, of held-out texts "
            f"{last.get('validation_loss', np.nan):.3f}. Raise max_epochs or "
            "learning_rate"
        )
        if self.early_point == "median-loss":
            facts = (
                f"median loss {last['median_loss']:.3f}, early point at "
                f"{point.threshold:.3f}. Raise max_epochs or learning_rate, or lower "
                "loss_drop"
            )
        warnings.warn(
            f"max_epochs={self.max_epochs} passed before the early point: {facts}; "
            "the result is that of the last step.",
            EarlyPointWarning,
            stacklevel=5,
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
