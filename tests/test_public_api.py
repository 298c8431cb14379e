"""What smilearn shows, and how light it is to import."""

import json
import subprocess
import sys

import pytest

import smilearn

HEAVY = {"torch", "transformers", "sentence_transformers", "matplotlib"}

PUBLIC = [
    "EarlyPointMonitor",
    "FilteredEstimator",
    "FineTunedClassifier",
    "FineTunedEmbedder",
    "HeldOutScorer",
    "HiddenStateEmbedder",
    "LayerSelector",
    "MemorizationCallback",
    "RiskFilter",
    "RiskReweighter",
    "RiskTable",
    "SentenceEmbedder",
    "ShadowAudit",
    "SliceConvergence",
    "SlicedMIScorer",
    "audit",
    "audit_protection",
    "baselines",
    "compare_scorers",
    "datalab",
    "embedding",
    "exceptions",
    "filtering",
    "finetuning",
    "metrics",
    "report",
    "score_samples",
    "scoring",
    "tables",
]
PUBLIC_MODULES = [
    "audit",
    "baselines",
    "datalab",
    "datasets",
    "embedding",
    "exceptions",
    "filtering",
    "finetuning",
    "metrics",
    "report",
    "scoring",
    "tables",
]


def top_modules_loaded(code):
    """Packages that a fresh interpreter holds after running some code."""
    show = "import json, sys; print('\\n' + json.dumps([*sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    *shown, names = done.stdout.splitlines()
    return {name.partition(".")[0] for name in json.loads(names)}, "\n".join(shown)


def test_importing_smilearn_is_light():
    loaded, _ = top_modules_loaded("import smilearn; dir(smilearn)")
    assert "smilearn" in loaded
    assert loaded & HEAVY == set()


def command(*arguments, code=0):
    """Source that runs a command which ends with this exit code."""
    return (
        "import runpy, sys\n"
        f"sys.argv = {['smilearn', *map(str, arguments)]}\n"
        "try:\n"
        "    runpy.run_module('smilearn', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n"
        f"    assert (end.code or 0) == {code}, end.code\n"
    )


def test_command_line_help_is_light():
    loaded, shown = top_modules_loaded(command("--help"))
    assert "Usage" in shown
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("name", ["score", "train", "audit"])
@pytest.mark.parametrize("row", [",bad", "a play,good"], ids=["empty", "one class"])
def test_wrong_data_are_refused_before_heavy_imports(tmp_path, name, row):
    data = tmp_path / "data.csv"
    data.write_text(f"text,label\na film,good\n{row}\n")
    out = tmp_path / ("new" if name == "train" else "new.csv")
    options = ["--text", "text", "--label", "label", "--out", out]
    loaded, _ = top_modules_loaded(command(name, data, *options, code=2))
    assert loaded & HEAVY == set()


def test_a_heavy_import_is_seen(tmp_path):
    (tmp_path / "torch.py").touch()
    loaded, _ = top_modules_loaded(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import torch"
    )
    assert loaded & HEAVY == {"torch"}


def test_public_names_are_pinned():
    assert smilearn.__all__ == PUBLIC
    assert set(PUBLIC) <= set(dir(smilearn))


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_resolves(name):
    thing = getattr(smilearn, name)
    assert thing.__name__ in (name, f"smilearn.{name}")


def test_a_star_import_leaves_the_datasets_of_hugging_face():
    import smilearn.datasets

    names = {"datasets": "of Hugging Face"}
    exec("from smilearn import *", names)
    assert names["datasets"] == "of Hugging Face"
    assert smilearn.datasets.__name__ == "smilearn.datasets"


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'smilearn' has no attribute 'Nothing'"):
        smilearn.Nothing  # noqa: B018


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_public_module_lists_what_it_documents(name):
    module = __import__(f"smilearn.{name}", fromlist=["__all__"])
    assert module.__all__ == sorted(set(module.__all__))
    bare = [each for each in module.__all__ if not getattr(module, each).__doc__]
    assert bare == []
    defined = {
        each
        for each, thing in vars(module).items()
        if getattr(thing, "__module__", "").startswith(module.__name__)
        and not each.startswith("_")
    }
    assert defined == set(module.__all__)
