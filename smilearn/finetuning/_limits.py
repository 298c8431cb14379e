"""Limits to what one sample does to a model: clipped gradients, noise, fewer passes."""

import warnings
from contextlib import contextmanager
from functools import cache
from numbers import Real

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer, TrainerCallback

from smilearn.exceptions import InvalidInputError
from smilearn.utils._files import digest

_PRIVACY = ("epsilon", "noise_multiplier", "delta", "max_grad_norm")


class SampleLimits:
    """What `fit` is told of each sample: soft labels, clipping, passes; checked."""

    def __init__(self, codes, n_classes, soft_labels=None, clip=None, passes=None):
        self.targets, self.clip, self.passes = codes, None, None
        if soft_labels is not None:
            shape = (len(codes), n_classes)
            self.targets = _checked("soft_labels", soft_labels, shape, most=1.0)
            if not np.allclose(self.targets.sum(1), 1, atol=1e-6):
                raise InvalidInputError("soft_labels must sum to 1 for each sample.")
        if clip is not None:
            self.clip = _checked("clip", clip, codes.shape)
        if passes is not None:
            self.passes = _checked("passes", passes, codes.shape, most=1.0)

    def digest(self):
        """Name what is limited, for a folder of checkpoints."""
        return [None if x is None else digest(x) for x in vars(self).values()]

    def callbacks(self, samples, n_epochs):
        """Give what a Trainer calls, so that samples stay out of later epochs."""
        if self.passes is None:
            return []
        return [FewerPasses(samples, self.passes * n_epochs)]


def _checked(name, values, shape, most=np.inf):
    values = np.asarray(values, dtype=np.float64)
    valid = values.shape == shape
    if not valid or not ((values >= 0) & (values <= most)).all():
        got = f"shape {values.shape}"
        if valid:
            got = (
                "NaN" if np.isnan(values).any() else f"{values.min()} to {values.max()}"
            )
        raise InvalidInputError(
            f"{name} must be of shape {shape}, with values of 0 to {most:g}; got {got}."
        )
    return values


class FewerPasses(TrainerCallback):
    """Give samples no weight from the epoch on that is one too many for them."""

    def __init__(self, samples, n_epochs):
        self.samples, self.weights, self.n_epochs = samples, samples.weights, n_epochs

    def on_epoch_begin(self, args, state, control, **kwargs):
        """Set the weights of the epoch, after a restart too."""
        due = self.n_epochs > int(state.epoch + 1e-6)
        self.samples.weights = np.where(due, self.weights, 0.0)


def privacy_settings(privacy, n_samples, batch_size, n_epochs):
    """Full settings of what a user gives for `privacy`.

    `noise_multiplier` is what the accountant asks for so that `epsilon` is kept to.
    """
    asked = privacy if isinstance(privacy, dict) else {"epsilon": privacy}
    unknown = sorted(set(asked) - set(_PRIVACY))
    if unknown:
        raise InvalidInputError(
            f"privacy has no setting {unknown[0]!r}; settings are: "
            f"{', '.join(_PRIVACY)}."
        )
    if ("epsilon" in asked) == ("noise_multiplier" in asked):
        raise InvalidInputError(
            f"privacy must have one of epsilon and noise_multiplier; got {privacy!r}."
        )
    settings = {"delta": 0.1 / n_samples, "max_grad_norm": 1.0, **asked}
    for name, value in settings.items():
        least_is_valid = name == "noise_multiplier" and value == 0
        most = 1 if name == "delta" else np.inf
        if not isinstance(value, Real) or not (0 < value < most or least_is_valid):
            least = "0 or more" if name == "noise_multiplier" else "above 0"
            raise InvalidInputError(
                f"privacy: {name} must be {least} and below {most}; got {value!r}."
            )
    n_batches = -(-n_samples // batch_size)
    settings["sample_rate"] = rate = 1 / n_batches
    if "epsilon" in asked:
        epsilon, delta = settings.pop("epsilon"), settings["delta"]
        noise = noise_for(epsilon, delta, rate, n_batches * n_epochs)
        settings["noise_multiplier"] = noise
    return settings


@cache
def noise_for(epsilon, delta, rate, n_steps):
    """Least noise multiplier that keeps to epsilon, by the accountant of opacus."""
    from opacus.accountants.utils import get_noise_multiplier

    budget = {"target_epsilon": epsilon, "target_delta": delta}
    try:
        with _quiet_accountant():
            return get_noise_multiplier(
                **budget, sample_rate=rate, steps=n_steps, accountant="prv"
            )
    except ValueError as error:
        raise InvalidInputError(
            f"privacy: no noise keeps to epsilon={epsilon:g} at delta={delta:g} "
            f"({error}). Raise epsilon."
        ) from error


def spent(settings, n_steps):
    """Epsilon of so many steps by the accountant; infinity without noise."""
    if settings is None or settings["noise_multiplier"] == 0:
        return np.inf
    if n_steps == 0:
        return 0.0
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    noise, rate = settings["noise_multiplier"], settings["sample_rate"]
    accountant.history = [(noise, rate, n_steps)]
    with _quiet_accountant():
        return float(accountant.get_epsilon(settings["delta"]))


@contextmanager
def _quiet_accountant():
    """Hide a warning of the bound from which the exact one is searched."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Optimal order is the largest alpha")
        yield


class PoissonBatches(Sampler):
    """Batches in which each row is with the same chance, whoever else is."""

    def __init__(self, n_rows, rate, seed):
        self.n_rows, self.rate, self.seed, self.epoch = n_rows, rate, seed, 0

    def __len__(self):
        return round(1 / self.rate)

    def __iter__(self):
        rng = np.random.default_rng([self.seed, 5, self.epoch])
        for _ in range(len(self)):
            yield np.flatnonzero(rng.random(self.n_rows) < self.rate).tolist()


class LimitedTrainer(Trainer):
    """A Trainer whose steps clip the gradient of each sample.

    With `privacy` to one norm, with noise and Poisson batches (DP-SGD); else to `clip`
    of the sample times the median norm in its batch.
    """

    def __init__(self, *args, privacy=None, **kwargs):
        self.privacy, self.poisson = privacy, None
        super().__init__(*args, **kwargs)
        if privacy:
            n_rows, rate = len(self.train_dataset), privacy["sample_rate"]
            self.poisson = PoissonBatches(n_rows, rate, self.args.seed)
        self.limits = GradientLimits(self)
        self.add_callback(self.limits)

    def get_train_dataloader(self):
        """Give batches of Poisson sampling, where the accountant counts on them."""
        if self.poisson is None:
            return super().get_train_dataloader()
        return DataLoader(
            self.train_dataset,
            batch_sampler=self.poisson,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )

    def compute_loss(self, model, inputs, *args, **kwargs):
        """Note the limits of the batch, which are no input of the model."""
        self.limits.clip = inputs.pop("clip", None)
        self.limits.n_rows = len(inputs["input_ids"])
        return super().compute_loss(model, inputs, *args, **kwargs)


class GradientLimits(TrainerCallback):
    """Put clipped and noisy gradients in the place of those of a batch, by opacus."""

    def __init__(self, trainer):
        self.trainer, self.clipper, self.clip = trainer, None, None
        self.n_rows, self.removed = 0, []

    def on_train_begin(self, args, state, control, **kwargs):
        """Let the model note gradients of each sample."""
        from opacus.grad_sample.grad_sample_module import GradSampleHooks

        network = self.trainer.model
        for module in network.modules():
            if isinstance(module, nn.Embedding) and module.weight.requires_grad:
                self.removed.append(module.register_forward_pre_hook(self._for_each))
        self.hooks = GradSampleHooks(network, strict=False)

    def on_epoch_begin(self, args, state, control, **kwargs):
        """Tell the sampler which epoch it is, after a restart too."""
        if self.trainer.poisson is not None:
            self.trainer.poisson.epoch = int(state.epoch + 1e-6)

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        """Clip, add noise, and leave the mean as the gradient."""
        if self.clipper is None:
            self.clipper = self._make_clipper()
        clipper = self.clipper
        self._check(clipper.params)
        if self.trainer.privacy:
            clipper.pre_step()
            return
        norms = [grads.flatten(1).norm(dim=1) for grads in clipper.grad_samples]
        norms = torch.stack(norms, 1).norm(dim=1)
        most = self.clip * norms.median()
        clipper.max_grad_norm = torch.where(self.clip.isinf(), torch.inf, most)
        clipper.clip_and_accumulate()
        for weight in clipper.params:
            weight.grad = weight.summed_grad / self.n_rows
        if args.max_grad_norm > 0:
            nn.utils.clip_grad_norm_(clipper.params, args.max_grad_norm)

    def on_optimizer_step(self, args, state, control, **kwargs):
        """Forget the gradients of the samples."""
        self.clipper.zero_grad(set_to_none=True)

    def on_train_end(self, args, state, control, **kwargs):
        """Leave the model as it was found."""
        self.hooks.cleanup()
        for hook in self.removed:
            hook.remove()

    def _make_clipper(self):
        """An optimizer of opacus that is asked for gradients alone, not for steps."""
        from opacus.optimizers import DPOptimizer

        trainer = self.trainer
        privacy = trainer.privacy or {"noise_multiplier": 0, "max_grad_norm": 1.0}
        rate = privacy.get("sample_rate", 1.0)
        weights = trainer.model.parameters()
        return DPOptimizer(
            torch.optim.SGD([p for p in weights if p.grad is not None]),
            noise_multiplier=privacy["noise_multiplier"],
            max_grad_norm=privacy["max_grad_norm"],
            expected_batch_size=rate * len(trainer.train_dataset),
        )

    def _check(self, weights):
        """Refuse a model in which the gradients of samples cannot be told apart."""
        for weight in weights:
            each = getattr(weight, "grad_sample", None)
            if each is None or len(each) != self.n_rows:
                names = self.trainer.model.named_parameters()
                name = next(name for name, own in names if own is weight)
                raise InvalidInputError(
                    f"The gradient of {name!r} cannot be told for each text, which "
                    "clipping needs. Freeze it (freeze_layers=), or train adapters "
                    "(lora=)."
                )

    def _for_each(self, module, inputs):
        """Look positions up for each text by itself: one row of them serves all."""
        (ids,) = inputs
        if not module.training:
            return inputs
        ids = ids if ids.ndim > 1 else ids[None]
        return (ids.expand(self.n_rows, *ids.shape[1:]) if len(ids) == 1 else ids,)
