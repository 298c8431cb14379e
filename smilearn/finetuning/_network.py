"""A language model, one vector a text, and a linear head."""

import contextlib
import tempfile
from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np
import torch
from torch import nn

from smilearn.embedding._batches import read_in_batches
from smilearn.embedding._pooling import pool
from smilearn.exceptions import InvalidInputError
from smilearn.utils._optional import require


class PooledClassifier(nn.Module):
    """A backbone, one hidden state a text, a linear head."""

    _keys_to_ignore_on_save = None  # the Trainer asks where a checkpoint has no weight

    def __init__(self, backbone, n_classes, *, is_decoder=False, lower=None):
        super().__init__()
        config = backbone.config
        names = ("hidden_dropout_prob", "dropout", "resid_pdrop", "hidden_dropout")
        rates = [getattr(config, name) for name in names if hasattr(config, name)]
        self.backbone, self.is_decoder, self.lower = backbone, is_decoder, lower
        self.dropout = nn.Dropout(rates[0] if rates else 0.0 if is_decoder else 0.1)
        self.head = nn.Linear(config.hidden_size, n_classes)

    def train(self, mode=True):
        """Set the mode of all but the frozen layers, which stay in eval mode."""
        super().train(mode)
        if self.lower is not None:
            self.lower.set_eval()
        return self

    def state_dict(self, *args, **kwargs):
        """Give what training changes: frozen weights are those of the model on disk."""
        state = super().state_dict(*args, **kwargs)
        frozen = {name for name, p in self.named_parameters() if not p.requires_grad}
        return {name: value for name, value in state.items() if name not in frozen}

    def pooled(self, input_ids, attention_mask, hidden=None):
        """One vector a text, (B, d)."""
        known = contextlib.nullcontext()
        if hidden is not None:
            known = self.lower.replaced_by(hidden)
        options = {}
        if hasattr(self.backbone.config, "use_cache"):
            options["use_cache"] = False
        with known:
            states = self.backbone(
                input_ids=input_ids, attention_mask=attention_mask, **options
            ).last_hidden_state  # (B, T, d)
        return pool("last" if self.is_decoder else "mean", states, attention_mask)

    def forward(self, input_ids, attention_mask, labels, weights, hidden=None):
        """Mean weighted loss, and logits, as the Trainer expects them."""
        pooled = self.pooled(input_ids, attention_mask, hidden)
        logits = self.head(self.dropout(pooled))
        losses = nn.functional.cross_entropy(logits, labels, reduction="none")
        return {"loss": (weights * losses).mean(), "logits": logits}


@torch.inference_mode()
def read(network, texts, rows=None, *, batch_size=64):
    """Pooled hidden states and logits of texts, network in eval mode."""
    rows = np.arange(len(texts)) if rows is None else rows
    training, device = network.training, network.head.weight.device
    network.eval()
    pooled = np.empty((len(rows), network.head.in_features), np.float32)
    logits = np.empty((len(rows), network.head.out_features), np.float32)

    def work(places):
        batch = texts.batch(rows[places])
        hidden = network.pooled(**{name: v.to(device) for name, v in batch.items()})
        return hidden.float().cpu().numpy(), network.head(hidden).float().cpu().numpy()

    lengths = texts.lengths[rows]
    batches = read_in_batches(lengths, work, batch_size=batch_size, device=device)
    for places, (hidden, values) in batches:
        pooled[places], logits[places] = hidden, values
    network.train(training)
    return pooled, logits


def losses_and_correct(logits, codes):
    """Loss of each sample, and whether it is classified as labelled."""
    logs = torch.log_softmax(torch.from_numpy(logits).double(), 1)
    losses = -logs[torch.arange(len(codes)), torch.as_tensor(codes)].numpy()
    return losses, logits.argmax(1) == codes


_MOST_IN_MEMORY = 2**30  # bytes of stored states; more of them go to a file


class LowerLayers:
    """The embeddings and the lowest layers of a model: frozen, in eval mode for good"""

    def __init__(self, backbone, n_layers):
        layers = layers_of(backbone)
        if n_layers > len(layers):
            raise InvalidInputError(
                f"freeze_layers={n_layers} is more than the {len(layers)} layers of "
                f"the {type(backbone).__name__}. Take {len(layers)} or fewer."
            )
        self.layers, self.upper = layers[:n_layers], layers[n_layers:]
        before, after, self.n_outputs = self._used(backbone)
        backbone.requires_grad_(False)
        for module in (*self.upper.modules(), *(after - before)):
            module.requires_grad_(True)
        self.modules = list(before)
        self.set_eval()

    def set_eval(self):
        """Switch the dropout of these layers off."""
        for module in (*self.layers, *self.modules):
            module.eval()

    @torch.inference_mode()
    def states(self, backbone, input_ids, attention_mask):
        """Output of the last frozen layer, (B, T, d); upper layers do not run."""
        found = []
        handle = self.layers[-1].register_forward_hook(
            lambda module, args, output: found.append(_tensor(output))
        )
        try:
            with _bypassed(self.upper, self.n_outputs):
                _run(backbone, input_ids, attention_mask)
        finally:
            handle.remove()
        return found[0]

    @contextmanager
    def replaced_by(self, hidden):
        """Within this, the model takes stored states for the output of these layers."""
        with _bypassed(self.layers, self.n_outputs, hidden):
            yield

    def _used(self, backbone):
        """Modules up to the last frozen layer, those after it, and the output."""
        before, after, passed = set(), set(), []

        def end(module, args, output):
            passed.append(len(output) if isinstance(output, tuple) else 0)
            if _tensor(output).shape[:2] != token.shape:
                raise InvalidInputError(
                    f"The layers of the {type(backbone).__name__} do not hand on one "
                    "state a token, text by text; none can be frozen. Set "
                    "freeze_layers=0."
                )

        def note(module, *_):
            (after if passed else before).add(module)

        leaves = [each for each in backbone.modules() if not any(each.children())]
        handles = [leaf.register_forward_pre_hook(note) for leaf in leaves]
        handles.append(self.layers[-1].register_forward_hook(end))
        training = backbone.training
        backbone.eval()
        token = torch.zeros(1, 2, dtype=torch.long, device=backbone.device)
        try:
            with torch.inference_mode():
                _run(backbone, token, torch.ones_like(token))
        finally:
            for handle in handles:
                handle.remove()
            backbone.train(training)
        return before, after, passed[0]


def layers_of(backbone):
    """The list of layers of an encoder or decoder."""
    n_layers = backbone.config.num_hidden_layers
    for module in backbone.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_layers:
            return module
    raise InvalidInputError(
        f"The {type(backbone).__name__} has no list of {n_layers} layers of its own, "
        "so none can be frozen. Set freeze_layers=0."
    )


def check_trainable(backbone, n_frozen):
    """Refuse a model of which nothing would be trained below its new head."""
    if any(weight.requires_grad for weight in backbone.parameters()):
        return
    if n_frozen and n_frozen >= backbone.config.num_hidden_layers:
        return
    raise InvalidInputError(
        f"No weight of the {type(backbone).__name__} can be trained: they are frozen, "
        "or quantized, as they are loaded. Give a model in floating point, or lora=."
    )


class StoredStates:
    """Hidden states of texts, token after token without padding."""

    def __init__(self, lengths, n_features):
        self.ends = np.cumsum(lengths)
        self.begins = self.ends - lengths
        shape = (int(self.ends[-1]), n_features)
        if 4 * shape[0] * n_features <= _MOST_IN_MEMORY:
            self.values = np.empty(shape, np.float32)
        else:
            file = tempfile.TemporaryFile()  # noqa: SIM115  goes with the map
            self.values = np.memmap(file, np.float32, "w+", shape=shape)

    def put(self, rows, hidden):
        """Keep the states of some texts, (B, T, d), right-padded."""
        for row, states in zip(rows, hidden.float().cpu().numpy(), strict=True):
            begin, end = self.begins[row], self.ends[row]
            self.values[begin:end] = states[: end - begin]

    def get(self, rows, width):
        """Give the states of some texts, padded with 0 to a width: (B, width, d)."""
        padded = torch.zeros(len(rows), width, self.values.shape[1])
        for place, row in enumerate(rows):
            begin, end = self.begins[row], self.ends[row]
            padded[place, : end - begin] = torch.from_numpy(self.values[begin:end])
        return padded


def _run(backbone, input_ids, attention_mask):
    options = {"use_cache": False} if hasattr(backbone.config, "use_cache") else {}
    return backbone(input_ids=input_ids, attention_mask=attention_mask, **options)


def _tensor(output):
    return output[0] if isinstance(output, tuple) else output


@contextmanager
def _bypassed(layers, n_outputs, hidden=None):
    """Let layers hand on what they are given; the last one hands on `hidden`."""

    def reply(states):
        return (states, *[None] * (n_outputs - 1)) if n_outputs else states

    def hand_on(*args, **kwargs):
        return reply(args[0] if args else kwargs["hidden_states"])

    for layer in layers:
        layer.forward = hand_on
    if hidden is not None:
        layers[-1].forward = lambda *args, **kwargs: reply(hidden)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


_DEFAULTS = {"rank": 16, "alpha": None, "dropout": 0.0, "target_modules": None}


def lora_settings(lora):
    """Turn what a user gives for `lora` into a full set of settings."""
    if lora is None or lora is False:
        return None
    given = {} if lora is True else lora if isinstance(lora, dict) else {"rank": lora}
    unknown = sorted(set(given) - set(_DEFAULTS))
    if unknown:
        raise InvalidInputError(
            f"lora has no setting {unknown[0]!r}; settings are: {', '.join(_DEFAULTS)}."
        )
    settings = {**_DEFAULTS, **given}
    if isinstance(settings["target_modules"], str):
        settings["target_modules"] = [settings["target_modules"]]
    rank, alpha, dropout = settings["rank"], settings["alpha"], settings["dropout"]
    usual = alpha is None
    for name, value, valid in (
        ("rank", rank, isinstance(rank, Integral) and rank >= 1),
        ("alpha", alpha, usual or (isinstance(alpha, Real) and alpha > 0)),
        ("dropout", dropout, isinstance(dropout, Real) and 0 <= dropout < 1),
    ):
        if not valid:
            wanted = {"rank": "an int >= 1", "alpha": "above 0", "dropout": "in [0, 1)"}
            raise InvalidInputError(
                f"lora: {name} must be {wanted[name]}; got {value!r}."
            )
    if usual:
        settings["alpha"] = 2 * rank
    return settings


def add_lora(backbone, settings, *, n_frozen, caller):
    """Put adapters into a model, and freeze everything else of it."""
    peft = require("peft", extra="finetune", caller=f"{caller}(lora=...)")
    maps = _linear_maps(backbone, n_frozen)
    if not maps:
        raise InvalidInputError(
            f"freeze_layers={n_frozen} leaves no layer for adapters. Freeze fewer, or "
            "set lora=None."
        )
    wanted = settings["target_modules"] or _usual_targets(peft, backbone, maps)
    known = {name.rpartition(".")[2] for name in maps}
    missing = [name for name in wanted if name not in known]
    if missing:
        raise InvalidInputError(
            f"lora: no linear map of the {type(backbone).__name__} that is trained is "
            f"called {missing[0]!r}; its maps are: {', '.join(sorted(known))}."
        )
    names = [name for name in maps if name.rpartition(".")[2] in wanted]
    config = peft.LoraConfig(
        r=settings["rank"],
        lora_alpha=settings["alpha"],
        lora_dropout=settings["dropout"],
        target_modules=names,
        fan_in_fan_out=type(maps[names[0]]).__name__ == "Conv1D",
    )
    peft.inject_adapter_in_model(config, backbone)


def _linear_maps(backbone, n_frozen):
    """Linear modules of the layers that are not frozen, by their full names."""
    upper = set()
    for layer in layers_of(backbone)[n_frozen:]:
        upper |= set(layer.modules())
    return {
        name: module
        for name, module in backbone.named_modules()
        if module in upper and type(module).__name__ in ("Linear", "Conv1D")
    }


def _usual_targets(peft, backbone, maps):
    """Names that peft takes for this kind of model, else all linear maps."""
    usual = peft.utils.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    known = {name.rpartition(".")[2] for name in maps}
    names = [n for n in usual.get(backbone.config.model_type, ()) if n in known]
    return names or sorted(known)
