"""What is installed, and which version."""

import json
from importlib.metadata import metadata, version

from command_line import succeed

from smilearn.cli import _doctor


def test_the_version():
    assert succeed("--version").stdout == f"smilearn {version('smilearn')}\n"


def test_the_doctor_tells_versions_device_model_and_extras():
    facts = json.loads(succeed("doctor", "--json").stdout)
    assert facts["smilearn"] == version("smilearn")
    assert facts["device"] in ("cpu", "cuda", "mps")
    assert facts["model_works"] == "yes, 384 features"
    extras = {*metadata("smilearn").get_all("Provides-Extra")}
    told = {*facts["extras"], *facts["missing_extras"]}
    assert told == extras - {"test", "docs", "bench"}  # those are for developers


def test_what_is_missing_is_said_with_what_to_do(monkeypatch):
    monkeypatch.setitem(_doctor.EXTRAS, "plot", "no_such_module")
    printed = succeed("doctor", "--fast").stdout
    assert "missing extras        plot\n" in printed
    assert 'pip install "smilearn[plot]"' in printed
    assert "model works" not in printed
