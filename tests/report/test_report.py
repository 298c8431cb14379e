"""The report: its numbers, its formats, and what it must not show."""

import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from risk_tables import made_table

from smilearn import RiskTable
from smilearn.exceptions import InvalidInputError
from smilearn.report import write_report

SCORES = [0.5, -1.25, 0.25, -0.5]
LABELS = ["ham", "spam", "ham", "eggs"]
NASTY = "<script>alert(\"1\")</script> & </td> {{ 7 * 7 }} 'naïve' 映画 | `x`"
HISTORY = [
    {"step": 0, "epoch": 0.0, "median_loss": 0.8, "share_fitted": 0.5},
    {"step": 8, "epoch": 1.0, "median_loss": 0.3, "share_fitted": 0.9},
]
EMBEDDER = SimpleNamespace(
    history_=HISTORY, early_point_loss_=0.4, early_point_reached_=True
)


class Page(HTMLParser):
    """Tags, attributes and texts of a page, and the rows of its tables."""

    def __init__(self, path):
        super().__init__()
        self.attributes, self.rows, self.texts, self.open = [], [], {}, []
        self.feed(path.read_text(encoding="utf-8"))
        [data] = self.texts["json"]
        self.data = json.loads(data)

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in ("meta", "input"):
            self.open.append("json" if ("type", "application/json") in attrs else tag)

    def handle_endtag(self, tag):
        assert self.open.pop() in (tag, "json")

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        elif self.open:
            self.texts.setdefault(self.open[-1], []).append(data)


def written(path, table=None, **more):
    table = table or RiskTable(SCORES, LABELS, text=["a", "b", "c", "d"])
    write_report(table, path, **more)
    return Page(path)


def json_of(tmp_path, table, **more):
    path = write_report(table, tmp_path / "report.json", **more)
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "report.html"


def test_riskiest_samples_are_there_without_javascript(path):
    likelier = ["ham", "ham", "eggs", "spam"]
    table = RiskTable(SCORES, LABELS, text=list("abcd"), most_likely_label=likelier)
    page = written(path, table, n_rows=3)
    header = ["Rank", "Percentile", "Risk", "Label", "Likelier label", "Text"]
    first = page.rows.index(header)
    assert page.rows[first + 1 :] == [
        ["1", "75.0", "1.25", "spam", "ham", "b"],
        ["2", "50.0", "0.50", "eggs", "spam", "d"],
        ["3", "25.0", "-0.25", "ham", "eggs", "c"],
    ]
    likely = RiskTable(SCORES, LABELS, probability=[0.5, 0.125, 0.25, 0.0])
    row = ["1", "12.5 %", "75.0", "1.25", "spam", "1"]
    assert written(path, likely, n_rows=1).rows[-1] == row
    assert page.open == []
    assert write_report(table, str(path)) == path
    assert table.to_html(path, title="Mails") == path
    assert Page(path).texts["h1"] == ["Mails"]


def test_everything_that_is_shown_is_escaped(path):
    table = RiskTable(
        [0.0, 1.0], [NASTY, "b"], text=[NASTY, "c"], most_likely_label=["b", NASTY]
    )
    page = written(
        path,
        table,
        title=NASTY,
        facts={NASTY: NASTY},
        warnings=[NASTY],
        columns={NASTY: [NASTY, "x"]},
        evidence={NASTY: RiskTable([1], [NASTY])},
        files={"data": NASTY},
    )
    assert page.texts["h1"] == page.texts["title"] == [NASTY]
    assert page.texts["dd"] == page.texts["dt"] == [NASTY]
    assert NASTY in page.texts["h3"]
    assert page.rows[-2][-1] == NASTY
    assert page.data["rows"]["text"] == [NASTY, "c"]
    assert page.data["own"] == [NASTY]
    assert page.data["classes"] == [NASTY, "b"]
    raw = path.read_text(encoding="utf-8")
    assert raw.count("<script") == raw.count("</script") == 2
    assert "alert(" not in re.sub(
        r"&lt;script&gt;alert|\\u003cscript\\u003ealert", "", raw
    )
    markdown = write_report(table, path.with_suffix(".md"), title=NASTY).read_text(
        "utf-8"
    )
    assert "<script" not in markdown
    [row] = [line for line in markdown.splitlines() if line.startswith("| 1 |")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 6


def test_page_asks_for_nothing_from_outside(path):
    page = written(path, embedder=EMBEDDER, facts={"Data": "x.csv"})
    names = {name for name, _ in page.attributes}
    assert not names & {"src", "style", "srcset", "action", "data"}
    assert not [name for name in names if name.startswith("on")]
    links = [value for name, value in page.attributes if name == "href"]
    assert links == ["#samples"]
    raw = path.read_text(encoding="utf-8")
    assert "https://" not in raw
    assert set(re.findall(r"http://[^\"]+", raw)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\(|innerHTML|eval\(", raw)
    [policy] = [v for n, v in page.attributes if n == "content" and "default-src" in v]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


def test_what_stands_out_is_what_the_filter_takes_out_unasked(tmp_path):
    from smilearn import RiskFilter

    table = made_table(300)
    data = json_of(tmp_path, table)
    kept = RiskFilter(table).fit(None, table["label"]).support_
    assert data["stand_out"]["n"] == (~kept).sum() > 0
    expected = (1 - table["probability"][~kept]).sum()
    assert data["stand_out"]["expected"] == pytest.approx(expected, abs=0.06)
    found = data["sentences"][1]
    assert found.startswith(f"{(~kept).sum()} of 300 samples stand out")
    assert f"would give about {expected:.0f} of these another label. This does" in found
    bare = RiskTable([0.0] * 9 + [-9.0], ["a", "b"] * 5)
    data = json_of(tmp_path, bare)
    assert data["stand_out"] == {"n": 1, "expected": None, "least": 0.05}
    assert data["sentences"][1].startswith("1 of 10 samples stands out")


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("percent", [0, 1, 5, 10, 30])
def test_cuts_are_those_of_the_filter(tmp_path, by_class, percent):
    from smilearn import RiskFilter

    rng = np.random.default_rng(0)
    labels = ["a"] * 60 + ["b"] * 40 + ["c"]
    scores = rng.normal(size=101) - np.repeat([0, 3, 9], [60, 40, 1])
    table = RiskTable(scores, labels, probability=np.exp(-abs(scores)))
    cuts = json_of(tmp_path, table)["cuts"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *args, **kwargs: None)
        rule = RiskFilter(table, share=percent / 100, by_class=by_class)
        gone = ~rule.fit(None, labels).support_
    mine = cuts["by_class" if by_class else "overall"]
    counts = [gone[np.array(labels) == name].sum() for name in "abc"]
    assert cuts["shares"][percent] == percent / 100
    assert mine["counts"][percent] == counts
    wrong = (1 - table["probability"][gone]).sum()
    assert mine["expected"][percent] == pytest.approx(wrong, abs=0.06)


def test_classes_histogram_and_confusions_count_all_samples(tmp_path):
    table = made_table(300)
    data = json_of(tmp_path, table, n_rows=40)
    top = table.riskiest(30)["label"]
    for row in data["by_class"]:
        name = data["classes"][row["label"]]
        own = table["label"] == name
        assert row["n"] == own.sum()
        assert row["risk"] == pytest.approx(np.median(table["risk"][own]), rel=1e-4)
        assert row["n_top"] == (top == name).sum()
        ratio = row["n_top"] / 30 / own.mean()
        assert row["ratio"] == pytest.approx(ratio, abs=1e-3)
    assert np.sum(data["histogram"]["counts"]) == 300
    for given, likely, n in data["confusions"]["cells"]:
        same = table["label"] == data["classes"][given]
        same &= table["most_likely_label"] == data["classes"][likely]
        assert n == same.sum()
    assert sum(cell[2] for cell in data["confusions"]["cells"]) == 300
    assert len(data["rows"]["id"]) == 40
    assert data["rows"]["id"][:30] == table.riskiest(30)["id"].tolist()
    per_class = np.bincount(data["rows"]["label"])
    assert per_class.min() >= 3


def test_a_far_sample_does_not_squeeze_the_histogram(tmp_path):
    rng = np.random.default_rng(0)
    scores = np.append(rng.normal(size=500), [-1e6, -np.inf])
    histogram = json_of(tmp_path, RiskTable(scores, ["a", "b"] * 251))["histogram"]
    assert -5 < histogram["edges"][0] < histogram["edges"][-1] < 10
    assert histogram["above"] >= 2
    many = RiskTable(rng.normal(size=500), np.arange(500) % 20)
    assert len(json_of(tmp_path, many)["histogram"]["counts"]) == 6
    same = RiskTable([1.0] * 4, LABELS)
    assert np.sum(json_of(tmp_path, same)["histogram"]["counts"]) == 4


@pytest.mark.parametrize("least", [0.01, 0.2])
def test_the_histogram_shows_the_samples_that_stand_out(tmp_path, least):
    rng = np.random.default_rng(0)
    p = np.append(rng.uniform(0.97, 0.99, 999), least)
    table = RiskTable(np.log(p), ["a", "b"] * 500, probability=p)
    histogram = json_of(tmp_path, table)["histogram"]
    if least < 0.05:
        assert histogram["edges"][-1] == pytest.approx(-np.log(0.05), rel=1e-4)
        assert 0.05 in [p for _, p in histogram["ticks"]]
    else:
        assert histogram["edges"][-1] < 0.2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [-np.inf, np.inf])
def test_infinite_risks_are_named_so(tmp_path, bad):
    p = np.full(20, 0.5)
    scores = np.log(p)
    scores[:3], p[:3] = bad, 0.0 if bad < 0 else 1.0
    table = RiskTable(scores, ["a", "b"] * 10, probability=p)
    path = tmp_path / "report.html"
    shown = [row[3] for row in written(path, table).rows if row[0].isdigit()]
    word = "inf" if bad < 0 else "-inf"
    assert sorted({*shown}) == sorted(["0.69", word])
    markdown = write_report(table, path.with_suffix(".md"), n_rows=20)
    assert f" {word} | " in markdown.read_text("utf-8")
    assert "000000" not in markdown.read_text("utf-8")
    assert json_of(tmp_path, table)["histogram"]["edges"][-1] < 3


def test_one_sample_by_chance_is_no_class_at_risk(tmp_path):
    n = 200
    labels = np.repeat(["a", "b", "c"], [100, 99, 1]).tolist()
    risk = np.linspace(0.0, 0.5, n)[::-1].copy()
    risk[-1] = 0.6
    p = np.exp(-risk)
    p[100:104] = 0.01  # of b, which is not among the riskiest tenth else
    table = RiskTable(np.log(p), labels, probability=p)
    data = json_of(tmp_path, table)
    rows = {data["classes"][row["label"]]: row for row in data["by_class"]}
    assert [*rows] == ["b", "c", "a"]
    assert [row["n_out"] for row in rows.values()] == [4, 0, 0]
    assert rows["c"]["ratio"] > 1.5
    assert not rows["c"]["high"]
    assert not rows["a"]["high"]  # 15 where 10 are expected
    risk = np.append(np.linspace(9, 1, 40), np.zeros(160))
    table = RiskTable(-risk, ["odd"] * 40 + ["a", "b"] * 80)
    assert [r["high"] for r in json_of(tmp_path, table)["by_class"]] == [
        True,
        False,
        False,
    ]


def test_own_columns_are_shown_as_they_are(tmp_path):
    columns = pl.DataFrame(
        {
            "amount": [1234627.89, 0.1 + 0.2, 1234567890123.0, None],
            "short": pl.Series([0.1, 2.5, None, 3.0], dtype=pl.Float32),
            "uid": [1234567890123456849, 1, -5, None],
            "n": [2**53, -(2**53), 0, None],
            "tags": [["a", "<b>"], [], None, [None]],
            "who": [{"age": 3, "in": [1.5]}] * 3 + [None],
        }
    )
    table = RiskTable([3, 2, 1, 0], LABELS)
    data = json_of(tmp_path, table, columns=columns[[3, 2, 1, 0]])
    own = {
        name: cells[::-1]
        for name, cells in zip(
            data["own"],
            [
                [cells[data["rows"]["id"].index(str(i))] for i in range(4)]
                for cells in data["rows"]["own"]
            ],
            strict=True,
        )
    }
    assert own == {
        "amount": [1234627.89, 0.3, 1234567890123.0, None],
        "short": [0.1, 2.5, None, 3.0],
        "uid": ["1234567890123456849", "1", "-5", ""],
        "n": [2**53, -(2**53), 0, None],
        "tags": ['["a", "<b>"]', "[]", "", "[null]"],
        "who": ['{"age": 3, "in": [1.5]}'] * 3 + [""],
    }


def test_many_classes_and_long_names_are_cut(path):
    rng = np.random.default_rng(0)
    n = 30_000
    names = [f"class {i}" for i in range(n)]
    likely = rng.permutation(names).tolist()
    score = rng.normal(size=2 * n)
    twice = {"label": names * 2, "most_likely_label": likely * 2}
    table = RiskTable(score, **twice, probability=np.exp(-abs(score)))
    data = written(path, table, n_rows=1000).data
    assert path.stat().st_size < 2_000_000
    assert data["n_classes"] == n
    assert len(data["by_class"]) == 500
    cut = data["cuts"]["overall"]
    assert cut["n"][10] == 6_000 - n_last_of_class(score, 6_000)
    assert len(cut["counts"][10]) == 500
    rows = data["rows"]
    riskiest = table.riskiest(1000)
    for key, column in [("label", "label"), ("likely", "most_likely_label")]:
        mine = [data["classes"][code] for code in rows[key]]
        assert mine == riskiest[column].tolist()
    assert {data["sizes"][code] for code in rows["label"]} == {2}
    assert {data["classes"][r["label"]]: r["n"] for r in data["by_class"]}.keys() <= {
        *names
    }
    long = ["x" * 200 + "a", "x" * 200 + "b"]
    table = RiskTable([1.0, 0.0], long, id=long)
    page = written(path, table)
    assert page.data["classes"] == page.data["rows"]["id"][::-1] == long
    assert page.rows[-1][-1] == "x" * 50 + "…" + "x" * 48 + "a"


def n_last_of_class(score, n_cut):
    """Classes of two of which both would go."""
    cut = np.isin(np.arange(len(score)), np.argsort(score)[:n_cut])
    return int(np.logical_and(*cut.reshape(2, -1)).sum())


def test_warnings_name_what_is_odd_in_the_data(tmp_path):
    labels = ["a"] * 24 + ["b"] * 4
    texts = [f"text {i}" for i in range(27)] + ["text 0"]
    table = RiskTable([-np.inf, *range(27)], labels, text=texts)
    data = json_of(tmp_path, table, warnings=["so it is"])
    fold, few, twice, infinite, given = data["warnings"]
    assert fold.startswith("Classes differ 6-fold: a has 24 samples, b 4.")
    assert few.startswith("Fewer than 10 samples: b.")
    assert twice.startswith("1 text has two labels or more")
    assert infinite == "Samples with an infinite risk: 1."
    assert given == "so it is"
    part = json_of(tmp_path, made_table().take(range(30)))
    assert part["warnings"][0].startswith("These are some rows of a larger table")


def test_nearest_texts_are_those_of_the_classes(tmp_path):
    X = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [0.8, 0.3]])
    table = RiskTable(
        [3, 2, 4, 5, 1.0],
        ["a", "a", "b", "b", "b"],
        text=["a0", "a1", "b0", "b1", "odd"],
        most_likely_label=["a", "a", "b", "b", "a"],
    )
    data = json_of(tmp_path, table, embeddings=X)
    assert data["rows"]["text"][0] == "odd"
    near = [data["pool"][place] for place in data["rows"]["near"][0]]
    assert near == ["b1", "a1"]
    assert data["rows"]["near"][1][1] == -1  # its label is the likeliest
    with pytest.raises(InvalidInputError, match="embeddings must be 5 rows of numbers"):
        json_of(tmp_path, table, embeddings=X[:3])


def test_private_texts_can_be_left_out(path):
    table = made_table(60)
    X = np.random.default_rng(0).normal(size=(60, 3))
    for file in (path, path.with_suffix(".md"), path.with_suffix(".json")):
        write_report(table, file, texts=False, embeddings=X)
        assert "text 1" not in file.read_text(encoding="utf-8")
        write_report(table, file, embeddings=X)
        assert "text 1" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["word " * 400, "映画" * 600, "<<&>" * 500])
def test_two_thousand_long_texts_need_less_than_two_megabytes(path, text):
    rng = np.random.default_rng(0)
    n = 2_500
    table = made_table(n, text=[f"{i} {text}" for i in range(n)])
    X, columns = rng.normal(size=(n, 8)), {"note": [text] * n, "n": range(n)}
    write_report(table, path, embeddings=X, columns=columns)
    assert path.stat().st_size < 2_000_000
    data = Page(path).data
    assert len(data["rows"]["id"]) == 2_000
    assert len(data["rows"]["text"][0]) == data["cut"] > 30


def test_evidence_is_what_was_checked(tmp_path, path):
    table = made_table(200)
    assert "Not checked on this data." in written(path, table).texts["p"]
    lira = table["risk"] + np.random.default_rng(1).normal(size=200)
    audit = {"id": table["id"], "lira": lira}
    found = json_of(tmp_path, table.take(range(199, -1, -1)), audit=audit)["audit"]
    top = lira >= np.sort(lira)[-20]
    wins = (table["risk"][top][:, None] > table["risk"][~top]).mean()
    assert found["auc"] == pytest.approx(wins, abs=1e-3)
    assert found["low"] < found["auc"] < found["high"]
    page = written(path, table, audit=audit, evidence={"More": table.by_class()})
    assert "More" in page.texts["h3"]
    assert f"{found['auc']:.2f}" in page.texts["b"]
    with pytest.raises(InvalidInputError, match="shares 0 ids with the risk table"):
        written(path, table, audit={"id": ["x"], "lira": [1.0]})


def test_the_curve_and_the_facts_are_those_given(path):
    page = written(path, embedder=EMBEDDER, facts={"Model": "m", "Cost": ""})
    assert page.data["curve"] == {
        "epochs": [0.0, 1.0],
        "losses": [0.8, 0.3],
        "early": 0.4,
        "reached": True,
    }
    assert (page.texts["dt"], page.texts["dd"]) == (["Model"], ["m"])


def test_markdown_holds_the_same(tmp_path):
    table = made_table(50)
    path = write_report(table, tmp_path / "report.md", facts={"Model": "m|n"})
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# Which samples are at risk of being memorized?\n")
    assert "| Model | m\\|n |" in text
    assert "Not checked on this data." in text
    first = table.riskiest(1)["text"][0]
    [row] = [line for line in text.splitlines() if line.startswith("| 1 |")]
    assert row.endswith(f" {first} |")
    ranks = [
        int(n) for n in re.findall(r"^\| (\d+) \| [\d.]+ % \|", text, re.MULTILINE)
    ]
    assert ranks[-10:] == list(range(1, 11))
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block


@pytest.mark.parametrize("old", [None, "precious"])
def test_page_appears_whole_or_not_at_all(tmp_path, old):
    path = tmp_path / "report.html"
    if old:
        path.write_text(old)
    with pytest.raises(UnicodeEncodeError):
        written(path, facts={"fine": "fine " * 10_000, "odd": "\ud800"})
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"][: bool(old)]
    assert not old or path.read_text() == old


def test_mistakes_are_said(path):
    table = made_table(9)
    for options, match in [
        ({"n_rows": 0}, "n_rows must be 1 or more; got 0"),
        ({"columns": {"a": [1]}}, "columns must have a row a sample; got 1 for 9"),
    ]:
        with pytest.raises(InvalidInputError, match=match):
            write_report(table, path, **options)
    with pytest.raises(InvalidInputError, match=r"must end in .html, .md or .json"):
        write_report(table, path.with_suffix(".txt"))
    with pytest.raises(InvalidInputError, match="needs at least one sample"):
        write_report(RiskTable([], []), path)
    twice = RiskTable(SCORES, LABELS, id=["a", "b", "a", "c"])
    with pytest.raises(InvalidInputError, match="got 'a' more than once"):
        write_report(twice, path)
    odd = pl.DataFrame({"raw": [b"\xff"] * 9})
    with pytest.raises(InvalidInputError, match="The column 'raw' of Binary"):
        write_report(table, path, columns=odd)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([True, False], ["false", "true"]),
        ([10, 3], ["3", "10"]),
        ([1.0, 2.0], ["1", "2"]),
        (["10", "3"], ["10", "3"]),
    ],
)
def test_labels_and_ids_are_named_as_in_files(tmp_path, labels, names):
    table = RiskTable(range(6), labels * 3, id=np.arange(6.0))
    data = json_of(tmp_path, table)
    assert data["classes"] == names
    assert data["rows"]["id"] == ["0", "1", "2", "3", "4", "5"]
