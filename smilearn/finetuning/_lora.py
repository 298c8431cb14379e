"""Low-rank adapters on the linear maps of a model, by peft."""

from numbers import Integral, Real

from smilearn.exceptions import InvalidInputError
from smilearn.finetuning._freezing import layers_of
from smilearn.utils._optional import require

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
