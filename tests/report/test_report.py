"""The report: what a browser would show of it, and what it must not fetch or run."""

import re
from html.parser import HTMLParser
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from smilearn import RiskTable
from smilearn.report import write_report

SCORES = [0.5, -1.25, 0.25, -0.5]
LABELS = ["ham", "spam", "ham", "eggs"]
NASTY = "<script>alert(\"1\")</script> & </td> {{ 7 * 7 }} 'naïve' 映画"
HISTORY = [
    {"step": 0, "epoch": 0.0, "median_loss": 0.8, "share_fitted": 0.5},
    {"step": 4, "epoch": 0.5, "median_loss": 0.6, "share_fitted": 0.5},
    {"step": 8, "epoch": 1.0, "median_loss": 0.3, "share_fitted": 0.9},
]
EMBEDDER = SimpleNamespace(history_=HISTORY, early_point_loss_=0.4)


class Page(HTMLParser):
    """Tags, attributes and the rows of the tables of a page."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.attributes, self.rows, self.texts = set(), [], [], {}
        self.open = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        elif self.open:
            self.texts.setdefault(self.open[-1], []).append(data)


def written(path, table=None, **more):
    table = table or RiskTable(SCORES, LABELS, text=["a", "b", "c", "d"])
    write_report(table, path, **{"title": "A title", **more})
    return Page(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "report.html"


def test_riskiest_samples_come_first(path):
    likelier = ["ham", "ham", "eggs", "spam"]
    table = RiskTable(SCORES, LABELS, text=list("abcd"), most_likely_label=likelier)
    page = written(path, table, n_rows=3)
    assert page.rows == [
        ["rank", "risk", "label", "likelier", "text"],
        ["1", "1.250", "spam", "ham", "b"],
        ["2", "0.500", "eggs", "spam", "d"],
        ["3", "-0.250", "ham", "eggs", "c"],
    ]
    likely = RiskTable(SCORES, LABELS, probability=[0.5, 0.125, 0.25, 0.0])
    assert written(path, likely, n_rows=1).rows == [
        ["rank", "risk", "probability", "label", "likelier", "id"],
        ["1", "1.250", "0.125", "spam", "", "1"],
    ]
    assert page.open == []
    assert "svg" not in page.tags
    assert write_report(table, str(path), title="") == path


def test_everything_that_is_shown_is_escaped(path):
    table = RiskTable(
        [0.0, 1.0], [NASTY, "b"], text=[NASTY, "c"], most_likely_label=["b", NASTY]
    )
    tables = [{"title": NASTY, "header": ["x", NASTY], "rows": [[NASTY, 1]]}]
    facts = [NASTY, "second"]
    page = written(path, table, title=NASTY, facts=facts, tables=tables)
    assert "script" not in page.tags
    assert page.rows == [
        ["x", NASTY],
        [NASTY, "1"],
        ["rank", "risk", "label", "likelier", "text"],
        ["1", "0.000", NASTY, "b", NASTY],
        ["2", "-1.000", "b", NASTY, "c"],
    ]
    assert page.texts["h1"] == page.texts["title"] == [NASTY]
    assert page.texts["h2"] == [NASTY, "The riskiest samples"]
    assert page.texts["p"][:2] == facts


def drawing(path):
    """The curve as XML; a browser would forgive what this does not."""
    [svg] = re.findall("<svg.*</svg>", path.read_text(encoding="utf-8"), re.DOTALL)
    return ElementTree.fromstring(svg)


def test_curve_of_an_embedder(path):
    page = written(path, embedder=EMBEDDER)
    assert page.texts["h2"] == ["Median training loss", "The riskiest samples"]
    svg = drawing(path)
    [line] = svg.findall("polyline")
    points = [[float(v) for v in p.split(",")] for p in line.get("points").split()]
    assert points == [[0, 0], [270, 50], [540, 125]]  # down is less; 200 is no loss
    circles = svg.findall("circle")
    assert [[float(c.get("cx")), float(c.get("cy"))] for c in circles] == points
    assert circles[1].find("title").text == "epoch 0.5: 0.600 nats"
    [threshold] = svg.findall("line")
    assert threshold.get("y1") == threshold.get("y2") == "100.0"
    captions = [" ".join(text.text.split()) for text in svg.findall("text")]
    assert captions == ["0.800", "0.600", "0.300", "early point", "epoch, 0 to 1.0"]


def test_page_fetches_and_runs_nothing(path):
    page = written(path, embedder=EMBEDDER, facts=["fact"])
    assert not page.tags & {"script", "link", "img", "iframe", "object", "base", "a"}
    assert not {name for name, _ in page.attributes} & {"src", "href", "style"}
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    raw = path.read_text(encoding="utf-8")
    for fetching in ("http://", "https://", "url(", "@import", "//"):
        assert fetching not in raw
    assert ("charset", "utf-8") in page.attributes


@pytest.mark.parametrize("old", [None, "precious"])
def test_page_appears_whole_or_not_at_all(tmp_path, old):
    path = tmp_path / "report.html"
    if old:
        path.write_text(old)
    with pytest.raises(UnicodeEncodeError):
        written(path, facts=["fine " * 10_000, "\ud800"])
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"][: bool(old)]
    assert not old or path.read_text() == old
