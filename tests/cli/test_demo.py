"""The demonstration: its counts, recomputed from what it wrote."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from table_files import read_columns
from typer.testing import CliRunner

from smilearn import SentenceEmbedder, SlicedMIScorer
from smilearn.cli import _demo
from smilearn.cli._app import app
from smilearn.cli._score import score_texts
from smilearn.datasets import load_rotten_tomatoes
from smilearn.exceptions import EarlyPointWarning

N_SAMPLES = 80  # 24 labels flipped, 4 samples removed
ORIGINALS = {
    name: getattr(_demo, name)
    for name in ("packaged_minilm", "FLIPPED_SHARE", "score_texts")
}
NAMES = ["kept.csv", "report.html", "risk.csv"]


@contextmanager
def one_thread():
    """Two threads on a busy machine wait for each other longer than they work."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def tiny(tiny_encoder):
    """A tiny encoder for MiniLM, which learns faster, and enough flips to count."""

    def score(*data, moment="early", **options):
        if moment == "early":
            options["learning_rate"] = 3e-3
        return score_texts(*data, moment=moment, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_demo, "packaged_minilm", lambda: tiny_encoder)
        patch.setattr(_demo, "FLIPPED_SHARE", 0.3)
        patch.setattr(_demo, "score_texts", score)
        yield


@one_thread()
def run(folder, seed=0):
    with pytest.warns(EarlyPointWarning, match="max_epochs=1"):
        return _demo.run_demo(folder, n_samples=N_SAMPLES, max_epochs=1, seed=seed)


@pytest.fixture(scope="module")
def found(tiny, tmp_path_factory):
    return run(tmp_path_factory.mktemp("demo") / "new")


def area_under_curve(risk, flipped):
    """Share of pairs in which the flipped sample is riskier; ties count half."""
    gap = np.subtract.outer(risk[flipped], risk[~flipped])
    return ((gap > 0) + 0.5 * (gap == 0)).mean()


@one_thread()
def check(found, n_samples):
    """Compare a demonstration with its files and with a count by hand."""
    reviews = load_rotten_tomatoes(n_samples, random_state=0)
    truth = np.array(["negative", "positive"])[reviews.labels]
    labels, flipped = found.outcome.table["label"], found.flipped
    np.testing.assert_array_equal(flipped, labels != truth)
    assert flipped.sum() == round(_demo.FLIPPED_SHARE * n_samples)
    assert sorted(path.name for path in found.files.values()) == NAMES
    [folder] = {path.parent for path in found.files.values()}
    assert sorted(path.name for path in folder.iterdir()) == NAMES

    risk_table = read_columns(folder / "risk.csv")
    assert risk_table["text"] == reviews.texts
    assert risk_table["label"] == labels.tolist()
    risk = np.array(risk_table["risk"], float)
    removed = np.argsort(-risk, kind="stable")[: n_samples * 5 // 100]
    left = [i for i in range(n_samples) if i not in removed]
    assert read_columns(folder / "kept.csv") == {
        "text": [reviews.texts[i] for i in left],
        "label": labels[left].tolist(),
    }
    assert found.kept_flips == flipped[left].sum()

    embedder, model = found.outcome.embedder, found.outcome.model
    X = SentenceEmbedder(model).fit_transform(reviews.texts)
    before = -SlicedMIScorer(random_state=0).fit(X, labels).scores_
    rows = zip((before, risk, embedder.losses_), found.comparison, strict=True)
    for values, row in rows:
        order = np.argsort(-values, kind="stable")
        assert row["top 3 %"] == flipped[order[: round(0.03 * n_samples)]].sum()
        assert row["top 10 %"] == flipped[order[: n_samples // 10]].sum()
        assert row["auc"] == pytest.approx(area_under_curve(values, flipped), abs=1e-6)
    names = [row["name"] for row in found.comparison]
    assert [name.partition(",")[0] for name in names] == ["PSMI", "PSMI", "plain loss"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert f"{n_samples} Rotten Tomatoes sentences; {flipped.sum()} labels" in page
    for row in found.comparison:
        numbers = (row["top 3 %"], row["top 10 %"], f"{row['auc']:.3f}")
        cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
        assert f"<td>{row['name']}</td>{cells}" in page
    assert page.count("<circle") == len(embedder.history_)


def test_counts_are_those_of_the_files(found):
    check(found, N_SAMPLES)
    areas = {row["auc"] for row in found.comparison}
    assert len(areas) == 3  # or it would not show which is which
    assert all(row["top 10 %"] for row in found.comparison)
    assert 0 < found.kept_flips < found.flipped.sum()


def test_same_seed_same_files(found, tmp_path):
    again = run(tmp_path / "again")
    assert again.comparison == found.comparison
    for name in NAMES:
        assert again.files[name].read_bytes() == found.files[name].read_bytes()


def test_another_seed_draws_others(found, tmp_path):
    other = run(tmp_path, seed=1)
    texts = [set(demo.outcome.table["text"]) for demo in (found, other)]
    assert len(texts[0] & texts[1]) < N_SAMPLES / 2
    assert len(texts[1]) > N_SAMPLES / 2


@one_thread()
def test_command_prints_what_was_found(found, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--n-samples", str(N_SAMPLES), "--max-epochs", "1"]
    done = CliRunner().invoke(app, ["demo", *options])
    assert done.exit_code == 0
    [line] = done.stderr.splitlines()
    assert line.startswith("smilearn: warning: max_epochs=1 passed")
    folder = tmp_path / "smilearn-demo"
    for name in NAMES:
        assert (folder / name).read_bytes() == found.files[name].read_bytes()
    shown = " ".join(done.stdout.split())
    assert "80 Rotten Tomatoes sentences; 30% of the labels flipped" in shown
    for entry in found.outcome.embedder.history_:
        assert f"epoch {entry['epoch']:.2f} {entry['median_loss']:.3f}" in shown
    assert "early point (median loss" in shown
    assert ") NOT reached at epoch 1.00" in shown
    for row in found.comparison:
        assert f"{row['top 3 %']} │ {row['top 10 %']} │ {row['auc']:.3f}" in shown
    n_flips = found.flipped.sum()
    assert f"kept.csv holds {found.kept_flips} of the {n_flips} flips" in shown
    table = found.outcome.table
    flips = [found.flipped[i] for i in table.riskiest(10)["id"]]
    assert done.stdout.count(" flip ") == sum(flips)


def test_command_says_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["demo", "--n-samples", "9000", "--max-epochs", "1"])
    assert done.exit_code == 2
    assert "smilearn: n_samples must be between 1 and 8530; got 9000." in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@one_thread()
def test_flips_are_found_with_the_real_model(tmp_path, monkeypatch):
    for name, value in ORIGINALS.items():
        monkeypatch.setattr(_demo, name, value)
    found = _demo.run_demo(tmp_path, n_samples=300, max_epochs=5)
    assert found.outcome.embedder.early_point_reached_
    check(found, 300)
    assert min(row["auc"] for row in found.comparison) > 0.65  # chance is 0.5
    assert found.kept_flips < found.flipped.sum()
