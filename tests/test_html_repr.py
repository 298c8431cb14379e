"""The HTML of estimators links to pages that are there."""

import re
import tomllib
from html import unescape
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import smilearn
from smilearn.utils import _documentation
from smilearn.utils._documentation import Documented, documentation_url, page_template

ROOT = Path(smilearn.__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DECLARED = PROJECT["project"]["urls"]["Documentation"]
ESTIMATORS = [
    name
    for name in smilearn.__all__
    if isinstance(getattr(smilearn, name), type)
    and issubclass(getattr(smilearn, name), BaseEstimator)
]
NEEDED = {
    "FilteredEstimator": [LogisticRegression()],
    "HeldOutScorer": [LogisticRegression()],
    "HiddenStateEmbedder": ["folder"],
    "RiskReweighter": [LogisticRegression()],
    "ShadowAudit": [LogisticRegression()],
}


def made(name):
    return getattr(smilearn, name)(*NEEDED.get(name, []))


def pages():
    """Names of the pages that autosummary writes into docs/api."""
    module, found = "", set()
    for line in (ROOT / "docs" / "api.rst").read_text(encoding="utf-8").splitlines():
        if line.startswith(".. currentmodule:: "):
            module = line.split()[-1]
        elif re.fullmatch(r"   \w+", line):
            found.add(f"{module}.{line.strip()}")
    return found


def links(html):
    return [unescape(link) for link in re.findall(r'href="([^"]+)"', html)]


def test_the_installed_package_knows_its_documentation():
    stale = "the package was installed before pyproject.toml changed; install it again"
    assert documentation_url() == DECLARED.rstrip("/"), stale


@pytest.mark.parametrize("entries", [None, ["Source, https://here.org"]])
def test_no_address_no_links(monkeypatch, entries):
    class Metadata:
        def get_all(self, key, default):
            return default if entries is None else entries

    monkeypatch.setattr(_documentation, "metadata", lambda name: Metadata())
    assert documentation_url() == ""
    assert page_template(documentation_url()) == ""


@pytest.mark.parametrize("name", ESTIMATORS)
def test_each_estimator_links_to_its_page(name):
    assert issubclass(getattr(smilearn, name), Documented)
    assert f"smilearn.{name}" in pages()
    page = f"{DECLARED}/api/smilearn.{name}.html"
    assert made(name)._get_doc_link() == page
    assert page in links(made(name)._repr_html_())


@pytest.mark.parametrize("name", ESTIMATORS)
def test_each_parameter_has_a_link_and_a_description(name):
    pytest.importorskip(
        "sklearn.utils._repr_html.common", reason="this scikit-learn has no tooltips"
    )
    estimator = made(name)
    html = estimator._repr_html_()
    for parameter in estimator.get_params(deep=False):
        shown = re.search(
            rf'<a class="param-doc-link"[^>]*--doc-link-{parameter};"[^>]*'
            rf'href="[^"]*smilearn\.{name}\.html#:~:text={parameter},-[^"]+"',
            html,
        )
        assert shown, parameter
        assert f"{parameter}: " in html[shown.end() : shown.end() + 400]


def test_a_pipeline_shows_the_links_of_its_steps():
    selector, scorer = smilearn.LayerSelector(), smilearn.SlicedMIScorer()
    shown = links(make_pipeline(selector, scorer)._repr_html_())
    for name in ("LayerSelector", "SlicedMIScorer"):
        assert f"{DECLARED}/api/smilearn.{name}.html" in shown


def test_an_estimator_of_somebody_else_gets_no_link_to_us():
    class Theirs(smilearn.LayerSelector):
        """Not documented here."""

    assert Theirs()._get_doc_link() == ""
