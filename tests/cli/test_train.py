"""The train command does what the library does, and leaves a model to open."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import LABELS, TEXTS, mistake, succeed, write
from safetensors.numpy import load_file
from scipy.special import softmax
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from smilearn import (
    FilteredEstimator,
    FineTunedClassifier,
    HiddenStateEmbedder,
    RiskFilter,
    RiskReweighter,
    SlicedMIScorer,
)

pytestmark = pytest.mark.usefixtures("one_thread")
COLUMNS = ["--text", "text", "--label", "label"]
NIMBLE = ["--max-epochs", "2", "--learning-rate", "0.01", "--batch-size", "4"]


def classifier(model, **changed):
    settings = {"max_epochs": 2, "learning_rate": 0.01, "batch_size": 4}
    settings |= {"head": "standard", "random_state": 0}
    return FineTunedClassifier(model, **settings, **changed)


def probabilities(folder):
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [model(**tokenizer(text, return_tensors="pt")).logits[0] for text in TEXTS]
    return softmax([row.detach().numpy() for row in rows], axis=1)


def weights(folder):
    return load_file(Path(folder, "model.safetensors"))


def train(data, model, *options):
    options = [*COLUMNS, *NIMBLE, "--model", model, "--out", "model", *options]
    return succeed("train", data, *options).stdout


def test_a_model_that_transformers_opens(data, tiny_encoder):
    said = train(data, tiny_encoder, "--test", data)
    expected = classifier(tiny_encoder).fit(TEXTS, LABELS)
    p = probabilities("model")
    np.testing.assert_allclose(p, expected.predict_proba(TEXTS), atol=1e-5)
    accuracy = (expected.predict(TEXTS) == LABELS).mean()
    assert said.startswith("model: trained on 20 samples of 2 classes, 2 epochs, ")
    assert said.endswith(f"; accuracy {accuracy:.3f} on {data}.\n")


@pytest.mark.parametrize("protect", ["drop", "reweight", "flatten", "passes", "clip"])
def test_risky_rows_are_protected(data, tiny_encoder, protect):
    options = ["--protect", protect, "--share", "10%", "--json"]
    facts = json.loads(train(data, tiny_encoder, *options))
    X = HiddenStateEmbedder(tiny_encoder, layer="spread").fit_transform(TEXTS)
    scorer = SlicedMIScorer(random_state=0).fit(X, LABELS)
    table = scorer.to_table()
    table.to_csv("risk.csv")
    cleaner = RiskFilter(table, share=0.1)
    on = {"reweight": "loss", "flatten": "label", "clip": "gradient"}.get(protect)
    plain = classifier(tiny_encoder)
    if protect == "drop":
        model = FilteredEstimator(plain, cleaner)
    else:
        model = RiskReweighter(plain, cleaner, on=on or protect)
    model.fit(TEXTS, LABELS)
    p = probabilities("model")
    np.testing.assert_allclose(p, model.predict_proba(TEXTS), atol=1e-4)
    assert facts["n_risky"] == 2
    assert facts["protect"] == protect
    # the same by a table of the score command
    again = [*COLUMNS, *NIMBLE, "--model", tiny_encoder, "--out", "again"]
    again += [*options, "--risk", "risk.csv"]
    succeed("train", data, *again)
    np.testing.assert_allclose(probabilities("again"), p, atol=1e-3)


def test_privacy_and_the_early_point(data, tiny_encoder):
    facts = json.loads(train(data, tiny_encoder, "--epsilon", "8", "--json"))
    assert 7.9 < facts["epsilon"] <= 8
    assert facts["delta"] == pytest.approx(0.1 / 20)
    again = [*COLUMNS, *NIMBLE, "--model", tiny_encoder, "--out", "again"]
    succeed("train", data, *again, "--epsilon", "8")
    one, other = (weights(folder) for folder in ("model", "again"))
    assert any(not np.array_equal(one[name], other[name]) for name in one)  # a secret
    early = [*COLUMNS, "--model", tiny_encoder, "--out", "early", "--protect", "early"]
    early += ["--max-epochs", "30", "--learning-rate", "0.01", "--json"]
    assert json.loads(succeed("train", data, *early).stdout)["epochs"] < 30


def test_it_goes_on_from_its_folder(data, tiny_encoder):
    train(data, tiny_encoder, "--folder", "run")
    assert any(Path("run").glob("checkpoint-*"))
    succeed(
        "train",
        data,
        *COLUMNS,
        *NIMBLE,
        *["--model", tiny_encoder, "--out", "again", "--folder", "run"],
    )
    np.testing.assert_allclose(probabilities("again"), probabilities("model"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--share", "5%"], "--share says which rows are risky"),
        (["--protect", "early", "--share", "5%"], "name a protection of rows"),
        (["--epsilon", "0"], "0.0 is not a number above 0"),
        (["--epsilon", "8", "--protect", "early"], "privacy needs early_point=None or"),
        (["--epsilon", "8", "--protect", "drop"], "no guarantee is left"),
        (["--protect", "pray"], "'pray' is not one of"),
        (["--test", "other.csv"], "none of its labels, such as 'x', is one of"),
        (["--epsilon", "inf"], "is not a number above 0"),
        (["--id", "key"], "--id is of the risk table"),
    ],
)
def test_mistakes(data, tiny_encoder, options, message):
    write({"text": ["a"], "label": ["x"]}, "other.csv")
    Path("full").mkdir()
    Path("full/notes.txt").touch()
    arguments = [*COLUMNS, "--model", tiny_encoder, "--out"]
    assert message in mistake("train", data, *arguments, "model", *options)
    assert "full is not empty" in mistake("train", data, *arguments, "full")
    assert not Path("model").exists()
