"""Limits to what one sample does to a model: clipped gradients, noise, fewer passes."""

import warnings
from contextlib import contextmanager
from functools import cache, cached_property, partial
from numbers import Real

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer, TrainerCallback

from smilearn.exceptions import InvalidInputError
from smilearn.utils._files import digest

_MOST = 100.0  # epsilon; more protects nothing
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
        due = self.n_epochs - 1e-9 > int(state.epoch + 1e-6)
        self.samples.weights = np.where(due, self.weights, 0.0)


def privacy_settings(privacy, n_samples, batch_size, n_epochs):
    """Full settings of `privacy`: of an epsilon, the noise that keeps to it."""
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
    most = {"delta": 1 / n_samples, "epsilon": _MOST}
    for name, value in settings.items():
        may_be_0, high = name == "noise_multiplier", most.get(name, np.inf)
        valid = isinstance(value, Real) and 0 <= value < high
        if not valid or (value == 0 and not may_be_0):
            raise InvalidInputError(
                f"privacy: {name} must be {'0 or more' if may_be_0 else 'above 0'} and "
                f"below {high:g}; got {value!r}."
            )
    n_batches = -(-n_samples // batch_size)
    settings["sample_rate"] = rate = 1 / n_batches
    try:
        if "epsilon" in asked:
            epsilon, delta = settings.pop("epsilon"), settings["delta"]
            noise = noise_for(epsilon, delta, rate, n_batches * n_epochs)
            settings["noise_multiplier"] = noise
        spent(settings, n_batches * n_epochs)  # before the work
    except (ValueError, RuntimeError, MemoryError) as error:
        raise InvalidInputError(
            "privacy: the accountant of opacus cannot tell noise and epsilon of "
            f"{asked} ({error}). Raise epsilon, or the noise."
        ) from error
    return settings


@cache
def noise_for(epsilon, delta, rate, n_steps):
    """Least noise multiplier that keeps to epsilon, by the accountant of opacus."""
    from opacus.accountants.utils import get_noise_multiplier

    with _quiet_accountant():
        return get_noise_multiplier(
            target_epsilon=epsilon,
            target_delta=delta,
            sample_rate=rate,
            steps=n_steps,
            epsilon_tolerance=epsilon / 1_000,
            accountant="prv",
        )


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
        return max(float(accountant.get_epsilon(settings["delta"])), 0.0)


@contextmanager
def _quiet_accountant():
    """Hide a warning of the bound from which the exact one is searched."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Optimal order is the")
        warnings.filterwarnings("ignore", "overflow", RuntimeWarning)  # little noise
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
    """A Trainer that clips gradients of samples: by DP-SGD, or to a median norm."""

    def __init__(self, *args, privacy=None, **kwargs):
        self.poisson = None
        super().__init__(*args, **kwargs)
        n_rows = len(self.train_dataset)
        if privacy:
            rate = privacy["sample_rate"]
            self.poisson = PoissonBatches(n_rows, rate, self.args.seed)
        self.limits = GradientLimits(self.model, n_rows, privacy, self.poisson)
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

    def training_step(self, model, inputs, *args, **kwargs):
        """Note the limits of the batch; refuse a model that opacus cannot follow."""
        self.limits.batch = len(inputs["input_ids"]), inputs.pop("clip", None)
        try:
            return super().training_step(model, inputs, *args, **kwargs)
        except (InvalidInputError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # whatever a model does that has no such gradients
            if self.state.global_step:
                raise
            raise not_told(f"{type(error).__name__}: {error}") from error


class GradientLimits(TrainerCallback):
    """Put clipped and noisy gradients in the place of those of a batch, by opacus."""

    def __init__(self, network, n_samples, privacy=None, poisson=None):
        self.network, self.n_samples = network, n_samples
        self.privacy, self.poisson = privacy, poisson
        self.batch, self.weights, self.hooks = None, None, []

    def on_train_begin(self, args, state, control, **kwargs):
        """Let the model note gradients of each sample."""
        from opacus.grad_sample.grad_sample_module import GradSampleHooks

        try:  # opacus refuses a layer in several ways
            self.samples = GradSampleHooks(self.network, strict=False)
        except (AttributeError, NotImplementedError, TypeError) as error:  # of opacus
            raise not_told(f"{type(error).__name__}: {error}") from error
        for name, module in self.network.named_modules():  # not of opacus's copies
            if any(p.requires_grad for p in module.parameters(recurse=False)):
                hook = partial(self._a_row_a_text, name)
                self.hooks.append(module.register_forward_pre_hook(hook))

    def on_epoch_begin(self, args, state, control, **kwargs):
        """Tell the sampler which epoch it is, after a restart too."""
        if self.poisson is not None:
            self.poisson.epoch = int(state.epoch + 1e-6)

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        """Clip, add noise, and leave the mean as the gradient."""
        named = {p: n for n, p in self.network.named_parameters() if p.requires_grad}
        used = [p for p in named if p.grad is not None]
        self.weights = self.weights or used
        for weight in {*used} ^ {*self.weights}:  # would escape the clip and the noise
            raise not_told(f"of {named[weight]!r}, which not every step uses")
        for weight in used:
            each = getattr(weight, "grad_sample", None)
            if each is None or len(each) != self.batch[0]:
                raise not_told(f"of {named[weight]!r}")
        if self.privacy:
            self._clipper.pre_step()
            return
        norms = [weight.grad_sample.flatten(1).norm(dim=1) for weight in used]
        norms, clip = torch.stack(norms, 1).norm(dim=1), self.batch[1]
        most = clip * norms[norms > 0].median() if norms.any() else clip
        factor = (most / (norms + 1e-6)).clamp(max=1) / len(norms)
        for weight in used:
            weight.grad = torch.einsum("i,i...", factor, weight.grad_sample)
        if args.max_grad_norm > 0:
            nn.utils.clip_grad_norm_(used, args.max_grad_norm)

    def on_optimizer_step(self, args, state, control, **kwargs):
        """Forget the gradients of the samples."""
        for weight in self.weights:
            weight.grad_sample = weight.summed_grad = None

    def on_train_end(self, args, state, control, **kwargs):
        """Leave the model as it was found."""
        self.samples.cleanup()
        for hook in self.hooks:
            hook.remove()
        for weight in self.weights or ():
            vars(weight).pop("summed_grad", None)

    @cached_property
    def _clipper(self):
        """An optimizer of opacus that is asked for gradients alone, not for steps."""
        from opacus.optimizers import DPOptimizer

        return DPOptimizer(
            torch.optim.SGD(self.weights),
            noise_multiplier=self.privacy["noise_multiplier"],
            max_grad_norm=self.privacy["max_grad_norm"],
            expected_batch_size=self.privacy["sample_rate"] * self.n_samples,
        )

    def _a_row_a_text(self, name, module, inputs):
        """See that a module gets a row a text; positions are repeated for each."""
        if not (module.training and torch.is_grad_enabled()):
            return None
        n_rows, (first, *others) = self.batch[0], inputs or (None,)
        if isinstance(module, nn.Embedding):
            first = first if first.ndim > 1 else first[None]
            first = first.expand(n_rows, *first.shape[1:]) if len(first) == 1 else first
        if first is None or len(first) != n_rows:
            raise not_told(f"of {name!r}, which is run on something else than texts")
        return (first, *others)


def not_told(reason):
    """Error for a model in which the gradients of texts cannot be told apart."""
    return InvalidInputError(
        f"Clipping needs the gradient of each text, which cannot be told ({reason}). "
        "Train adapters (lora=), or freeze what is shared (freeze_layers=); else take "
        "another model."
    )
