"""A missing package is named, with the line that installs it."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest

import smilearn
from smilearn.exceptions import MissingDependencyError
from smilearn.utils._optional import require

PACKAGE = Path(smilearn.__file__).parent


def declared_extras():
    text = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
    return set(tomllib.loads(text)["project"]["optional-dependencies"])


def extras_named_in(folder):
    """Extras handed to `require` in each file of a folder."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require":
                words = {word.arg: word.value for word in node.keywords}
                yield path.name, ast.literal_eval(words["extra"])


def test_installed_module_is_given_back():
    assert require("json", extra="finetune", caller="a test") is sys.modules["json"]
    decoder = require("json.decoder", extra="finetune", caller="a test")
    assert decoder is sys.modules["json.decoder"]


def test_hidden_module_names_caller_package_and_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingDependencyError) as caught:
        require("peft", extra="finetune", caller="FineTunedEmbedder(lora=True)")
    assert str(caught.value) == (
        "FineTunedEmbedder(lora=True) needs the package 'peft', which is not "
        'installed. Install it with: pip install "smilearn[finetune]"'
    )
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_errors_inside_an_installed_package_pass_through(tmp_path, monkeypatch):
    (tmp_path / "broken_inside.py").write_text("from json import no_such_name")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError) as caught:
        require("broken_inside", extra="finetune", caller="a test")
    assert not isinstance(caught.value, MissingDependencyError)


def test_extras_named_in_errors_exist():
    named = list(extras_named_in(PACKAGE))
    assert len(named) > 5
    assert {pair for pair in named if pair[1] not in declared_extras()} == set()
