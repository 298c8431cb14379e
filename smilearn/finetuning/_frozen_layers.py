"""Which layers are trained: lower ones are frozen, and low-rank adapters."""

import copy
from contextlib import contextmanager
from numbers import Integral, Real

import torch
from torch import nn

from smilearn.exceptions import InvalidInputError
from smilearn.utils._optional import require


class FrozenLayers:
    """The embeddings and the lowest layers of a model: frozen, in eval mode for good"""

    def __init__(self, backbone, n_layers):
        layers = layers_of(backbone)
        if n_layers > len(layers):
            raise InvalidInputError(
                f"freeze_layers={n_layers} is more than the {len(layers)} layers of "
                f"the {type(backbone).__name__}. Take {len(layers)} or fewer."
            )
        self.layers, self.upper = layers[:n_layers], layers[n_layers:]
        before, after, self.n_outputs = self._run_order(backbone)
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
        outputs = []
        hook = self.layers[-1].register_forward_hook(
            lambda module, args, output: outputs.append(_tensor(output))
        )
        with hook, _bypassed(self.upper, self.n_outputs):
            run(backbone, input_ids, attention_mask)
        return outputs[0]

    def replaced_by(self, hidden):
        """Within this, the model takes stored states for the output of these layers."""
        return _bypassed(self.layers, self.n_outputs, hidden)

    def _run_order(self, backbone):
        """Modules up to the last frozen layer, those after it, number of outputs."""
        before, after, n_outputs = set(), set(), []

        def end(module, args, output):
            n_outputs.append(len(output) if isinstance(output, tuple) else 0)
            if _tensor(output).shape[:2] != token.shape:
                raise InvalidInputError(
                    f"The layers of the {type(backbone).__name__} do not hand on one "
                    "state a token, text by text; none can be frozen. Set "
                    "freeze_layers=0."
                )

        def note(module, *_):
            (after if n_outputs else before).add(module)

        leaves = [module for module in backbone.modules() if not any(module.children())]
        hooks = [leaf.register_forward_pre_hook(note) for leaf in leaves]
        hooks.append(self.layers[-1].register_forward_hook(end))
        training = backbone.training
        backbone.eval()
        token = torch.zeros(1, 2, dtype=torch.long, device=backbone.device)
        try:
            with torch.inference_mode():
                run(backbone, token, torch.ones_like(token))
        finally:
            for hook in hooks:
                hook.remove()
            backbone.train(training)
        return before, after, n_outputs[0]


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


def run(backbone, input_ids, attention_mask):
    """Run a model without a cache of its states."""
    options = {"use_cache": False} if hasattr(backbone.config, "use_cache") else {}
    return backbone(input_ids=input_ids, attention_mask=attention_mask, **options)


def _tensor(output):
    return output[0] if isinstance(output, tuple) else output


@contextmanager
def _bypassed(layers, n_outputs, hidden=None):
    """Let layers return their input; the last one `hidden`, where there is one."""

    def output(states):
        return (states, *[None] * (n_outputs - 1)) if n_outputs else states

    def pass_on(*args, **kwargs):
        return output(args[0] if args else kwargs["hidden_states"])

    for layer in layers:
        layer.forward = pass_on
    if hidden is not None:
        layers[-1].forward = lambda *args, **kwargs: output(hidden)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


_LORA = {"rank": 16, "alpha": None, "dropout": 0.0, "target_modules": None}


def lora_settings(lora):
    """Full settings of what a user gives for `lora`; None without adapters."""
    if lora is None or lora is False:
        return None
    asked = {} if lora is True else lora if isinstance(lora, dict) else {"rank": lora}
    unknown = sorted(set(asked) - set(_LORA))
    if unknown:
        raise InvalidInputError(
            f"lora has no setting {unknown[0]!r}; settings are: {', '.join(_LORA)}."
        )
    settings = {**_LORA, **asked}
    if isinstance(settings["target_modules"], str):
        settings["target_modules"] = [settings["target_modules"]]
    rank, alpha, dropout = settings["rank"], settings["alpha"], settings["dropout"]
    for name, expected, valid in (
        ("rank", "an int >= 1", isinstance(rank, Integral) and rank >= 1),
        ("alpha", "above 0", alpha is None or (isinstance(alpha, Real) and alpha > 0)),
        ("dropout", "in [0, 1)", isinstance(dropout, Real) and 0 <= dropout < 1),
    ):
        if not valid:
            raise InvalidInputError(
                f"lora: {name} must be {expected}; got {settings[name]!r}."
            )
    return settings if alpha is not None else {**settings, "alpha": 2 * rank}


def add_lora(backbone, settings, n_frozen, caller):
    """Put adapters into a model, and freeze everything else of it."""
    peft = require("peft", extra="finetune", caller=f"{caller}(lora=...)")
    modules = {m for layer in layers_of(backbone)[n_frozen:] for m in layer.modules()}
    maps = {
        name: module
        for name, module in backbone.named_modules()
        if module in modules and type(module).__name__ in ("Linear", "Conv1D")
    }
    if not maps:
        raise InvalidInputError(
            f"freeze_layers={n_frozen} leaves no layer for adapters. Freeze fewer, or "
            "set lora=None."
        )
    kinds = {name.rpartition(".")[2] for name in maps}
    usual = peft.utils.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    usual = kinds.intersection(usual.get(backbone.config.model_type, ()))
    targets = settings["target_modules"] or usual or kinds
    missing = [target for target in targets if target not in kinds]
    if missing:
        raise InvalidInputError(
            f"lora: no linear map of the {type(backbone).__name__} that is trained is "
            f"called {missing[0]!r}; its maps are: {', '.join(sorted(kinds))}."
        )
    names = [name for name in maps if name.rpartition(".")[2] in targets]
    config = peft.LoraConfig(
        r=settings["rank"],
        lora_alpha=settings["alpha"],
        lora_dropout=settings["dropout"],
        target_modules=names,
        fan_in_fan_out=type(maps[names[0]]).__name__ == "Conv1D",
    )
    peft.inject_adapter_in_model(config, backbone)


def merged(model):
    """A copy of a model whose adapters are part of its weights."""
    model = copy.deepcopy(model)
    for name, module in list(model.named_modules()):
        if hasattr(module, "base_layer"):
            module.merge()
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, module.get_base_layer())
    return model.requires_grad_(True)
