"""Two worker processes of Dask: killed, out of memory, cut off; and what uses them."""

import os
import signal
import threading
import time

import joblib
import numpy as np
import pytest
from finetuning_data import NIMBLE, TEXTS, Y
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from smilearn import (
    FineTunedClassifier,
    HeldOutScorer,
    HiddenStateEmbedder,
    SentenceEmbedder,
    ShadowAudit,
    SlicedMIScorer,
)
from smilearn.exceptions import ClusterError
from smilearn.utils import _dask

dask = pytest.importorskip("dask")
arrays = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")
frames = pytest.importorskip("dask.dataframe")
bags = pytest.importorskip("dask.bag")
pandas = pytest.importorskip("pandas")
N_CHUNKS, LENGTH, WIDTH = 8, 2000, 32

pytestmark = pytest.mark.filterwarnings("ignore")  # of Dask, which are many


@pytest.fixture(scope="module")
def client():
    """Client of a cluster of two worker processes of a thread each."""
    yield from connected(n_workers=2)


def connected(**options):
    options = {"threads_per_worker": 1, "dashboard_address": None, **options}
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "5s"}),
        distributed.LocalCluster(processes=True, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def made(number, length=LENGTH):
    """Samples of a chunk, made where they are needed; slowly, as if from a disk."""
    time.sleep(0.05)
    rng = np.random.default_rng(number)
    y = rng.integers(0, 3, length)
    return (rng.normal(size=(length, WIDTH)) + np.eye(3, WIDTH)[y]).astype(
        np.float32
    ), y


def samples(length=LENGTH):
    """Chunks of embeddings, and all labels."""
    make, shape = dask.delayed(lambda i: made(i, length)[0]), (length, WIDTH)
    chunks = [arrays.from_delayed(make(i), shape, np.float32) for i in range(N_CHUNKS)]
    labels = [made(i, length)[1] for i in range(N_CHUNKS)] if length == LENGTH else []
    return arrays.concatenate(chunks), labels and np.concatenate(labels)


@pytest.fixture(scope="module")
def whole():
    """A fit on one machine."""
    X = np.concatenate([made(i)[0] for i in range(N_CHUNKS)])
    return SlicedMIScorer(512, random_state=0).fit(X, samples()[1])


def close(scorer, whole):
    np.testing.assert_allclose(scorer.scores_, whole.scores_, atol=1e-4)
    np.testing.assert_array_equal(scorer.outliers_, whole.outliers_)


def test_two_workers_share_a_fit(client, whole):
    X, y = samples()
    close(SlicedMIScorer(512, random_state=0).fit(X, y), whole)
    chunks = client.run(lambda dask_worker: dask_worker.state.executed_count)
    assert len(chunks) == 2
    assert min(chunks.values()) > N_CHUNKS


def test_a_worker_killed_in_the_middle_of_a_fit_changes_nothing(client, whole):
    X, y = samples()
    pids = client.run(os.getpid)
    SlicedMIScorer(8, random_state=0).fit(X, y)  # all imported by now
    killer = threading.Timer(0.6, os.kill, [next(iter(pids.values())), signal.SIGKILL])
    killer.start()
    scorer = SlicedMIScorer(512, random_state=0).fit(X, y)
    assert killer.finished.is_set()
    close(scorer, whole)
    client.wait_for_workers(2, timeout=60)
    assert set(client.run(os.getpid).values()) != set(pids.values())


def lean():
    """A worker that dies of what it is handed."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_chunk_that_kills_each_worker_is_one_error(client):
    X, y = samples()
    killing = dask.delayed(lean)()
    chunk = arrays.from_delayed(killing, (LENGTH, WIDTH), np.float32)
    X = arrays.concatenate([X[:-LENGTH], chunk])
    with pytest.raises(ClusterError, match="smaller chunks"):
        SlicedMIScorer(8, random_state=0).fit(X, y)
    client.wait_for_workers(2, timeout=60)


@pytest.mark.slow
def test_a_worker_out_of_memory_is_one_error():
    for _ in connected(n_workers=1, memory_limit="400MB"):
        X, _ = samples(4_000_000)  # 512 MB a chunk
        with pytest.raises(ClusterError, match="memory"):
            SlicedMIScorer(8, random_state=0).fit(X, np.arange(len(X)) % 2)


@pytest.mark.slow
def test_a_cluster_without_workers_is_an_error_and_no_hang(monkeypatch):
    monkeypatch.setattr(_dask, "_LOOK", 1)
    monkeypatch.setattr(_dask, "_PATIENCE", 4)
    for _ in connected(n_workers=0):
        X, y = samples()
        with pytest.raises(ClusterError, match="no worker for 4 s"):
            SlicedMIScorer(512, random_state=0).fit(X, y)


@pytest.mark.slow
def test_a_lost_scheduler_is_an_error_and_no_hang():
    for client in connected(n_workers=1):
        X, y = samples()
        scheduler, begin = client.cluster.scheduler, time.monotonic()
        close = threading.Timer(2, scheduler.loop.add_callback, [scheduler.close])
        close.start()
        with pytest.raises(ClusterError, match="cluster was lost"):
            while time.monotonic() - begin < 60:
                SlicedMIScorer(512, random_state=0).fit(X, y)
        assert time.monotonic() - begin < 60


@pytest.mark.parametrize("kind", [SentenceEmbedder, HiddenStateEmbedder])
def test_workers_embed_texts_with_a_model_each(client, kind, tiny_encoder, tmp_path):
    options = {"layer": "spread"} if kind is HiddenStateEmbedder else {}
    embedder = kind(tiny_encoder, cache_folder=tmp_path, **options)
    expected = embedder.fit_transform(TEXTS)
    series = frames.from_pandas(pandas.Series(TEXTS), npartitions=4)
    X = embedder.transform(series)
    assert X.shape[1:] == expected.shape[1:]
    np.testing.assert_allclose(X.compute(), expected, atol=1e-5)
    bag = bags.from_sequence(TEXTS, npartitions=4)
    np.testing.assert_allclose(embedder.transform(bag).compute(), expected, atol=1e-5)
    few = kind(tiny_encoder, **options).fit(bag)  # of the first chunk
    assert few.transform(bag).compute().shape == expected.shape


def test_a_model_is_loaded_once_a_process(client, tiny_encoder):
    embedder = SentenceEmbedder(tiny_encoder).fit([])
    client.run(count_loads)
    bag = bags.from_sequence(TEXTS, npartitions=8)
    (embedder.transform(bag) + embedder.transform(bag)).compute()
    loads = client.run(lambda: SentenceEmbedder.n_loads)
    assert set(loads.values()) <= {0, 1}
    assert sum(loads.values()) >= 1


def count_loads():
    """Count the models that this process loads from now on."""
    made = SentenceEmbedder._make_reader
    SentenceEmbedder.n_loads = 0

    def make(self, settings):
        SentenceEmbedder.n_loads += 1
        return made(settings)

    SentenceEmbedder._make_reader = make


def test_audits_and_held_out_runs_change_no_bit(client, tiny_encoder, one_thread):
    X, y = made(0, 200)
    audit = ShadowAudit(LogisticRegression(), n_shadow=4, random_state=0)
    held = HeldOutScorer(LogisticRegression(), random_state=0)
    tuned = FineTunedClassifier(tiny_encoder, **{**NIMBLE, "max_epochs": 1})
    texts = HeldOutScorer(tuned, prior=None, random_state=0)
    for estimator, *data in ((audit, X, y), (held, X, y), (texts, TEXTS, Y)):
        found = []
        for backend in ("threading", "dask"):
            with joblib.parallel_config(backend=backend, n_jobs=2):
                fitted = clone(estimator).fit(*data)
            found.append(getattr(fitted, "lira_", getattr(fitted, "scores_", None)))
        np.testing.assert_array_equal(*found)


def test_data_is_sent_to_the_workers_once(client):
    """Not with each of the models."""
    X = np.random.default_rng(0).normal(size=(4000, 64))
    sent = Sent(X)
    audit = ShadowAudit(LogisticRegression(max_iter=1), n_shadow=8, random_state=0)
    with joblib.parallel_config(backend="dask", n_jobs=2):
        audit.fit(sent, np.arange(4000) % 2)
    assert 0 < Sent.n_pickled <= 3


class Sent(np.ndarray):
    """An array that counts how often it is pickled."""

    n_pickled = 0

    def __new__(cls, X):
        return X.view(cls)

    def __reduce_ex__(self, protocol):
        Sent.n_pickled += 1
        return np.asarray(self).__reduce_ex__(protocol)
