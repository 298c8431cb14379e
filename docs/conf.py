"""Sphinx configuration."""

from importlib.metadata import version as installed

project = "smilearn"
author = "the smilearn developers"
version = release = installed("smilearn")
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
]
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_title = "smilearn"
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]
