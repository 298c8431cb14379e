"""Parquet files scored on the workers of Dask: a risk table for each partition."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import LABELS, TEXTS, mistake, read, succeed, write

from smilearn import HiddenStateEmbedder, RiskTable, SlicedMIScorer

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore")
OPTIONS = ["--label", "label", "--out", "risk"]


@pytest.fixture
def parts(folder):
    """Three files of 80 samples in all, with a column of embeddings."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3)).astype(np.float32)
    X[1::2] += 2
    rows = {
        "text": TEXTS * 4,
        "label": LABELS * 4,
        "name": [f"n{i}" for i in range(80)],
    }
    frame = pl.DataFrame(rows).with_columns(X=pl.Series(X.tolist()))
    (folder / "data").mkdir()
    for i, (begin, end) in enumerate([(0, 30), (30, 31), (31, 80)]):
        frame[begin:end].write_parquet(folder / f"data/{i}.parquet")
    return X


@pytest.fixture(scope="module")
def address():
    """A scheduler with two workers."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        yield cluster.scheduler_address


def test_embeddings_of_a_column(parts, address):
    done = succeed(
        *("score", "data/*.parquet", "--dask", address, "--embeddings", "X"),
        *(*OPTIONS, "--id", "name", "--text", "text", "--json"),
    )
    facts = json.loads(done.stdout)
    assert (facts["n_files"], facts["n_samples"], facts["n_classes"]) == (3, 80, 2)
    scorer = SlicedMIScorer(random_state=0).fit(parts, LABELS * 4)
    table = RiskTable.read("risk")
    np.testing.assert_allclose(table["risk"], -scorer.scores_, atol=1e-5)
    assert sorted(table["rank"].tolist()) == [*range(1, 81)]
    assert table["id"].tolist() == [f"n{i}" for i in range(80)]
    assert read("risk/part-00001.parquet")["text"] == [TEXTS[10]]
    whole = scorer.to_table(ids=table["id"]).frame
    assert table.frame.columns == [*whole.columns[:2], "text", *whole.columns[2:]]
    assert table["class_support"].tolist() == whole["class_support"].to_list()


def test_texts_are_embedded_by_the_workers(parts, address, tiny_encoder):
    options = ["--text", "text", "--model", tiny_encoder, "--moment", "before"]
    done = succeed("score", "data/*.parquet", "--dask", address, *options, *OPTIONS)
    assert done.stdout.startswith("risk: 3 files, 80 samples, 2 classes; slices: ")
    embedder = HiddenStateEmbedder(tiny_encoder, layer="spread").fit(TEXTS * 4)
    X = embedder.transform(TEXTS * 4)
    scorer = SlicedMIScorer(random_state=0).fit(X, LABELS * 4)
    table = RiskTable.read("risk")
    correlation = np.corrcoef(table["risk"], scorer.scores_)[0, 1]
    assert correlation < -0.99  # layers are scaled by the first partition alone
    assert table["id"].tolist() == [*range(80)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["no/*.parquet", "--embeddings", "X"], "no Parquet files"),
        (["data/*.parquet", "--embeddings", "Y"], "'Y'"),
        (["data/*.parquet", "--text", "text"], "add --moment before"),
        (["data/*.parquet", "--embeddings", "X", "--folder", "f"], "--folder does not"),
        (["data/*.parquet"], "with --text"),
        (["data.csv", "--embeddings", "X"], "reads Parquet files"),
        (
            ["data/*.parquet", "--embeddings", "X", "--keep", "risk"],
            "--keep risk cannot",
        ),
        (["bad/*.parquet", "--embeddings", "X"], "bad/*.parquet: cannot be read: "),
        (["data/*.parquet", "--embeddings", "text"], "numbers"),
    ],
)
def test_mistakes_are_one_line(parts, address, options, message):
    write({"text": TEXTS, "label": LABELS}, "data.csv")
    Path("bad").mkdir()
    Path("bad/1.parquet").write_bytes(Path("data/1.parquet").read_bytes()[:-20])
    assert message in mistake("score", *options, "--dask", address, *OPTIONS)


def test_a_scheduler_that_does_not_answer_is_one_line(parts, monkeypatch):
    from smilearn.cli import _chunks

    monkeypatch.setattr(_chunks, "_CONNECT", 1)
    options = ["--dask", "tcp://127.0.0.1:1", "--embeddings", "X", *OPTIONS]
    assert "no scheduler answers" in mistake("score", "data/*.parquet", *options)


def test_files_of_another_run_are_not_mixed_in(parts, address):
    command = ["score", "data/*.parquet", "--embeddings", "X", "--dask", address]
    succeed(*command, *OPTIONS)
    assert "risk holds Parquet files already" in mistake(*command, *OPTIONS)
    line = mistake(*command, "--label", "label", "--out", "s3://bucket/risk")
    assert "must be a folder that all workers share" in line


def test_a_folder_is_named_as_an_output_of_dask_alone(parts, data, folder):
    (folder / "risk").mkdir()
    line = mistake("score", data, "--embeddings", "X.npy", *OPTIONS)
    assert "risk is a folder" in line
