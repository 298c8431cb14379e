"""What the docstrings say is what the signatures are."""

import ast
import importlib
import inspect
import re
import sys
import tomllib
from pathlib import Path

import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import get_validation_checks, validate

import smilearn

PYPROJECT = Path(smilearn.__file__).parent.parent / "pyproject.toml"
OWNERS = [name for name in smilearn.__all__ if name != "exceptions"]
NOTHING = inspect.Parameter.empty


def checks_asked_for():
    """Error codes of numpydoc that pyproject.toml does not switch off."""
    tools = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["tool"]
    return get_validation_checks(set(tools["numpydoc_validation"]["checks"]))


def public_members(module, name):
    """Dotted name and object: of a module its functions, of a class it and its own."""
    owner, path = getattr(module, name), f"{module.__name__}.{name}"
    if inspect.ismodule(owner):
        return {f"{path}.{each}": getattr(owner, each) for each in owner.__all__}
    members = {path: owner}
    for each in dir(owner):
        member = inspect.getattr_static(owner, each)
        if not isinstance(member, property):
            member = getattr(owner, each)
        home = getattr(member, "fget", member)
        ours = getattr(home, "__module__", "") or ""
        package = module.__name__.partition(".")[0]
        if ours.partition(".")[0] == package and not each.startswith("_"):
            members[f"{path}.{each}"] = member
    return members


def parameters_of(thing):
    """Parameters of a call as a user writes it, without self."""
    if isinstance(thing, property):
        return []
    parameters = list(inspect.signature(thing).parameters.values())
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    named = [(stars.get(p.kind, "") + p.name, p.default) for p in parameters]
    return [pair for pair in named if pair[0] not in ("self", "cls")]


def documented_parameters(docstring):
    """Name and stated type of each documented parameter, in order."""
    sections = NumpyDocString(docstring)
    return [
        (name.strip(), entry.type)
        for entry in sections["Parameters"] + sections["Other Parameters"]
        for name in entry.name.split(",")
    ]


def same_default(stated, default):
    try:
        value = ast.literal_eval(stated)
    except (ValueError, SyntaxError):
        return stated.strip("`") in (getattr(default, "__name__", None), repr(default))
    return type(value) is type(default) and value == default


def drift(thing):
    """Where a docstring and a signature part company."""
    docstring = inspect.getdoc(thing)
    if not docstring:
        return ["no docstring"]
    documented, actual = documented_parameters(docstring), parameters_of(thing)
    if [name for name, _ in documented] != [name for name, _ in actual]:
        return [f"documents {documented}, takes {[name for name, _ in actual]}"]
    problems = []
    for (name, text), (_, default) in zip(documented, actual, strict=True):
        stated = re.search(r"default=(.+)$", text)
        if (default is NOTHING) != (stated is None):
            problems.append(f"{name} : {text}; the signature has {default!r}")
        elif stated and not same_default(stated[1], default):
            problems.append(f"{name} says {stated[1]}, is {default!r}")
    return problems


def numpydoc_problems(path):
    asked = checks_asked_for()
    return [error for error in validate(path)["errors"] if error[0] in asked]


def needs_example(thing):
    return inspect.isclass(thing) or "." not in thing.__qualname__


def has_example(thing):
    return ">>>" in "".join(NumpyDocString(inspect.getdoc(thing) or "")["Examples"])


@pytest.fixture
def sample_module(tmp_path, monkeypatch):
    """Write and import a module whose docstrings are to be judged."""

    def write(source):
        (tmp_path / "sample_of_docs.py").write_text(source, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "sample_of_docs", raising=False)
        return importlib.import_module("sample_of_docs")

    yield write
    sys.modules.pop("sample_of_docs", None)


@pytest.mark.parametrize("owner", OWNERS)
def test_docstrings_agree_with_signatures(owner):
    found = {
        path: drift(each) for path, each in public_members(smilearn, owner).items()
    }
    assert {path: problems for path, problems in found.items() if problems} == {}


@pytest.mark.parametrize("owner", OWNERS)
def test_docstrings_are_numpydoc(owner):
    found = {path: numpydoc_problems(path) for path in public_members(smilearn, owner)}
    assert {path: problems for path, problems in found.items() if problems} == {}


@pytest.mark.parametrize("owner", OWNERS)
def test_public_classes_and_functions_have_an_example(owner):
    members = public_members(smilearn, owner).items()
    things = {path: each for path, each in members if not isinstance(each, property)}
    bare = [
        path for path, each in things.items() if needs_example(each) > has_example(each)
    ]
    assert bare == []


def test_all_checks_but_those_listed():
    asked = checks_asked_for()
    assert {"PR01", "PR02", "PR03", "RT01", "GL03"} <= asked
    assert not {"EX01", "SA01", "ES01"} & asked


def test_members_are_the_public_ones_of_the_package():
    members = public_members(smilearn, "SlicedMIScorer")
    names = {path.removeprefix("smilearn.SlicedMIScorer") for path in members}
    assert {"", ".fit", ".score_samples"} <= names  # own, and of a base class here
    assert not {".get_params", ".set_params", ".__init__", "._slice"} & names
    functions = public_members(smilearn, "metrics")
    assert "smilearn.metrics.tpr_at_fpr" in functions
    assert "smilearn.metrics.roc_curve" not in functions


SAMPLE = '''
class Sample:
    """Do a thing.

    Parameters
    ----------
    n : int
        A number.

    mode : str, default="auto"
        A word.

    share : float, default=1.0
        A share.
    """

    def __init__(self, n, *, mode="auto", share=1.0):
        pass

    @property
    def size(self):
        """Size of the thing."""
'''


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ('default="auto"', 'default="other"', "is 'auto'"),
        ('default="auto"', "default=auto", "is 'auto'"),
        ("default=1.0", "default=1", "is 1.0"),
        ("default=1.0", "default=True", "is 1.0"),
        ("str, default", "str, optional; default", None),
        (', default="auto"', "", "the signature has 'auto'"),
        ("n : int", "n : int, default=1", "the signature has"),
        ("    n : int\n        A number.\n\n", "", "documents"),
        ("mode : str", "moods : str", "documents"),
        ("n, *, mode=", "mode=", "documents"),
        ('mode="auto", share=1.0', 'share=1.0, mode="auto"', "documents"),
        ('"""Size of the thing."""', "return 1", "no docstring"),
    ],
)
def test_drift_is_seen(sample_module, right, wrong, told):
    assert right in SAMPLE
    module = sample_module(SAMPLE.replace(right, wrong, 1))
    members = public_members(module, "Sample")
    assert sorted(members) == ["sample_of_docs.Sample", "sample_of_docs.Sample.size"]
    problems = [line for each in members.values() for line in drift(each)]
    if told is None:
        assert problems == []
    else:
        assert len(problems) == 1
        assert told in problems[0]


def test_numpydoc_breach_is_seen(sample_module):
    sample_module(SAMPLE)
    assert numpydoc_problems("sample_of_docs.Sample") == []
    sample_module(SAMPLE.replace("Do a thing.", "Do a thing"))
    assert [code for code, _ in numpydoc_problems("sample_of_docs.Sample")] == ["SS03"]


def test_missing_example_is_seen(sample_module):
    bare = sample_module(SAMPLE).Sample
    assert needs_example(bare)
    assert not has_example(bare)
    example = "    Examples\n    --------\n    >>> 1\n    1\n"
    words = 'A share.\n    """'
    shown = sample_module(SAMPLE.replace(words, f'A share.\n\n{example}    """')).Sample
    assert has_example(shown)
