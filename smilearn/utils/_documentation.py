"""Where the documentation is, for scikit-learn's HTML of an estimator."""

from importlib.metadata import metadata


def documentation_url():
    """Address of the documentation, as the installed package states it."""
    for entry in metadata("smilearn").get_all("Project-URL", []):
        label, _, url = entry.partition(",")
        if label.strip() == "Documentation":
            return url.strip().rstrip("/")
    return ""


def page_template(url, home="smilearn"):
    """Template of the page of a public class; empty where there is no address."""
    return url and f"{url}/api/{home}.{{estimator_name}}.html"


class Documented:
    """Links from the HTML of an estimator, and of its parameters, to its page."""

    _doc_link_module = "smilearn"
    _doc_link_template = page_template(documentation_url())
