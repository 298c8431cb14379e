"""Low-rank adapters in the layers of a model that are trained."""

from numbers import Integral, Real

from smilearn.exceptions import InvalidInputError
from smilearn.finetuning._frozen_layers import layers_of
from smilearn.utils._optional import require

_DEFAULTS = {"rank": 16, "alpha": None, "dropout": 0.0, "target_modules": None}


def lora_settings(lora):
    """Full settings of what a user gives for `lora`; None without adapters."""
    if lora is None or lora is False:
        return None
    asked = {} if lora is True else lora if isinstance(lora, dict) else {"rank": lora}
    unknown = sorted(set(asked) - set(_DEFAULTS))
    if unknown:
        raise InvalidInputError(
            f"lora has no setting {unknown[0]!r}; settings are: {', '.join(_DEFAULTS)}."
        )
    settings = {**_DEFAULTS, **asked}
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


def add_lora(backbone, settings, *, n_frozen, caller):
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
