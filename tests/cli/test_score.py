"""The score command writes what the library computes, to files and to pipes."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import LABELS, TEXTS, mistake, read, succeed, write
from sklearn.pipeline import make_pipeline
from transformers import AutoModel

from smilearn import (
    FineTunedClassifier,
    HeldOutScorer,
    HiddenStateEmbedder,
    RiskTable,
    SentenceEmbedder,
    SlicedMIScorer,
)

COLUMNS = ["id", "label", "text", "risk", "probability", "psmi", "std", "rank"]
COLUMNS += ["class_support", "most_likely_label"]
SUFFIXES = [".csv", ".jsonl", ".parquet"]
OPTIONS = ["--label", "label", "--embeddings", "X.npy", "--n-slices", "16"]


def score_texts(data, out, *options, moment="before"):
    columns = ["--label", "label", "--text", "text"]
    return succeed("score", data, *columns, "--moment", moment, "--out", out, *options)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_scores_before_training_are_those_of_the_library(tiny_encoder, suffix):
    write({"label": LABELS, "n": [1] * 20, "text": TEXTS}, f"data{suffix}")
    done = score_texts(f"data{suffix}", "risk.csv", "--model", tiny_encoder)
    X = HiddenStateEmbedder(tiny_encoder, layer="spread").fit_transform(TEXTS)
    scorer = SlicedMIScorer(random_state=0).fit(X, LABELS)
    risk = RiskTable.read("risk.csv")
    assert list(risk.columns) == COLUMNS
    assert risk["text"].tolist() == TEXTS
    assert risk["label"].tolist() == LABELS
    np.testing.assert_allclose(risk["risk"], -scorer.scores_, rtol=1e-5)
    np.testing.assert_allclose(risk["std"], scorer.scores_std_, rtol=1e-5)
    assert done.stdout.startswith("risk.csv: 20 samples, 2 classes; slices: ")
    assert done.stderr == ""


def test_psmi_alone(data):
    done = succeed("score", data, *OPTIONS, "--no-pooled", "--out", "risk.csv")
    scorer = SlicedMIScorer(16, pooled=False, random_state=0)
    scores = scorer.fit(np.load("X.npy"), LABELS).scores_
    risk = RiskTable.read("risk.csv")
    np.testing.assert_allclose(risk["risk"], -scores, rtol=1e-5)
    assert "probability" not in risk.columns
    assert "slices: 16" in done.stdout


def test_scores_of_the_sentence_embedding(data, tiny_encoder):
    options = ("--model", tiny_encoder, "--layers", "sentence")
    score_texts(data, "risk.csv", *options)
    X = SentenceEmbedder(tiny_encoder).fit_transform(TEXTS)
    scores = SlicedMIScorer(random_state=0).fit(X, LABELS).scores_
    np.testing.assert_allclose(RiskTable.read("risk.csv")["risk"], -scores, rtol=1e-5)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_scores_of_embeddings(data, suffix):
    done = succeed("score", data, *OPTIONS, "--out", f"new/risk{suffix}")
    X = np.load("X.npy")
    scorer = SlicedMIScorer(16, random_state=0).fit(X, LABELS)
    risk = RiskTable.read(f"new/risk{suffix}")
    np.testing.assert_allclose(risk["risk"], -scorer.scores_, rtol=1e-5)
    assert list(risk.columns) == [name for name in COLUMNS if name != "text"]
    assert f"; slices: {scorer.n_slices_}, reliability " in done.stdout


def test_early_scores_warn_in_lines_and_print_json(data, tiny_encoder):
    options = ("--model", tiny_encoder, "--max-epochs", 2, "--json")
    done = score_texts(data, "risk.jsonl", *options, moment="early")
    facts = json.loads(done.stdout)
    assert (facts["n_samples"], facts["n_classes"]) == (20, 2)
    assert (facts["model"], facts["early_point_reached"]) == (tiny_encoder, False)
    assert [entry["step"] for entry in facts["history"]] == [0, 1, 2]
    [line] = done.stderr.splitlines()
    assert line.startswith("smilearn: warning: max_epochs=2 passed before the early")
    risk = read("risk.jsonl")
    again = score_texts(data, "again.jsonl", *options, moment="early")
    assert json.loads(again.stdout) == {**facts, "out": "again.jsonl"}
    assert read("again.jsonl") == risk
    score_texts(data, "other.jsonl", *options, "--seed", 1, moment="early")
    assert read("other.jsonl")["risk"] != risk["risk"]


@pytest.mark.parametrize("moment", ["before", "early", "held-out"])
def test_a_model_without_a_tokenizer_is_a_mistake(data, tiny_encoder, moment):
    AutoModel.from_pretrained(tiny_encoder).save_pretrained("bare")
    options = ("--text", "text", "--label", "label", "--moment", moment)
    line = mistake("score", data, *options, "--model", "bare")
    assert "'bare' has no tokenizer of its own" in line


def test_held_out_scores_say_what_was_spent(data, tiny_encoder):
    options = ("--model", tiny_encoder, "--n-slices", 16)
    done = score_texts(data, "risk.csv", *options, moment="held-out")
    prior = HiddenStateEmbedder(tiny_encoder, layer="spread")
    prior = make_pipeline(prior, SlicedMIScorer(16, random_state=0))
    runs = FineTunedClassifier(tiny_encoder, max_epochs=2)
    scorer = HeldOutScorer(runs, prior=prior, random_state=0).fit(TEXTS, LABELS)
    risk = RiskTable.read("risk.csv")
    np.testing.assert_allclose(risk["risk"], -scorer.scores_, rtol=1e-5)
    first, second, *_ = done.stdout.splitlines()
    assert first.startswith("spent: two runs, epochs: 2, each on half of the data; as")
    assert "as much as 2.0 epochs of a training on all. Weights: runs " in first
    assert second.startswith("risk.csv: 20 samples, 2 classes; slices: 16, ")
    more = (*options, "--max-epochs", 1, "--json")
    facts = json.loads(score_texts(data, "x.csv", *more, moment="held-out").stdout)
    assert facts["epochs_spent"] == 1
    names = {"held_out", "held_out_embeddings", "prior_scorer", "prior"}
    assert set(facts["weights"]) == names
    columns = ("--label", "label", "--text", "text", "--moment", "held-out")
    line = mistake("score", data, *columns, "--no-pooled", "--out", "x.csv")
    assert "leave out --no-pooled" in line
    np.save("rows.npy", np.eye(20))
    line = mistake("score", data, *columns, "--embeddings", "rows.npy")
    assert "fine-tunes a model on texts; leave out --embeddings" in line


@pytest.mark.parametrize("moment", ["early", "held-out"])
def test_a_folder_keeps_what_is_trained(data, tiny_encoder, moment):
    options = ("--model", tiny_encoder, "--max-epochs", 1, "--folder", "runs")
    first = score_texts(data, "first.csv", *options, "--json", moment=moment)
    kept = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*.*")}
    assert kept
    second = score_texts(data, "second.csv", *options, "--json", moment=moment)
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    assert RiskTable.read("first.csv").frame.equals(RiskTable.read("second.csv").frame)
    facts = json.loads(first.stdout)
    assert json.loads(second.stdout) == facts | {"out": "second.csv"}
    columns = ("--label", "label", "--text", "text", "--moment", "before")
    line = mistake("score", data, *columns, "--folder", "runs")
    assert line.startswith("smilearn: --folder is of a fine-tune, and here nothing")


def test_warning_of_cut_texts_is_a_line(tiny_encoder):
    write({"text": [*TEXTS, "a " * 99], "label": [*LABELS, "pos"]}, "data.csv")
    done = score_texts("data.csv", "r.csv", "--model", tiny_encoder)
    [line] = done.stderr.splitlines()
    assert line.startswith("smilearn: warning: 1 of 21 texts are longer than the 64")
    done = score_texts("data.csv", "r.csv", "--model", tiny_encoder, "--quiet")
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("out", [[], ["--out", "-"]], ids=["none", "dash"])
@pytest.mark.parametrize("source", ["-", "--stdin"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_pipe_gets_what_a_file_gets(data, kind, source, out):
    write(read(data), f"d.{kind}")
    succeed("score", data, *OPTIONS, "--text", "text", "--out", f"r.{kind}")
    options = ["--text", "text", *out] + ["--format", "csv"] * (kind == "csv")
    stdin = Path(f"d.{kind}").read_bytes()
    done = succeed("score", source, *OPTIONS, *options, stdin=stdin)
    assert done.stdout_bytes == Path(f"r.{kind}").read_bytes()
    assert done.stderr.startswith("standard output: 20 samples, ")
    quiet = succeed("score", source, *OPTIONS, *options, "--quiet", stdin=stdin)
    assert (quiet.stdout, quiet.stderr) == (done.stdout, "")


def test_a_file_goes_to_standard_output_in_its_format(data):
    assert succeed("score", data, *OPTIONS).stdout.startswith("id,label,")
    done = succeed("score", data, *OPTIONS, "--format", "jsonl")
    assert json.loads(done.stdout.splitlines()[0])["id"] == 0
    write({"label": LABELS}, "data.parquet")
    done = succeed("score", "data.parquet", *OPTIONS)
    assert json.loads(done.stdout.splitlines()[0])["label"] == "neg"


@pytest.mark.parametrize("ids", [[f"0{i}" for i in range(20)], [*range(20, 40)]])
def test_ids_of_the_user_are_kept_and_filter_finds_them(data, ids):
    write({"key": ids, "label": LABELS}, "keyed.parquet")
    succeed("score", "keyed.parquet", *OPTIONS, "--id", "key", "--out", "r.parquet")
    table = RiskTable.read("r.parquet")
    assert table["id"].tolist() == ids
    order = np.random.default_rng(1).permutation(20)
    shuffled = [ids[i] for i in order]
    write({"key": shuffled, "y": [LABELS[i] for i in order]}, "other.csv")
    options = ["--risk", "r.parquet", "--id", "key", "--label", "y", "--n-remove", 3]
    done = succeed("filter", "other.csv", *options, "--out", "k.csv", "--json")
    riskiest = set(table.riskiest(3)["id"].tolist())
    assert {shuffled[i] for i in json.loads(done.stdout)["removed"]} == riskiest
    assert read("k.csv")["key"] == [str(k) for k in shuffled if k not in riskiest]


@pytest.mark.parametrize(
    ("labels", "classes"), [([0.0, 1.0], {0, 1}), ([True, False], {True, False})]
)
def test_labels_keep_their_type(data, labels, classes):
    write({"label": labels * 10}, "d.parquet")
    succeed("score", "d.parquet", *OPTIONS, "--out", "r.parquet")
    found = RiskTable.read("r.parquet")["label"].tolist()
    assert set(found) == classes
    assert {*map(type, found)} == {*map(type, classes)}


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (
            "label",
            [0.5, 1.0] * 10,
            "strings or whole numbers; column 'label' holds Float64",
        ),
        (
            "label",
            [["a"]] * 20,
            "strings or whole numbers; column 'label' holds List",
        ),
        ("label", ["a", None] * 10, "'label' is empty in 10 of 20 rows"),
        ("label", ["a", ""] * 10, "0: 1, 3, 5, 7, 9, ...)"),
        ("key", [*range(19), 1], "'key' has 1 in row 1 and in row 19"),
        ("key", [float("nan"), *range(19)], "'key' is empty in 1 of 20 rows"),
        ("key", [["a"]] * 20, "ids must be strings, numbers or dates"),
    ],
)
def test_columns_that_cannot_be_used(data, column, values, message):
    write({"label": LABELS, "key": range(20)} | {column: values}, "d.parquet")
    line = mistake("score", "d.parquet", *OPTIONS, "--id", "key", "--out", "r.csv")
    assert message in line
    assert not Path("r.csv").exists()


def test_embeddings_must_be_one_matrix_of_numbers(data):
    np.savez("X.npz", X=np.eye(20))
    np.save("none.npy", np.empty((20, 0)))
    Path("empty.npy").touch()
    Path("text.npy").write_text("0.1,0.2")
    Path("torn.npy").write_bytes(b"PK\x03\x04 torn")
    for name, message in [
        ("X.npz", "expected 20 rows"),
        ("none.npy", "expected 20 rows"),
        ("empty.npy", "not a NumPy array file"),
        ("text.npy", "not a NumPy array file (.npy); write one with numpy.save."),
        ("torn.npy", "not a NumPy array file"),
    ]:
        options = ["--label", "label", "--embeddings", name, "--out", "r.csv"]
        assert message in mistake("score", data, *options)


def test_what_was_found_is_said_in_words(folder):
    rng = np.random.default_rng(0)
    labels = np.repeat(["neg", "pos"], 50)
    X = rng.normal(size=(100, 4)) + 4 * (labels == "pos")[:, None]
    labels[[3, 60, 70]] = ["pos", "neg", "neg"]
    np.save("X.npy", X)
    texts = [f"text {i} " + "long " * 30 for i in range(100)]
    write({"text": texts, "label": labels.tolist()}, "data.csv")
    options = ["--label", "label", "--text", "text", "--embeddings", "X.npy"]
    done = succeed("score", "data.csv", *options, "--out", "risk.csv")
    lines = done.stdout.splitlines()
    assert lines[1] == (
        "3 of 100 labels look wrong: predicted from all other samples, their "
        "probability is below 5%, and another label is likelier (neg: 2, pos: 1)."
    )
    assert lines[2] == "The riskiest:"
    assert {line.split(":")[0].strip() for line in lines[3:6]} == {"3", "60", "70"}
    assert all("likelier" in line and len(line) < 120 for line in lines[3:6])
    assert lines[6:] == [
        "Next: smilearn report risk.csv --out report.html",
        "      smilearn filter data.csv --risk risk.csv --out kept.csv",
    ]
    facts = succeed("score", "data.csv", *options, "--out", "risk.csv", "--json")
    assert json.loads(facts.stdout)["n_improbable"] == 3
    done = succeed("score", "data.csv", *options, "--out", "risk.csv", "--no-pooled")
    assert "look wrong" not in done.stdout
