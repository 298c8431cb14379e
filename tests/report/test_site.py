"""The site in a real browser: it searches, links lead somewhere, phones can read it."""

import shutil
import subprocess
import sys
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PAGES = [
    "index.html",
    "start.html",
    "cli.html",
    "moments.html",
    "api.html",
    "api/smilearn.SlicedMIScorer.html",
    "auto_examples/index.html",
    "auto_examples/choose_layer.html",
]
# What is cut or hangs over: code and tables may scroll by themselves.
OUTSIDE = """() => [...document.querySelectorAll("article *")].filter((e) => {
  const inner = e.parentElement.closest("pre, .pst-scrollable-table-container");
  const box = e.getBoundingClientRect();
  return !inner && box.width && (box.right > innerWidth + 1 || box.left < -1);
}).map((e) => `${e.tagName} ${e.textContent.trim().slice(0, 40)}`)"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site as `make docs` builds it, without running the examples."""
    for package in ("sphinx_gallery", "pydata_sphinx_theme"):
        pytest.importorskip(package, reason="needs sphinx: make docs installs it")
    folder = tmp_path_factory.mktemp("site")
    made = shutil.ignore_patterns("_build", "api", "auto_examples", "sg_*")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=made)
    shutil.copytree(ROOT / "examples", folder / "examples")
    for page in ROOT.glob("*.md"):
        shutil.copy(page, folder)
    build = ["sphinx", "-W", "--keep-going", "-q", "-D", "plot_gallery=0"]
    done = subprocess.run(
        [sys.executable, "-m", *build, folder / "docs", folder / "html"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def address(site):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as http:
        http.handle_error = lambda *args: None  # a page was left before it was whole
        Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


class Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.names, self.links = set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.names |= {found.get("id"), found.get("name")}
        self.links += [found[key] for key in ("href", "src") if found.get(key)]


def test_every_inner_link_leads_somewhere(site):
    static = site / "_static"
    paths = [path for path in site.rglob("*.html") if static not in path.parents]
    pages = {path: Page(path) for path in paths}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve()
            target = target if parts.path else path
            names = pages[target].names if target in pages else ()
            anchor = unquote(parts.fragment)
            if not target.exists() or (anchor and anchor not in names):
                broken.append((path.name, link))
    assert len(pages) > 60
    assert broken == []


def test_search_finds_the_scorer(opened, address):
    page = opened(f"{address}/search.html?q=SlicedMIScorer")
    found = page.locator("#search-results li a").first
    assert "SlicedMIScorer" in found.inner_text()
    found.click()
    page.wait_for_url("**/api/smilearn.SlicedMIScorer.html*")
    assert page.inner_text("h1") == "SlicedMIScorer"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1400])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_cut_at_the_edge(opened, address, name, width, scheme):
    page = opened(f"{address}/{name}", width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OUTSIDE) == []
    cut = "e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX"
    blocks = page.locator("div.highlight pre")
    assert {*blocks.evaluate_all(f"all => all.map({cut})")} <= {False, "auto"}
    assert page.locator("div.highlight button.copybtn").count() == blocks.count()
