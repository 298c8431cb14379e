"""Public names, their signatures and their members stay (golden/api.json)."""

import importlib
import inspect
import re

import pytest
from golden_files import check_golden

MODULES = [
    "smilearn",
    "smilearn.audit",
    "smilearn.baselines",
    "smilearn.datalab",
    "smilearn.datasets",
    "smilearn.embedding",
    "smilearn.exceptions",
    "smilearn.filtering",
    "smilearn.finetuning",
    "smilearn.metrics",
    "smilearn.report",
    "smilearn.scoring",
    "smilearn.tables",
]
PROTOCOLS = ("__getitem__", "__iter__", "__len__", "_repr_html_")


def signature(thing):
    """Signature as a string, without places in memory."""
    return re.sub(r" at 0x\w+", "", str(inspect.signature(thing)))


def member(owner, name):
    """How a member is used; of one inherited from elsewhere only that it is there.

    What scikit-learn and transformers add to a class differs between their versions.
    """
    value = inspect.getattr_static(owner, name)
    value = getattr(value, "fn", value)  # of scikit-learn's available_if
    if isinstance(value, property):
        return "property"
    if isinstance(value, classmethod | staticmethod):
        return f"{type(value).__name__} {signature(getattr(owner, name))}"
    if not inspect.isfunction(value):
        return type(value).__name__
    own = value.__module__.startswith("smilearn")
    return signature(value) if own else "inherited"


def is_pinned(owner, name):
    home = next(c.__module__ for c in owner.__mro__ if name in vars(c))
    requested = re.fullmatch(r"set_\w+_request|set_callbacks", name)
    if name.startswith("_"):
        return name in PROTOCOLS and home.startswith("smilearn")
    return not requested and not home.startswith("transformers")


def about(thing):
    if inspect.ismodule(thing):
        return "module"
    if inspect.isclass(thing) and issubclass(thing, BaseException):
        return [c.__name__ for c in thing.__mro__ if issubclass(c, Exception)]
    if not inspect.isclass(thing):
        return signature(thing)
    names = sorted(name for name in dir(thing) if is_pinned(thing, name))
    members = {name: member(thing, name) for name in names}
    return {"is called": signature(thing), **members}


@pytest.mark.parametrize("module", MODULES)
def test_public_names(module):
    home = importlib.import_module(module)
    names = sorted(home.__all__)
    check_golden("api", module, {name: about(getattr(home, name)) for name in names})
