"""Oldest versions: those that are tested are those that are declared."""

import re
import tomllib
from pathlib import Path

import smilearn

ROOT = Path(smilearn.__file__).parent.parent
PINNED_ANYWAY = {
    "torch",
    "ruff",
}  # at the newest: by constraints.txt; as it formats by version


def lower_bounds(requirements):
    """Name and version of each requirement that is written name>=version."""
    found = (
        re.match(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)", each) for each in requirements
    )
    return {match[1]: match[2] for match in found if match}


def declared(project):
    extras = project["optional-dependencies"]
    used = ("test", "frames", "finetune", "datalab", "datasets", "openvino", "plot")
    used = (*used, "distributed", "privacy")
    asked = [each for name in used for each in extras.get(name, [])]
    return lower_bounds([*project["dependencies"], *asked])


def pinned(text):
    return dict(line.split("==") for line in text.splitlines() if "==" in line)


def disagreements(bounds, pins):
    """Packages whose pin is not their lower bound: 1.7 and 1.7.0 are the same."""

    def version(text):
        return re.sub(r"(\.0)+$", "", text)

    names = (bounds.keys() | pins.keys()) - PINNED_ANYWAY
    return sorted(
        name
        for name in names
        if not (name in bounds and name in pins)
        or version(bounds[name]) != version(pins[name])
    )


def test_each_lower_bound_is_the_version_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = pinned((ROOT / "constraints-oldest.txt").read_text(encoding="utf-8"))
    assert disagreements(declared(project["project"]), pins) == []
    assert "scikit-learn" in pins
