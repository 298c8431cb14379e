"""The demonstration: its counts, recomputed from what it wrote."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import mistake, read, succeed
from sklearn.metrics import roc_auc_score

from smilearn import FineTunedEmbedder, HiddenStateEmbedder, SlicedMIScorer, datasets
from smilearn.cli import _demo, _workflow
from smilearn.datasets import load_rotten_tomatoes, packaged_minilm

OPTIONS = ["--n-samples", 80, "--max-epochs", 1]  # 24 labels flipped, 4 samples go
NAMES = ["risk.csv", "kept.csv", "report.html"]
ORIGINALS = [(datasets, "packaged_minilm"), (_demo, "FLIPPED_SHARE")]
ORIGINALS = [(*place, getattr(*place)) for place in ORIGINALS]
score_texts = _workflow.score_texts


@pytest.fixture(scope="module")
def tiny(tiny_encoder, one_thread):
    """A tiny encoder for MiniLM, which learns faster, and enough flips to count."""

    def score(*data, moment="early", **options):
        options |= {"learning_rate": 3e-3} if moment == "early" else {}
        return score_texts(*data, moment=moment, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "packaged_minilm", lambda: tiny_encoder)
        patch.setattr(_demo, "FLIPPED_SHARE", 0.3)
        patch.setattr(_workflow, "score_texts", score)
        yield


@pytest.fixture(scope="module")
def demo(tiny, tmp_path_factory):
    """Folder and facts of a run."""
    folder = tmp_path_factory.mktemp("demo") / "new"
    done = succeed("demo", *OPTIONS, "--out", folder, "--json")
    assert "smilearn: warning: max_epochs=1 passed" in done.stderr
    return folder, json.loads(done.stdout)


def check(folder, facts, model, **tuning):
    """Compare a demonstration with its files and with a count by hand."""
    assert facts["files"] == {name: str(folder / name) for name in NAMES}
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
    table = read(folder / "risk.csv")
    reviews = load_rotten_tomatoes(facts["n_samples"], random_state=0)
    truth = np.array(["negative", "positive"])[reviews.labels]
    labels, n_samples = np.array(table["label"]), facts["n_samples"]
    flipped = labels != truth
    assert table["text"] == reviews.texts
    assert facts["n_flipped"] == flipped.sum() == round(_demo.FLIPPED_SHARE * n_samples)

    risk = np.array(table["risk"], float)
    removed = np.argsort(-risk, kind="stable")[: n_samples * 5 // 100]
    left = np.delete(np.arange(n_samples), removed)
    texts = [reviews.texts[i] for i in left]
    assert read(folder / "kept.csv") == {"text": texts, "label": labels[left].tolist()}
    assert facts["kept_flips"] == flipped[left].sum() < flipped.sum()

    X = HiddenStateEmbedder(model, layer="spread").fit_transform(reviews.texts)
    before = -SlicedMIScorer(random_state=0).fit(X, labels).scores_
    embedder = FineTunedEmbedder(model, random_state=0, **tuning)
    embedder.fit_transform(reviews.texts, labels)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert f"{n_samples} Rotten Tomatoes sentences; {flipped.sum()} labels" in page
    rows = zip((before, risk, embedder.losses_), facts["found"], strict=True)
    for values, row in rows:
        order = np.argsort(-values, kind="stable")
        assert row["top 3 %"] == flipped[order[: round(0.03 * n_samples)]].sum()
        assert row["top 10 %"] == flipped[order[: n_samples // 10]].sum()
        assert row["auc"] == pytest.approx(roc_auc_score(flipped, values), abs=1e-3)
        numbers = (row["top 3 %"], row["top 10 %"], f"{row['auc']:.3f}")
        cells = "".join(f"<td>{number}</td>" for number in numbers)
        assert f"<td>{row['name']}</td>{cells}" in page
    losses = [round(entry["median_loss"], 4) for entry in facts["history"]]
    assert f'"losses":{json.dumps(losses).replace(" ", "")}' in page
    assert '"near":[[' in page


@pytest.mark.filterwarnings("ignore::smilearn.exceptions.SmilearnWarning")
def test_counts_are_those_of_the_files(demo, tiny_encoder):
    folder, facts = demo
    check(folder, facts, tiny_encoder, max_epochs=1, learning_rate=3e-3)
    assert len({row["auc"] for row in facts["found"]}) == 3  # each has its own


def test_same_seed_same_files_and_people_see_them(demo):
    folder, facts = demo
    shown = " ".join(succeed("demo", *OPTIONS).stdout.split())
    for name in NAMES:
        assert Path("smilearn-demo", name).read_bytes() == (folder / name).read_bytes()
    assert "80 Rotten Tomatoes sentences; 30% of the labels flipped" in shown
    for entry in facts["history"]:
        assert f"epoch {entry['epoch']:.2f} {entry['median_loss']:.3f}" in shown
    assert ") NOT reached at epoch 1.00" in shown
    for row in facts["found"]:
        assert f"{row['top 3 %']} │ {row['top 10 %']} │ {row['auc']}" in shown
    assert f"holds {facts['kept_flips']} of the {facts['n_flipped']} flips" in shown
    assert "│ flip │" in shown


def test_the_command_says_what_it_lacks(folder):
    line = mistake("demo", "--n-samples", 9000, "--max-epochs", 1, "--quiet")
    assert line == "smilearn: n_samples must be between 1 and 8530; got 9000."
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_flips_are_found_with_the_real_model(folder, monkeypatch):
    for place in [*ORIGINALS, (_workflow, "score_texts", score_texts)]:
        monkeypatch.setattr(*place)
    done = succeed("demo", "--n-samples", 300, "--out", folder / "new", "--json")
    facts = json.loads(done.stdout)
    assert facts["early_point_reached"]
    check(folder / "new", facts, packaged_minilm(), max_epochs=5)
    assert min(row["auc"] for row in facts["found"]) > 0.65  # chance is 0.5
