"""Dask collections are fitted and scored as arrays in memory are; dask runs here."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from smilearn import SlicedMIScorer
from smilearn.exceptions import InvalidInputError, LowSupportWarning

dask = pytest.importorskip("dask")
arrays = pytest.importorskip("dask.array")
bags = pytest.importorskip("dask.bag")
frames = pytest.importorskip("dask.dataframe")
pandas = pytest.importorskip("pandas")
delayed = dask.delayed
CUTS = (700, 1, 299, 500)
N_SAMPLES, WIDTH = sum(CUTS), 12
COLUMNS = [f"e{i}" for i in range(WIDTH)]


@pytest.fixture(autouse=True)
def here():
    # lists stay lists, as they do in files
    options = {"scheduler": "synchronous", "dataframe.convert-string": False}
    with dask.config.set(options):
        yield


@pytest.fixture(scope="module")
def samples():
    """Three classes of strings, one rare, with an outlier; sorted, so that some chunks
    lack a class."""
    rng = np.random.default_rng(0)
    y = np.repeat(["ham", "rare", "spam"], [800, 40, 660])
    X = rng.normal(size=(N_SAMPLES, WIDTH)) + 1.5 * (y == "spam")[:, None]
    X[3] *= 40
    return X.astype(np.float32), y


def fitted(X, y, weight=None, **options):
    return SlicedMIScorer(random_state=0, **options).fit(X, y, weight)


def same(scorer, other, bound=1e-6):
    """Whether two scorers were fitted to the same samples."""
    for name in ("scores_", "psmi_", "probability_"):
        found, expected = getattr(scorer, name), getattr(other, name)
        np.testing.assert_allclose(found, expected, atol=bound)
    assert scorer.classes_.tolist() == other.classes_.tolist()
    assert scorer.labels_.tolist() == other.labels_.tolist()
    assert scorer.likely_labels_.tolist() == other.likely_labels_.tolist()
    np.testing.assert_array_equal(scorer.outliers_, other.outliers_)
    assert scorer.n_slices_ == other.n_slices_


def frame_of(X, y, **more):
    return pandas.DataFrame(X, columns=COLUMNS).assign(label=y, **more)


@pytest.mark.parametrize("cut", [CUTS, (N_SAMPLES,), (30,) * (N_SAMPLES // 30)])
def test_an_array_in_chunks_is_fitted_as_one_in_memory(samples, cut):
    X, y = samples
    chunks = arrays.from_array(X, chunks=(cut, 5))
    whole = fitted(X, y)
    assert whole.outliers_.any()
    scorer = fitted(chunks, y)
    assert type(scorer.scores_) is np.ndarray
    same(scorer, whole)
    same(fitted(chunks, arrays.from_array(y, chunks=400)), whole)


def test_columns_of_a_dataframe_and_a_column_of_lists(samples):
    X, y = samples
    frame = frame_of(X, y, embedding=[*X])
    collection = frames.from_pandas(frame, npartitions=4, sort=False)
    whole = fitted(frame[COLUMNS], y)
    scorer = fitted(collection[COLUMNS], collection["label"])
    same(scorer, whole)
    assert scorer.feature_names_in_.tolist() == COLUMNS
    same(fitted(collection["embedding"], collection["label"]), fitted(X, y))
    unknown = collection[COLUMNS].to_dask_array()  # of unknown chunk sizes
    same(fitted(unknown, collection["label"]), whole)


@pytest.mark.parametrize("kind", ["empty", "float16", "sparse", "big"])
def test_chunks_of_all_kinds(samples, kind):
    X, y = samples
    parts = [X[:700], X[700:]]
    if kind == "empty":
        parts = [X[:0], parts[0], X[:0], parts[1]]
    elif kind == "float16":
        X = X.astype(np.float16)
        parts = [X[:700], X[700:]]
    elif kind == "sparse":
        sparse = pytest.importorskip("scipy.sparse")
        X = np.where(np.abs(X) > 1, X, 0)
        parts = [sparse.csr_array(X[:700]), sparse.csr_array(X[700:])]
    else:  # an offset that float32 does not hold
        X = X.astype(np.float64) + 1e8
        parts = [X[:700], X[700:]]
    pieces = [
        arrays.from_delayed(delayed(part), part.shape, part.dtype) for part in parts
    ]
    same(fitted(arrays.concatenate(pieces), y), fitted(X, y), 1e-4)


def test_weights_and_more_features_than_a_subspace_has(samples):
    X, y = samples
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 3, N_SAMPLES).astype(float)
    chunks = arrays.from_array(X, chunks=(CUTS, -1))
    same(fitted(chunks, y, weight), fitted(X, y, weight))
    same(fitted(chunks, y, arrays.from_array(weight, chunks=400)), fitted(X, y, weight))
    wide = rng.normal(size=(N_SAMPLES, 1600)).astype(np.float32)
    wide[y == "spam"] += 0.2
    options = {"n_slices": 64, "dtype": "float64"}
    scorer = fitted(arrays.from_array(wide, chunks=(CUTS, -1)), y, **options)
    same(scorer, fitted(wide, y, **options))


@pytest.mark.parametrize("contamination", [0.1, "permutation"])
def test_thresholds(samples, contamination):
    X, y = samples
    options = {"contamination": contamination, "n_slices": 64}
    scorer = fitted(arrays.from_array(X, chunks=(CUTS, -1)), y, **options)
    assert scorer.offset_ == pytest.approx(fitted(X, y, **options).offset_, abs=1e-6)


def test_a_stream_brings_back_sums_alone_and_scores_stay_chunks(samples):
    X, y = samples
    streamed = SlicedMIScorer(64, random_state=0).partial_fit(X[:900], y[:900])
    streamed.partial_fit(X[900:], y[900:])
    scorer = SlicedMIScorer(64, random_state=0)
    scorer.partial_fit(cut(X[:900], 0, 500, 400), cut(y[:900], 0, 500, 400))
    scorer.partial_fit(cut(X[900:], 600), y[900:])
    assert not hasattr(scorer, "scores_")
    assert scorer.class_count_.tolist() == [800, 40, 660]
    lazy = scorer.score_training_samples(cut(X, *CUTS), y)
    assert lazy.chunks == (CUTS,)
    expected = streamed.score_training_samples(X, y)
    np.testing.assert_allclose(lazy.compute(), expected, atol=1e-4)
    with pytest.raises(
        InvalidInputError, match="5 features, but SlicedMIScorer is expecting 12"
    ):
        scorer.partial_fit(cut(X[:, :5], *CUTS), y)
    announced = SlicedMIScorer(64).partial_fit(cut(X, *CUTS), y, classes=[*set(y)])
    with pytest.raises(InvalidInputError, match="not among classes"):
        announced.partial_fit(cut(X, *CUTS), np.where(y == "rare", "other", y))


def test_answers_are_lazy_and_those_of_arrays(samples, monkeypatch):
    X, y = samples
    scorer = fitted(X, y, n_slices=64)
    chunks, labels = arrays.from_array(X, chunks=(CUTS, 5)), arrays.from_array(y)
    with dask.config.set(scheduler=lambda *args, **options: pytest.fail("computed")):
        answers = {
            "score_samples": scorer.score_samples(chunks, labels),
            "predict_proba": scorer.predict_proba(chunks),
            "decision_function": scorer.decision_function(chunks, y),
            "predict": scorer.predict(chunks, y),
            "score_training_samples": scorer.score_training_samples(chunks, y),
            "score": scorer.score(chunks, y, np.arange(N_SAMPLES)),
        }
    assert answers["predict_proba"].shape == (N_SAMPLES, 3)
    assert answers["score_samples"].chunks == (CUTS,)
    more = {"predict_proba": (), "score": (y, np.arange(N_SAMPLES))}
    for name, lazy in answers.items():
        expected = getattr(scorer, name)(X, *more.get(name, (y,)))
        np.testing.assert_allclose(lazy.compute(), expected, atol=1e-5)
    assert isinstance(float(answers["score"]), float)


def test_labels_that_were_not_seen_are_left_out_of_the_mean_by_chunk(samples):
    X, y = samples
    known = y != "rare"
    scorer = fitted(X[known], y[known], n_slices=64)
    chunks = arrays.from_array(X, chunks=((800, 40, 660), -1))
    with pytest.warns(LowSupportWarning, match="40 of 40 samples of chunk 1"):
        mean = float(scorer.score(chunks, y))
    assert mean == pytest.approx(scorer.score(X[known], y[known]), abs=1e-6)
    lazy = scorer.score(chunks[800:840], y[800:840])
    with pytest.raises(InvalidInputError, match="No sample"), pytest.warns():
        lazy.compute()
    psmi = fitted(X[known], y[known], n_slices=64, pooled=False)
    chunks = cut(X[known], 1000, 460)
    found = float(psmi.score(chunks, y[known]))
    assert found == pytest.approx(psmi.score(X[known], y[known]), abs=1e-6)


def test_lazy_answers_carry_nothing_of_training_samples(samples):
    X, y = samples
    scorer = fitted(np.tile(X, (20, 1)), np.tile(y, 20), n_slices=8)
    sent = [
        len(pickle.dumps(dict(scorer.score_samples(cut(X, *CUTS), y).dask)))
        for scorer in (scorer, fitted(X, y, n_slices=8))
    ]
    assert sent[0] < 1.1 * sent[1]


def test_rows_in_another_order_are_noticed(samples):
    X, y = samples
    rng = np.random.default_rng(0)
    shuffled = delayed(lambda: X[rng.permutation(N_SAMPLES)], pure=False)
    chunks = arrays.from_delayed(shuffled(), X.shape, X.dtype)
    with pytest.raises(InvalidInputError, match="persist"):
        fitted(chunks, y)


def test_chunks_of_other_columns_or_labels_are_refused(samples):
    X, y = samples
    one = frames.from_pandas(frame_of(X, y), npartitions=2)
    scorer = SlicedMIScorer(16).partial_fit(one[COLUMNS], one["label"])
    with pytest.raises(InvalidInputError, match="feature names"):
        scorer.partial_fit(one[COLUMNS[::-1]], one["label"])
    frame = frame_of(X, y)[COLUMNS]
    parts = [delayed(frame[:700]), delayed(frame[700:][COLUMNS[::-1]])]
    swapped = frames.from_delayed(parts, meta=frame[:0], verify_meta=False)
    with pytest.raises(InvalidInputError, match="same columns in the same order"):
        fitted(
            swapped,
            frames.from_delayed(
                [delayed(pandas.Series(y[:700])), delayed(pandas.Series(y[700:]))]
            ),
        )
    mixed = arrays.concatenate([of_any(y[:700]), of_any(np.arange(800) % 2)])
    with pytest.raises(InvalidInputError, match="one kind"):
        SlicedMIScorer(16).partial_fit(cut(X, 700, 800), mixed)
    with pytest.raises(InvalidInputError, match="staged_score_samples takes no dask"):
        scorer.staged_score_samples(cut(X, *CUTS))


def test_one_column_of_labels_and_bags_of_lists(samples):
    X, y = samples
    chunks, whole = cut(X, *CUTS), fitted(X, y, n_slices=32)
    same(fitted(chunks, cut(y[:, None], *CUTS), n_slices=32), whole)
    labels = frames.from_pandas(
        pandas.DataFrame({"label": y}), npartitions=4, sort=False
    )
    parts = labels.map_partitions(len).compute().tolist()
    same(fitted(cut(X, *parts), labels, n_slices=32), whole)
    bag = bags.from_sequence(X.tolist(), npartitions=4)
    sizes = [len(part) for part in dask.compute(*bag.to_delayed())]
    other = fitted(bag, cut(y, *sizes), n_slices=32, dtype="float64")
    same(other, fitted(X.astype(float), y, n_slices=32))


def cut(values, *sizes):
    return arrays.from_array(
        values, chunks=(sizes, -1) if values.ndim > 1 else (sizes,)
    )


def of_any(values):
    return arrays.from_delayed(delayed(values), (len(values),), object)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X, y[:-1]), "as many rows; got 1500 and 1499"),
        (lambda X, y: (X.compute(), cut(y, 1500)), "X must be a dask collection"),
        (lambda X, y: (X, arrays.from_array(np.eye(3)[[0] * 1500])), "2 dimensions"),
        (lambda X, y: (X[:0], y[:0]), "all chunks are empty"),
        (lambda X, y: (X, np.repeat("a", 1500)), "2 classes or more"),
        (lambda X, y: (X, y.astype(object)), None),
        (lambda X, y: (X.map_blocks(np.log10), y), r"Chunk \d+ .*NaN"),
        (
            lambda X, y: (X, np.where(np.arange(1500) == 900, None, y)),
            "missing, in row 900",
        ),
        (
            lambda X, y: (X, cut(np.where(np.arange(1500) == 900, None, y), *CUTS)),
            "Chunk 2 .*missing, in row 199",
        ),
        (lambda X, y: (X, [float("nan"), *y[1:].tolist()]), "missing, in row 0"),
        (lambda X, y: (X, [1, *y[1:].tolist()]), "of one kind"),
        (lambda X, y: (X, None), "got None"),
        (lambda X, y: (X[:, :, None], y), "2 dimensions at most"),
        (lambda X, y: (X, cut(np.arange(1500) / 7, *CUTS)), "continuous"),
        (
            lambda X, y: (
                X,
                arrays.concatenate([of_any(y[:700]), of_any(np.arange(800))]),
            ),
            "one kind",
        ),
        (
            lambda X, y: (X, frames.from_pandas(pandas.Series(y), npartitions=3)),
            "cut into chunks as X is; got 3 chunks",
        ),
        (
            lambda X, y: (
                frames.from_pandas(frame_of(X, y), npartitions=2)[COLUMNS],
                y,
            ),
            "compute_chunk_sizes",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_bad_input_is_one_error_that_says_what_to_do(samples, change, message):
    X, y = samples
    X, y = change(cut(X, *CUTS), y)
    if message is None:
        assert fitted(X, y, n_slices=8).classes_.tolist() == ["ham", "rare", "spam"]
        return
    with pytest.raises(ValueError, match=message):
        fitted(X, y)


def test_a_fit_of_several_labels_and_streams_refuse_chunks(samples):
    X, y = samples
    chunks = cut(X, *CUTS)
    scorer = fitted(X, np.stack([y == "ham", X[:, 0] > 0], 1).astype(int), n_slices=8)
    with pytest.raises(InvalidInputError, match="several labels"):
        scorer.score_samples(chunks)


def test_dask_is_not_imported_for_arrays():
    code = (
        "import sys, numpy as np; from smilearn import SlicedMIScorer; "
        "SlicedMIScorer(8).fit(np.eye(8), [0, 1] * 4); "
        "sys.exit('dask' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code])
    assert done.returncode == 0
