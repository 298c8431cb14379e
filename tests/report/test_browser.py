"""The report in a real browser: it works, looks right, runs and loads nothing else."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import succeed, write

from smilearn import RiskTable
from smilearn.report import write_report
from smilearn.tables._table import Table

EVIL = "<img src=http://evil.example/x onerror=window.hit=1>"
NASTY = [
    EVIL,
    "</script><script>window.hit=1</script>",
    "<!--<script>",
    "\"' onfocus=window.hit=1 autofocus x='",
    "{{ constructor.constructor('window.hit=1')() }}",
    "]]><svg/onload=window.hit=1>",
    "<style>@import url(http://evil.example/y)</style>",
    "__proto__",
]
LOOKS = (Path(__file__).parent / "looks.js").read_text(encoding="utf-8")


def made(n=200, n_classes=3, **columns):
    """A table whose risk follows from its probability."""
    rng = np.random.default_rng(0)
    probability = rng.beta(2, 1, n)
    names = np.array([f"class {i}" for i in range(n_classes)])
    given = {
        "score": np.log(probability),
        "label": names[rng.integers(n_classes, size=n)].tolist(),
        "probability": probability,
        "most_likely_label": names[rng.integers(n_classes, size=n)].tolist(),
        "text": [f"text number {i} " + "with more words " * (i % 9) for i in range(n)],
        "id": [f"k{i:03}" for i in range(n)],
    }
    return RiskTable(**given | columns)


@pytest.fixture(scope="module")
def table():
    return made()


@pytest.fixture(scope="module")
def report(table, tmp_path_factory):
    history = [{"epoch": i / 2, "median_loss": 0.7 - i / 10} for i in range(5)]
    embedder = SimpleNamespace(
        history_=history, early_point_loss_=0.35, early_point_reached_=True
    )
    return write_report(
        table,
        tmp_path_factory.mktemp("report") / "report.html",
        facts={"Data": "d.csv", "Command": "smilearn score d.csv " + "--keep x " * 20},
        files={"data": "d.csv", "risk": "risk.csv", "id": "key", "label": "y"},
        columns={
            "stars": [i % 5 for i in range(200)],
            "source": ["web", "print"] * 100,
        },
        embeddings=np.random.default_rng(0).normal(size=(200, 4)),
        embedder=embedder,
        evidence={
            "A comparison": Table({"scorer": ["score", "lda"], "AUC": [0.8, 0.7]})
        },
        warnings=["Something to know."],
    )


def column(page, name):
    return page.locator(f"#rows tbody td.{name}").all_inner_texts()


def shown_ids(page):
    rows = page.locator("#rows tbody tr[data-id]")
    return rows.evaluate_all("rows => rows.map(row => row.dataset.id)")


def test_rows_are_sorted_by_any_column(opened, report, table):
    page = opened(report)
    riskiest = table.riskiest()["id"].tolist()
    assert shown_ids(page) == riskiest[:50]
    header = page.locator("#rows thead")
    header.get_by_role("button", name="Probability").click()
    assert shown_ids(page) == riskiest[:50]
    assert (
        header.locator("[aria-sort=ascending]").inner_text().startswith("Probability")
    )
    header.get_by_role("button", name="Probability").click()
    assert shown_ids(page) == riskiest[::-1][:50]
    header.get_by_role("button", name="stars").click()
    assert {*column(page, "own0")} == {"0", "1"}
    header.get_by_role("button", name="Label", exact=True).click()
    assert {*column(page, "label")} == {"class 0"}
    page.select_option("#scope", "by_class")
    assert column(page, "rank")[:4] == ["1\ncut"] * 3 + ["2\ncut"]
    assert {*column(page, "label")[:3]} == {"class 0", "class 1", "class 2"}


def test_more_rows_and_other_columns_are_shown_on_request(opened, report, table):
    page = opened(report)
    assert "50 of 200 samples." in page.inner_text("#status")
    page.click("#more")
    assert len(shown_ids(page)) == 150
    page.click("#more")
    assert len(shown_ids(page)) == 200
    assert not page.is_visible("#more")
    page.click("summary")
    page.locator("#chooser").get_by_label("Id", exact=True).check()
    page.locator("#chooser").get_by_label("Risk", exact=True).uncheck()
    assert column(page, "id") == table.riskiest()["id"].tolist()
    assert column(page, "risk") == []


def test_a_row_shows_its_whole_text_and_its_nearest(opened, report, table):
    page = opened(report)
    first = table.riskiest(1)
    row = page.locator("#rows tbody tr").first
    row.locator("button.text").click()
    detail = page.locator("#rows tr.detail").inner_text()
    assert first["id"][0] in detail
    assert f"Nearest with this label ({first['label'][0]})" in detail
    assert "stars" in detail
    assert row.locator("button.text").get_attribute("aria-expanded") == "true"
    row.locator("button.text").click()
    assert page.locator("#rows tr.detail").count() == 0


def test_rows_are_filtered(opened, report, table):
    page = opened(report)
    page.click("#more")
    page.click("#more")
    page.select_option("#label", label="class 1")
    assert {*column(page, "label")} == {"class 1"}
    n_own = int((table["label"] == "class 1").sum())
    assert f"of {n_own} that match" in page.inner_text("#status")
    page.click("#reset")
    assert "50 of 200 samples" in page.inner_text("#status")
    page.fill("#search", "NUMBER 17 ")
    assert shown_ids(page) == ["k017"]
    page.fill("#search", "nothing is like this")
    assert "No sample is like that." in page.inner_text("#rows tbody")
    page.click("#reset")
    page.fill("#from", "1")
    page.fill("#to", "1.5")
    page.locator("#to").press("Tab")
    inside = (table["risk"] >= 1) & (table["risk"] < 1.5)
    assert {*shown_ids(page)} == {*table["id"][inside]}


def test_a_class_and_a_cell_of_the_matrix_filter(opened, report, table):
    page = opened(report)
    page.get_by_role("button", name="class 2", exact=True).click()
    assert {*column(page, "label")} == {"class 2"}
    page.get_by_role("button", name="class 2", exact=True).click()
    assert {*column(page, "label")} > {"class 2"}
    both = table["label"] == "class 0"
    both &= table["most_likely_label"] == "class 1"
    page.get_by_role("button", name="of class 0 that look like class 1").click()
    assert {*shown_ids(page)} == {*table["id"][both]}
    cells = page.locator("#matrix tbody button").all_inner_texts()
    assert sum(map(int, cells)) == 200


def test_brushing_the_histogram_filters(opened, report, table):
    page = opened(report)
    box = page.locator("#histogram svg").bounding_box()
    x, y = box["x"] + box["width"], box["y"] + box["height"] / 2
    page.mouse.move(x - 12, y)
    page.mouse.down()
    page.mouse.move(x - 260, y, steps=4)
    page.mouse.up()
    least = float(page.input_value("#from"))
    assert page.input_value("#to") == ""
    above = table["id"][table["risk"] >= least]
    assert 0 < len(above) < 50
    assert {*shown_ids(page)} == {*above}
    low = box["y"] + box["height"] - 45  # in the outer bar
    page.mouse.click(x - 15, low)
    least = float(page.input_value("#from"))
    assert page.input_value("#to") == ""
    outer = table["id"][table["risk"] >= least]
    assert 0 < len(outer) < len(above)
    assert {*shown_ids(page)} == {*outer}
    page.mouse.click(x - 15, low)
    assert len(shown_ids(page)) == 50


def test_the_slider_says_what_goes(opened, report, table):
    page = opened(report)
    assert page.locator("#rows tr.goes").count() == 10
    page.get_by_role("button", name="10 %").click()
    assert page.inner_text("#share-shown") == "10 %"
    assert page.inner_text("#cut-sentence").startswith("20 of 200 samples are removed.")
    start = "smilearn filter d.csv --risk risk.csv --id key --share 0.1"
    assert page.inner_text("#cut-command") == f"{start} --out kept.csv"
    rows = page.locator("#cut-classes tbody tr").all_inner_texts()
    assert sum(int(row.split("\t")[1].split(" of ")[0]) for row in rows) == 20
    page.get_by_label("the same share of each class").check()
    assert f"{start} --by-class --out" in page.inner_text("#cut-command")
    page.select_option("#scope", "by_class")
    sizes = np.unique(table["label"], return_counts=True)[1]
    assert page.locator("#rows tr.goes").count() == sum(sizes // 10)
    page.locator("#share").focus()
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#share-shown") == "11 %"


def test_a_review_by_keyboard_is_kept_and_exported(opened, report, table, tmp_path):
    page = opened(report)
    first = table.riskiest(5)
    page.locator("#rows tbody tr[data-id]").first.focus()
    for key in ("k", "d", "ArrowDown", "p", "ArrowDown"):
        page.keyboard.press(key)
    odd = next(i for i in range(5, 40) if _likelier_differs(table, i))
    page.locator("#rows tbody tr[data-id]").nth(odd).focus()
    page.keyboard.press("r")
    assert "4 marked: 1 keep, 1 relabel, 1 drop, 1 protect." in page.inner_text(
        "#review-status"
    )
    page.select_option("#marked", "any")
    assert len(shown_ids(page)) == 4
    page.reload()
    assert "4 marked" in page.inner_text("#review-status")
    with page.expect_download() as download:
        page.click("#export")
    assert download.value.suggested_filename == "review.csv"
    download.value.save_as(tmp_path / "review.csv")
    with (tmp_path / "review.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    relabelled = table.riskiest(odd + 1)
    assert [(row["id"], row["action"]) for row in rows] == [
        (first["id"][0], "keep"),
        (first["id"][1], "drop"),
        (first["id"][3], "protect"),
        (relabelled["id"][odd], "relabel"),
    ]
    assert rows[3]["new_label"] == relabelled["most_likely_label"][odd]
    table.to_csv(tmp_path / "risk.csv")
    write({"key": table["id"], "y": table["label"]}, tmp_path / "d.csv")
    command = page.inner_text("#review-command").split()
    assert command[:2] == ["smilearn", "filter"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        done = succeed(*command[1:])
    assert "kept 199 of 200 rows, removed 1" in done.stdout
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("#clear")
    assert page.inner_text("#review-status") == "Nothing is marked yet."


def _likelier_differs(table, place):
    row = table.riskiest(place + 1)
    return row["label"][place] != row["most_likely_label"][place]


def test_a_new_label_can_be_chosen(opened, report, table):
    page = opened(report)
    same = next(i for i in range(50) if not _likelier_differs(table, i))
    row = page.locator("#rows tbody tr[data-id]").nth(same)
    row.press("r")
    assert "the export leaves it out" in page.inner_text("#review-status")
    assert page.locator("#export").is_disabled()
    other = (same + 1) % 50
    page.locator("#rows tbody tr[data-id]").nth(other).press("d")
    with page.expect_download() as download:
        page.click("#export")
    with Path(download.value.path()).open(newline="") as file:
        assert [line["action"] for line in csv.DictReader(file)] == ["drop"]
    page.locator("#rows tbody tr[data-id]").nth(other).press("u")
    row.get_by_label("Review of").select_option("relabel")
    choice = row.get_by_label("New label of")
    choice.select_option("")
    assert "1 to relabel still needs a new label;" in page.inner_text("#review-status")
    choice.select_option(index=1)
    assert "still needs" not in page.inner_text("#review-status")
    row.get_by_label("Review of").select_option("")
    assert page.inner_text("#review-status") == "Nothing is marked yet."


def test_a_command_is_copied(opened, report):
    page = opened(report, permissions=["clipboard-read", "clipboard-write"])
    button = page.locator("[data-copy=cut-command]")
    button.click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.inner_text("#cut-command")


def test_hostile_texts_and_labels_are_shown_and_do_nothing(opened, tmp_path):
    n = 40
    names = NASTY[:4]
    labels = [names[i % 4] for i in range(n)]
    table = made(
        n,
        label=labels,
        most_likely_label=labels[1:] + labels[:1],
        text=[NASTY[i % 8] for i in range(n)],
        id=[f"{NASTY[i % 8]}{i}" if i else "__proto__" for i in range(n)],
    )
    path = write_report(
        table,
        tmp_path / "report.html",
        title=EVIL,
        facts={EVIL: EVIL},
        warnings=NASTY,
        files={"data": EVIL, "id": EVIL, "label": EVIL},
        columns={name: [name] * n for name in NASTY},
        embeddings=np.eye(n),
        evidence={EVIL: RiskTable([1.0], [EVIL])},
    )
    page = opened(path)
    assert page.inner_text("h1") == EVIL
    assert {*column(page, "label")} == {*names}
    assert {*column(page, "text")} == {*NASTY}
    for button in page.locator("button.text").all()[:3]:
        button.click()
    page.locator("#classes button").first.click()
    page.locator("#matrix button").first.click()
    page.locator("#rows tbody tr[data-id]").first.focus()
    page.keyboard.press("d")
    with page.expect_download() as download:
        page.click("#export")
    with Path(download.value.path()).open(newline="", encoding="utf-8") as file:
        [row] = csv.DictReader(file)
    assert (row["id"], row["label"]) in zip(table["id"], labels, strict=True)
    page.wait_for_timeout(200)
    assert page.evaluate("window.hit") is None
    assert (
        page.locator("img, iframe, object, link, main style, main script").count() == 0
    )


def test_what_runs_or_loads_is_refused_by_the_page_itself(chromium, report, tmp_path):
    text = report.read_text(encoding="utf-8")
    more = "<script>window.hit=1</script><img src='http://evil.example/x'>"
    (tmp_path / "changed.html").write_text(text.replace("<main>", f"<main>{more}"))
    context = chromium.new_context()
    page = context.new_page()
    heard, done = [], []
    page.on("console", lambda message: heard.append(message.text))
    page.on("requestfinished", lambda request: done.append(request.url))
    page.goto((tmp_path / "changed.html").as_uri())
    assert page.evaluate("window.hit") is None
    assert all(url.startswith("file:") for url in done)
    assert len([each for each in heard if "Content Security Policy" in each]) == 2
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1400])
def test_nothing_is_clipped_and_all_can_be_read(opened, report, width, scheme):
    page = opened(report, width, scheme)
    page.locator("#rows tbody tr[data-id]").first.press("d")
    page.locator("button.text").nth(2).click()
    found = page.evaluate(LOOKS)
    assert found == {"outside": [], "scrolled": [], "pale": [], "unnamed": []}


def test_many_long_labels_fit_a_phone(opened, tmp_path):
    names = [f"a_label_with_a_very_long_name_{i}" * 3 for i in range(40)]
    rng = np.random.default_rng(0)
    labels, likely = rng.choice(names, (2, 400)).tolist()
    table = made(400, label=labels, most_likely_label=likely)
    page = opened(write_report(table, tmp_path / "report.html"), 360)
    assert page.evaluate(LOOKS)["outside"] == []
    page.click("#more-classes")
    assert page.locator("#classes tbody tr").count() == len({*labels})
    assert page.locator("#matrix tbody tr").count() == 10
    heading = page.locator("#matrix thead .upright").first
    assert heading.get_attribute("title") in names
    assert len(heading.inner_text()) == 20


def test_a_matrix_without_confusions_is_left_out(opened, tmp_path):
    labels = ["a", "b"] * 20
    table = made(40, label=labels, most_likely_label=labels)
    page = opened(write_report(table, tmp_path / "report.html"))
    assert not page.is_visible("#matrix-box")
    assert page.is_visible("#classes")


def test_a_bare_table_is_a_page_too(opened, tmp_path):
    table = RiskTable([0.5, -np.inf, -1.0, np.inf], ["a", "b", "b", "c"])
    page = opened(table.to_html(tmp_path / "report.html"))
    assert column(page, "id") == ["1", "2", "0", "3"]
    assert column(page, "risk") == ["∞", "1.00", "\u22120.50", "\u2212∞"]
    for absent in ("#matrix-box", "#curve-box", "#likely-box"):
        assert not page.is_visible(absent)


def test_without_javascript_the_riskiest_are_there(opened, report, table):
    page = opened(report, java_script_enabled=False)
    assert page.locator("#rows tbody tr").count() == 50
    assert table.riskiest(1)["text"][0].strip() in page.inner_text("#rows tbody")
    assert not page.is_visible("#histogram")
    assert "JavaScript" in page.inner_text("noscript")


def test_print_leaves_controls_out(opened, report):
    page = opened(report, scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate(LOOKS)["pale"] == []
    for control in ("#search", "#export", "#more", "#share", "[data-copy]"):
        assert not page.locator(control).first.is_visible()
    assert page.is_visible("#rows")
    assert page.is_visible("#histogram")
