"""The audit command tells what the library tells, and goes on from its folder."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import LABELS, TEXTS, mistake, read, succeed
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from smilearn import (
    FineTunedClassifier,
    HiddenStateEmbedder,
    ShadowAudit,
    SlicedMIScorer,
)

COLUMNS = ["id", "label", "text", "lira", "lira_std", "counterfactual"]
COLUMNS += ["counterfactual_std", "memorized", "audited", "rank"]
ROWS = ["--label", "label", "--embeddings", "X.npy"]


def lira_in(path):
    return np.array(read(path)["lira"], float)


@pytest.mark.parametrize("prior", [True, False])
def test_embeddings_are_audited_with_a_logistic_regression(data, prior):
    options = ["--n-shadow", "6", "--seed", "3", "--out", "audit.csv"]
    done = succeed("audit", data, *ROWS, *options, *["--no-prior"] * (not prior))
    scorer = SlicedMIScorer(random_state=3) if prior else None
    model, X = LogisticRegression(max_iter=1_000), np.load("X.npy")
    audit = ShadowAudit(model, n_shadow=6, prior=scorer, random_state=3).fit(X, LABELS)
    np.testing.assert_allclose(lira_in("audit.csv"), audit.lira_, rtol=1e-5)
    top, attack = done.stdout.splitlines()[1:11], done.stdout.splitlines()[11:15]
    ids = [int(line.split()[-1]) for line in top]
    assert ids == np.argsort(-audit.lira_)[:10].tolist()
    assert attack[0].split() == ["measure", "value", "low", "high"]
    assert f"auc               {audit.attack()['value'][0]:.3f}" in attack[1]
    assert "audit.csv: 20 samples, 2 classes, 6 shadow models; AUC" in done.stdout


def test_texts_are_fine_tuned_and_it_goes_on_from_the_folder(data, tiny_encoder):
    options = ["--label", "label", "--text", "text", "--model", tiny_encoder, "--quiet"]
    options += ["--max-epochs", "1", "--folder", "run"]
    two = succeed("audit", data, *options, "--n-shadow", "2", "--out", "two.csv")
    assert two.stdout == two.stderr == ""
    assert list(read("two.csv")) == COLUMNS
    kept = sorted(path.name for path in Path("run").glob("shadow-*"))
    assert kept == ["shadow-00000.npz", "shadow-00001.npz"]
    options.remove("--quiet")
    done = succeed("audit", data, *options, "--out", "four.csv")
    assert "spent: 4 models of 1 epochs" in done.stdout
    assert "as much as 2 epochs" in done.stdout
    model = FineTunedClassifier(tiny_encoder, max_epochs=1)
    spread = HiddenStateEmbedder(tiny_encoder, layer="spread")
    prior = make_pipeline(spread, SlicedMIScorer(random_state=0))
    audit = ShadowAudit(model, n_shadow=4, prior=prior, random_state=0)
    audit.fit(TEXTS, LABELS)
    np.testing.assert_allclose(lira_in("four.csv"), audit.lira_, rtol=1e-4)


def test_json_for_scripts(data):
    facts = json.loads(succeed("audit", data, *ROWS, "--json").stdout)
    assert (facts["n_samples"], facts["n_shadow"], facts["prior"]) == (20, 4, True)
    assert facts["attack"]["auc"].keys() == {"value", "low", "high"}
    assert len(facts["riskiest"]) == 10
    assert facts["out"] is None


def test_cells_that_are_safe_in_a_spreadsheet(data):
    options = ["--id", "text", "--safe-csv", "--out"]
    succeed("audit", data, *ROWS, *options, "audit.csv")
    assert "--safe-csv is of CSV" in mistake(
        "audit", data, *ROWS, *options, "audit.jsonl"
    )


def test_ids_of_ones_own(data):
    succeed("audit", data, *ROWS, "--id", "text", "--out", "audit.jsonl")
    assert read("audit.jsonl")["id"] == TEXTS


def test_mistakes(data):
    assert "must be even" in mistake("audit", data, *ROWS, "--n-shadow", 3)
    assert "name a file with --out" in mistake("audit", data, *ROWS, "--quiet")
    line = mistake("audit", data, *ROWS, "--max-epochs", 2)
    assert "--max-epochs is of a fine-tune" in line
    assert "--text" in mistake("audit", data, "--label", "label")
    assert "give one of" in mistake("audit", data, *ROWS, "--model", "m")
    assert "same file" in mistake("audit", data, *ROWS, "--out", data)
    assert "--n-shadow" in mistake("audit", data, *ROWS, "--n-shadow", 1)
    assert "exclude" in mistake("audit", data, *ROWS, "--json", "--quiet")
    succeed("audit", data, *ROWS, "--folder", "run", "--quiet")
    line = mistake("audit", data, *ROWS, "--folder", "run", "--seed", 1)
    assert "a run with other seed" in line
