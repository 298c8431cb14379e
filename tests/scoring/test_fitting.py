"""One additive state: however samples come, what is fitted is what fit makes."""

import itertools
import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import POOLED, wide_and_narrow
from sklearn.exceptions import NotFittedError

from smilearn import SlicedMIScorer
from smilearn.exceptions import InvalidInputError
from smilearn.scoring import _checks
from smilearn.scoring._points import MOST_FEATURES

CLOSE = {"rtol": 0, "atol": 1e-4}


def scorer(**parameters):
    defaults = {"n_slices": 32, "random_state": 0, "outliers": None}
    return SlicedMIScorer(**defaults | parameters)


def problem(seed):
    """Four classes, of which the slices tell what LDA cannot, and none is an outlier"""
    X, y = wide_and_narrow(seed, n_classes=4, size=40, n_features=9)
    order = np.random.default_rng(seed).permutation(len(y))
    return X[order], y[order]


def many(seed, n=5000, n_features=6):
    """More samples than a state keeps for the pool."""
    X, y = wide_and_narrow(seed, n_classes=4, size=n // 4, n_features=n_features)
    order = np.random.default_rng(seed).permutation(len(y))
    return X[order].astype(np.float32), y[order]


def cut(seed, n, n_cuts):
    ends = np.random.default_rng(seed).choice(np.arange(1, n), n_cuts, replace=False)
    return [slice(*pair) for pair in itertools.pairwise([0, *sorted(ends), n])]


def streamed(parts, X, y, weight=None, **parameters):
    one, weight = scorer(**parameters), np.ones(len(y)) if weight is None else weight
    for rows in parts:
        one.partial_fit(X[rows], y[rows], sample_weight=weight[rows])
    return one


def assert_alike(one, whole, X, y, weight=None):
    """The same answers, whichever way the two were fitted."""
    assert_array_equal(one.classes_, whole.classes_)
    assert_allclose(one.class_count_, whole.class_count_)
    assert_allclose(one.score_samples(X, y), whole.score_samples(X, y), **CLOSE)
    assert_allclose(one.predict_proba(X), whole.predict_proba(X), **CLOSE)
    found = one.score_training_samples(X, y, weight)
    assert_allclose(found, whole.scores_, **CLOSE)
    for name, value in whole.pool_["weights"].items():
        assert one.pool_["weights"][name] == pytest.approx(value, rel=1e-2, abs=1e-3)


def assert_alike_in_parts(parts, X, y, weight=None, **options):
    """A stream and batches of these parts are fitted as all samples at once; these."""
    whole = scorer(**options).fit(X, y, weight)
    assert_alike(streamed(parts, X, y, weight, **options), whole, X, y, weight)
    arrays = (X, y) if weight is None else (X, y, weight)
    batches = [tuple(values[rows] for values in arrays) for rows in parts]
    again = scorer(**options).fit_batches(batches)
    for name in ("scores_", "psmi_", "scores_std_"):
        assert_allclose(getattr(again, name), getattr(whole, name), **CLOSE)
    assert again.reliability_ == pytest.approx(whole.reliability_, abs=1e-3)
    assert_array_equal(again.labels_, y)
    return whole


@pytest.mark.parametrize(
    ("density", "pooled"), [("student", True), ("student", False), ("gaussian", True)]
)
@pytest.mark.parametrize("n_cuts", [1, 7, 159])
def test_any_chunks_make_what_fit_makes(seed, n_cuts, density, pooled):
    """From all at once to single rows, which lack classes."""
    X, y = problem(seed)
    options = {"density": density, "pooled": pooled}
    whole = assert_alike_in_parts(cut(seed, len(y), n_cuts), X, y, **options)
    assert whole.pool_["weights"]["slices"] > 0


@POOLED
@pytest.mark.parametrize("tree", ["in turn", "reversed", "in pairs"])
def test_merged_in_any_order(seed, tree, pooled):
    X, y = problem(seed)
    parts = [
        scorer(pooled=pooled).partial_fit(X[rows], y[rows])
        for rows in cut(seed, len(y), 7)
    ]
    parts = parts[::-1] if tree == "reversed" else parts
    while len(parts) > 1:
        if tree == "in pairs":
            parts = [
                one.merge(two) for one, two in zip(*[iter(parts)] * 2, strict=True)
            ]
        else:
            parts = [parts[0].merge(parts[1]), *parts[2:]]
    assert_alike(parts[0], scorer(pooled=pooled).fit(X, y), X, y)


@POOLED
def test_more_samples_than_a_state_keeps(seed, pooled):
    """Those kept follow from their content: not from order, batches or layout."""
    X, y = many(seed)
    options = {"n_slices": 8, "pooled": pooled, "dtype": "float64"}
    parts = cut(seed, len(y), 9)
    whole = assert_alike_in_parts(parts, X, y, **options)
    order = np.random.default_rng(seed).permutation(len(y))
    for rows in (order, np.argsort(y, kind="stable")):
        one = scorer(**options).fit(X[rows], y[rows])
        assert_allclose(one.scores_, whole.scores_[rows], **CLOSE)
    turned = streamed(parts, np.asfortranarray(X), y, **options)
    late, early = (streamed(some, X, y, **options) for some in (parts[4:], parts[:4]))
    for each in (turned, late.merge(early)):
        assert_alike(each, whole, X, y)


@POOLED
@pytest.mark.parametrize(
    ("n", "density"), [(160, "student"), (160, "gaussian"), (2400, "student")]
)
def test_whole_weights_are_copies(seed, n, density, pooled):
    """2,400 samples of a mean weight of 2 are more than a state keeps, and are fewer"""
    X, y = wide_and_narrow(seed, 4, n // 4, 6)
    weight = np.random.default_rng(seed).integers(0, 5, n)
    copies = np.random.default_rng(seed).permutation(np.repeat(np.arange(n), weight))
    options = {"n_slices": 8, "pooled": pooled, "density": density, "dtype": "float64"}
    assert_alike_in_parts(cut(seed, n, 5), X, y, weight, **options)
    whole = scorer(contamination=0.1, **options).fit(X, y, sample_weight=weight)
    one = scorer(contamination=0.1, **options).fit(X[copies], y[copies])
    assert_allclose(one.scores_, whole.scores_[copies], **CLOSE)
    assert_array_equal(one.class_count_, whole.class_count_)
    assert one.offset_ == pytest.approx(whole.offset_, abs=1e-4)
    assert_allclose(one.scores_std_, whole.scores_std_[copies], **CLOSE)
    assert one.reliability_ == pytest.approx(whole.reliability_, abs=1e-3)
    assert_allclose(one.predict_proba(X), whole.predict_proba(X), **CLOSE)


@POOLED
def test_weights_that_are_no_whole_numbers(seed, pooled):
    X, y = problem(seed)
    weight = np.random.default_rng(seed).uniform(0.5, 2, len(y))
    assert_alike_in_parts(cut(seed, len(y), 5), X, y, weight, pooled=pooled)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("offset", [0, 1e5])
def test_far_origins_and_odd_units(seed, scale, offset):
    X, y = problem(seed)
    X = scale * (X + offset)
    X[:40] = X[0]  # a constant beginning
    assert_alike_in_parts([slice(i, i + 8) for i in range(0, len(y), 8)], X, y)


@pytest.mark.parametrize("kind", ["two classes", "rounding"])
def test_what_is_constant_is_for_all_batches_to_tell(seed, kind):
    """Features constant in a class but not in all, or but for rounding."""
    X, y = problem(seed)
    X = X.astype(np.float32)
    X[:, 3] = 5 * (y == 2)
    if kind == "rounding":
        X[:, 3] = 1e8 + 8 * np.random.default_rng(seed).integers(0, 3, len(y))
    one = scorer()
    for label in range(4):
        one.partial_fit(X[y == label], y[y == label])
    assert_alike(one, scorer().fit(X, y), X, y)
    if kind == "rounding":
        X[:, 3] = 0
        assert_allclose(scorer().fit(X, y).psmi_, one.set_params().fit(X, y).psmi_)


@pytest.mark.parametrize(
    "other",
    [
        {"random_state": 1},
        {"n_slices": 31},
        {"density": "gaussian"},
        {"pooled": False},
        {"leave_one_out": False},
    ],
    ids=str,
)
def test_only_the_same_slices_merge(seed, other):
    X, y = problem(seed)
    one = scorer().partial_fit(X, y)
    for there in (scorer(**other).partial_fit(X, y), scorer(**other).fit(X, y)):
        for here in (one, scorer()):
            with pytest.raises(InvalidInputError, match="same slices"):
                here.merge(there)
    with pytest.raises(InvalidInputError, match="another SlicedMIScorer"):
        one.merge(3)


@pytest.mark.parametrize("contamination", [0.1, "permutation"])
def test_the_threshold_in_batches(seed, contamination):
    X, y = problem(seed)
    whole = scorer(contamination=contamination).fit(X, y)
    one = scorer(contamination=contamination)
    one.fit_batches([(X[:70], y[:70]), (X[70:], y[70:])])
    assert one.offset_ == pytest.approx(whole.offset_, abs=1e-4)


@pytest.mark.parametrize(("pooled", "weighted"), [(True, True), (False, False)])
def test_a_large_memory_map_is_read_in_batches(
    seed, tmp_path, monkeypatch, pooled, weighted
):
    monkeypatch.setattr("smilearn.scoring._batches.BATCH_NUMBERS", 9 * 40)
    X, y = problem(seed)
    weight = np.where(y == 1, 1.5, 1.0) if weighted else None
    np.save(tmp_path / "X.npy", X.astype(np.float32))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    sizes = []
    checked = _checks.checked_batch

    def watched(scorer, X, *rest, **options):
        sizes.append(len(X))
        return checked(scorer, X, *rest, **options)

    monkeypatch.setattr(_checks, "checked_batch", watched)
    whole = scorer(pooled=pooled).fit(X.astype(np.float32), y, weight)
    one = scorer(pooled=pooled).fit(mapped, y, weight)
    assert 0 < max(sizes) <= 40
    assert_allclose(one.scores_, whole.scores_, **CLOSE)
    private = np.load(tmp_path / "X.npy", mmap_mode="c")
    private[0] += 1  # must not be lost
    changed = private.copy()
    expected = scorer(pooled=pooled).fit(changed, y).scores_
    assert_allclose(scorer(pooled=pooled).fit(private, y).scores_, expected, **CLOSE)
    assert_array_equal(private, changed)


def test_memory_does_not_grow_with_the_stream(seed, monkeypatch):
    monkeypatch.setattr("smilearn.scoring._batches.BATCH_NUMBERS", 50_000)

    class Batches:
        def __init__(self, n):
            self.n = n

        def __iter__(self):
            rng = np.random.default_rng(seed)
            for _ in range(self.n):
                yield rng.normal(size=(500, 100)), np.arange(500) % 3

    def peak(n):
        tracemalloc.start()
        scorer(n_slices=8).fit_batches(Batches(n))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(12)  # 6,000 samples: the state is full
    assert peak(24) - peak(12) < 12 * 500 * 8 * 40


def test_what_cannot_be_streamed_says_so(seed):
    X, y = problem(seed)
    with pytest.raises(AttributeError, match="partial_fit") as refusal:
        scorer(contamination=0.1).partial_fit(X, y)
    assert "contamination" in str(refusal.value.__cause__)
    for batches, message in (
        (iter([(X, y)]), "more than once"),
        ([], "at least 1 batch"),
        ([X], r"\(X, y\)"),
        ([(X, np.zeros(len(y)))], "2 classes"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            scorer().fit_batches(batches)
    with pytest.raises(InvalidInputError, match="scores_"):
        scorer().partial_fit(X, y).to_table()


def test_batches_that_change_are_refused(seed):
    X, y = problem(seed)
    rng = np.random.default_rng(seed)

    class Shuffling:
        def __iter__(self):
            order = rng.permutation(len(y))
            yield X[order], y[order]

    with pytest.raises(InvalidInputError, match="same"):
        scorer().fit_batches(Shuffling())


@POOLED
@pytest.mark.parametrize("method", ["fit", "fit_batches", "partial_fit"])
def test_samples_that_were_not_fitted_are_scored_as_new(seed, method, pooled):
    X, y = problem(seed)
    weight = np.random.default_rng(seed).integers(0, 3, len(y)).astype(float)
    whole = scorer(pooled=pooled).fit(X, y, sample_weight=weight)
    one, arrays = scorer(pooled=pooled), (X, y, weight)
    if method == "fit_batches":
        one.fit_batches([arrays])
    else:
        getattr(one, method)(X, y, sample_weight=weight)
    order = np.random.default_rng(seed).permutation(len(y))
    found = one.score_training_samples(X[order], y[order], weight[order])
    assert_allclose(found, whole.scores_[order], atol=1e-5)
    none = one.score_training_samples(X[:5], y[:5], np.zeros(5))
    assert_allclose(none, one.score_samples(X[:5], y[:5]), atol=1e-6)
    used = weight > 0
    part = scorer(pooled=pooled).fit(X[used], y[used], sample_weight=weight[used])
    assert_allclose(whole.scores_[used], part.scores_, atol=1e-9)
    assert (whole.scores_std_ > 0).all()
    assert_array_equal(whole.to_table()["label"], y)


def test_weights_must_add_up_before_samples_are_scored(seed):
    X, y = problem(seed)
    one = scorer().partial_fit(X, y, sample_weight=np.full(len(y), 1 / len(y)))
    for ask in (one.score_samples, one.score_training_samples, one.score):
        with pytest.raises(InvalidInputError, match="at least one a class"):
            ask(X, y)
    one.partial_fit(X, y)
    assert np.isfinite(one.score_samples(X, y)).all()


def test_samples_of_weight_0_are_absent_in_a_subspace_too():
    """Of more samples than a state keeps, those it keeps are known by content."""
    X, y = many(0, n=4000, n_features=12)
    X = np.hstack([X, np.zeros((len(X), MOST_FEATURES), np.float32)])
    weight = np.arange(len(y)) % 3 > 0
    one = scorer().fit(X, y, sample_weight=weight)
    other = scorer().fit(X[weight], y[weight])
    assert_allclose(one.scores_[weight], other.scores_, **CLOSE)


@POOLED
def test_weights_of_a_batch_may_all_be_0(seed, pooled):
    X, y = problem(seed)
    weight = np.r_[np.zeros(50), np.ones(len(y) - 50)]
    one = scorer(pooled=pooled).partial_fit(X[:50], y[:50], sample_weight=0)
    with pytest.raises(NotFittedError):
        one.score_samples(X, y)
    parts = [slice(i, i + 25) for i in range(0, len(y), 25)]
    assert_alike_in_parts(parts, X, y, weight, pooled=pooled)
    with pytest.raises(ValueError, match=r"inconsistent|sample_weight\.shape"):
        one.partial_fit(X, y, sample_weight=np.zeros(3))


def test_a_call_that_fails_changes_nothing(seed):
    X, y = problem(seed)
    one = scorer()
    with pytest.raises(InvalidInputError, match="2 classes"):
        one.fit(X, np.zeros(len(y)))
    with pytest.raises(NotFittedError):
        one.score_samples(X, y)
    with pytest.raises(InvalidInputError, match="not among classes"):
        one.partial_fit(X, y, classes=[0, 1, 2])
    one.partial_fit(X, y, classes=[0, 1, 2, 3])
    expected = scorer().partial_fit(X, y)
    assert_allclose(one.score_samples(X, y), expected.score_samples(X, y))
    for fresh in (scorer().fit(X, y), scorer().partial_fit(X, y, classes=range(4))):
        before = pickle.dumps(fresh)
        for wrong in (y.astype(str), y.astype(str).astype(object)):
            with pytest.raises(InvalidInputError, match="one kind"):
                fresh.partial_fit(X, wrong)
        with pytest.raises(InvalidInputError, match="not those of before"):
            fresh.partial_fit(X, y, classes=range(5))
        with pytest.raises(ValueError, match="NaN"):
            fresh.partial_fit(np.full_like(X, np.nan), y)
        with pytest.raises(InvalidInputError, match="merge"):
            fresh.merge(scorer(random_state=1).partial_fit(X, y))
        assert pickle.dumps(fresh) == before


def test_classes_may_be_named_again(seed):
    X, y = problem(seed)
    one = scorer().partial_fit(X, y, classes=[2, 1, 0, 3, 4])
    one.partial_fit(X, y, classes=range(5)).partial_fit(X, y + 1)
    assert_array_equal(one.classes_, range(5))
    two = scorer().fit(X, y).partial_fit(X, y, classes=range(4))
    with pytest.raises(InvalidInputError, match="not among classes"):
        two.partial_fit(X, y + 1)
    with pytest.raises(InvalidInputError, match="one kind"):
        scorer().partial_fit(X, y.astype(str), classes=range(4))


@POOLED
@pytest.mark.parametrize(
    ("first", "second"),
    [("fit", "fit_batches"), ("fit_batches", "partial_fit"), ("partial_fit", "fit")],
)
def test_scorers_fitted_in_any_way_merge(seed, first, second, pooled):
    X, y = problem(seed)

    def taught(method, rows):
        arrays = X[rows], y[rows]
        arrays = ([arrays],) if method == "fit_batches" else arrays
        return getattr(scorer(pooled=pooled, dtype="float64"), method)(*arrays)

    other = taught(second, slice(70, None))
    before = pickle.dumps(other)
    one = taught(first, slice(70)).merge(other)
    assert pickle.dumps(other) == before
    assert not hasattr(one, "scores_")
    assert_alike(one, scorer(pooled=pooled, dtype="float64").fit(X, y), X, y)


def test_a_scorer_without_samples_merges(seed):
    X, y = problem(seed)
    one, frame = scorer(), pd.DataFrame(X).add_prefix("x")
    full = scorer().partial_fit(frame, y)
    empty = scorer().partial_fit(frame, y, sample_weight=0)
    expected = full.score_samples(frame, y)
    for merged in (one.merge(full), empty.merge(full), full.merge(scorer())):
        assert_allclose(merged.score_samples(frame, y), expected)
        assert_array_equal(merged.feature_names_in_, frame.columns)
    assert not scorer().merge(scorer()).__sklearn_is_fitted__()
    one.partial_fit(frame, y)  # shares nothing with what it took over
    assert_allclose(full.score_samples(frame, y), expected)


@pytest.mark.parametrize("batches", [False, True])
def test_a_stream_goes_on_from_fit(seed, batches):
    X, y = problem(seed)
    X[:, 2] = 4.0
    one = scorer(dtype="float64")
    one.fit_batches([(X[:99], y[:99])]) if batches else one.fit(X[:99], y[:99])
    one.partial_fit(X[99:], y[99:])
    assert not hasattr(one, "scores_")
    assert_alike(one, scorer().fit(X, y), X, y)


def test_fits_of_any_size_merge(seed):
    """A small one is in double precision, a stream is not."""
    X, y = problem(seed)
    one = scorer().fit(X[:50], y[:50]).merge(scorer().partial_fit(X[50:], y[50:]))
    whole = scorer(dtype="float64", outliers=None).fit(X, y)
    assert_allclose(one.score_training_samples(X, y), whole.scores_, **CLOSE)


def test_sums_may_be_deleted(seed):
    """They hold embeddings: what is shared should not."""
    X, y = problem(seed)
    one = scorer().fit(X, y)
    before = one.score_samples(X, y)
    del one.sums_
    assert_allclose(one.score_samples(X, y), before)
    assert len(one.to_table()) == len(y)
    for add in (lambda: one.partial_fit(X, y), lambda: one.merge(scorer().fit(X, y))):
        with pytest.raises(InvalidInputError, match="were deleted"):
            add()
    assert_allclose(one.fit(X, y).score_samples(X, y), before)
