"""Samples that come in batches: fitted, merged and scored as if all were there."""

import itertools
import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import embeddings, fitted
from sklearn.exceptions import NotFittedError

from smilearn import SlicedMIScorer
from smilearn.exceptions import InvalidInputError

ATTRIBUTES = [
    "centre_",
    "inverse_scale_",
    "class_prior_",
    "slice_means_",
    "slice_variances_",
    "slice_reach_",
    "slice_range_",
    "directions_",
]


def scorer(**parameters):
    return SlicedMIScorer(
        **{"n_slices": 50, "random_state": 0, "slicing": "isotropic"} | parameters
    )


def problem(seed):
    X, y = embeddings(seed, (80, 60, 12), 9, apart=0.7)
    order = np.random.default_rng(seed).permutation(len(y))
    return X[order], y[order]


def cut(seed, n, n_cuts):
    ends = np.random.default_rng(seed).choice(np.arange(1, n), n_cuts, replace=False)
    return [slice(*pair) for pair in itertools.pairwise([0, *sorted(ends), n])]


def streamed(parts, X, y, **parameters):
    one = scorer(**parameters)
    for rows in parts:
        one.partial_fit(X[rows], y[rows])
    return one


@pytest.mark.parametrize("density", ["student", "gaussian"])
@pytest.mark.parametrize("n_cuts", [0, 1, 7, 40, 151])
def test_any_chunks_make_what_fit_makes(seed, n_cuts, density):
    X, y = problem(seed)
    whole = fitted(X, y, n_slices=50, density=density)
    parts = cut(seed, len(y), n_cuts)
    one = streamed(parts, X, y, density=density)
    for name in ATTRIBUTES:
        found, expected = getattr(one, name), getattr(whole, name)
        assert_allclose(found, expected, rtol=1e-5, atol=1e-5, err_msg=name)
    assert_allclose(one.score_samples(X, y), whole.score_samples(X, y), atol=1e-5)
    assert_allclose(one.score_training_samples(X, y), whole.scores_, atol=1e-5)
    batches = [(X[rows], y[rows]) for rows in parts]
    again = scorer(density=density).fit_batches(batches)
    assert_allclose(again.scores_, whole.scores_, atol=1e-5)
    assert_allclose(again.scores_std_, whole.scores_std_, atol=1e-5)
    assert again.reliability_ == pytest.approx(whole.reliability_, abs=1e-3)
    assert_array_equal(again.labels_, y)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("offset", [0, 1e5])
def test_far_origins_and_odd_units(seed, scale, offset):
    X, y = problem(seed)
    X = scale * (X + offset)
    X[:40] = X[0]  # a constant beginning
    whole = fitted(X, y, n_slices=50)
    one = streamed([slice(i, i + 8) for i in range(0, len(y), 8)], X, y)
    assert_allclose(one.score_samples(X, y), whole.score_samples(X, y), atol=1e-4)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"random_state": 1}, "same slices"),
        ({"n_slices": 49}, "same slices"),
        ({"density": "gaussian"}, "same slices"),
        ({"dtype": "float64"}, "same slices"),
    ],
)
def test_only_the_same_slices_merge(seed, other, message):
    X, y = problem(seed)
    one = streamed([slice(None)], X, y)
    with pytest.raises(InvalidInputError, match=message):
        one.merge(streamed([slice(None)], X, y, **other))
    with pytest.raises(InvalidInputError, match=message):
        one.merge(scorer(**other).fit(X, y))
    with pytest.raises(InvalidInputError, match=message):
        scorer().merge(scorer(**other).fit(X, y))


def test_whole_weights_are_copies_in_a_stream_too(seed):
    X, y = problem(seed)
    weight = np.random.default_rng(seed).integers(0, 4, len(y))
    whole = scorer().fit(X, y, sample_weight=weight)
    parts = cut(seed, len(y), 5)
    batches = [(X[rows], y[rows], weight[rows]) for rows in parts]
    one = scorer().fit_batches(batches)
    assert_allclose(one.scores_, whole.scores_, atol=1e-5)
    two = scorer()
    for batch in batches:
        two.partial_fit(*batch[:2], sample_weight=batch[2])
    assert_allclose(two.score_samples(X, y), whole.score_samples(X, y), atol=1e-5)
    with pytest.raises(InvalidInputError, match="whole numbers"):
        scorer().fit_batches([(X, y, weight + 0.5)])


@pytest.mark.parametrize("contamination", [0.1, "permutation"])
def test_the_line_in_a_stream(seed, contamination):
    X, y = problem(seed)
    parameters = {"contamination": contamination}
    whole = fitted(X, y, n_slices=50, **parameters)
    one = scorer(**parameters).fit_batches([(X[:70], y[:70]), (X[70:], y[70:])])
    assert one.offset_ == pytest.approx(whole.offset_, abs=1e-4)


def test_a_large_memory_map_is_read_in_batches(seed, tmp_path, monkeypatch):
    monkeypatch.setattr("smilearn.scoring._learning.ENOUGH", 9 * 40)
    monkeypatch.setattr("smilearn.scoring._batches.ENOUGH", 9 * 40)
    X, y = problem(seed)
    np.save(tmp_path / "X.npy", X.astype(np.float32))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    sizes = []
    measured = SlicedMIScorer._checked_batch

    def watched(self, X, *rest, **options):
        sizes.append(len(X))
        return measured(self, X, *rest, **options)

    monkeypatch.setattr(SlicedMIScorer, "_checked_batch", watched)
    whole, one = fitted(X, y, n_slices=50), scorer().fit(mapped, y)
    assert max(sizes) <= 40
    assert_allclose(one.scores_, whole.scores_, atol=1e-5)
    private = np.load(tmp_path / "X.npy", mmap_mode="c")
    private[0] += 1  # must not be lost
    changed = X.astype(np.float32)
    changed[0] += 1
    expected = fitted(changed, y, n_slices=50).scores_
    assert_allclose(scorer().fit(private, y).scores_, expected, atol=1e-5)
    assert_array_equal(private, changed)


def test_memory_does_not_grow_with_the_stream(seed, monkeypatch):
    monkeypatch.setattr("smilearn.scoring._batches.ENOUGH", 50_000)
    rng = np.random.default_rng(seed)

    class Batches:
        def __init__(self, n):
            self.n = n

        def __iter__(self):
            for _ in range(self.n):
                yield rng.normal(size=(500, 100)), np.arange(500) % 3

    def peak(n):
        tracemalloc.start()
        scorer(n_slices=20).fit_batches(Batches(n))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(2)
    assert peak(20) - peak(4) < 16 * 500 * 8 * 20


def test_what_cannot_be_streamed_says_so(seed):
    X, y = problem(seed)
    for slicing in ("principal", "adaptive", "joint"):
        assert not hasattr(scorer(slicing=slicing), "partial_fit")
        with pytest.raises(InvalidInputError, match="isotropic"):
            scorer(slicing=slicing).fit_batches([(X, y)])
    with pytest.raises(AttributeError, match="partial_fit") as refusal:
        scorer(contamination=0.1).partial_fit(X, y)
    assert "contamination" in str(refusal.value.__cause__)
    with pytest.raises(InvalidInputError, match="more than once"):
        scorer().fit_batches(iter([(X, y)]))
    with pytest.raises(InvalidInputError, match="at least 1 batch"):
        scorer().fit_batches([])
    with pytest.raises(InvalidInputError, match=r"\(X, y\)"):
        scorer().fit_batches([X])
    with pytest.raises(InvalidInputError, match="2 classes"):
        scorer().fit_batches([(X, np.zeros(len(y)))])
    with pytest.raises(InvalidInputError, match="scores_"):
        streamed([slice(None)], X, y).to_table()
    with pytest.raises(InvalidInputError, match="joint"):
        fitted(X, y, slicing="joint").score_training_samples(X, y)


def test_batches_that_change_are_refused(seed):
    X, y = problem(seed)
    rng = np.random.default_rng(seed)

    class Shuffling:
        def __iter__(self):
            order = rng.permutation(len(y))
            yield X[order], y[order]

    with pytest.raises(InvalidInputError, match="same"):
        scorer(n_slices="auto", orthogonal=False).fit_batches(Shuffling())


def nearly_constant_classes(seed):
    """Features that are constant up to rounding in a class, but not in all."""
    y, rng = np.repeat([0, 1], 200), np.random.default_rng(seed)
    X = 1000 + 4e-4 * rng.normal(size=(400, 4)) + 6e-3 * y[:, None]
    return X.astype(np.float32), y


def test_what_is_rounding_is_for_all_batches_to_tell(seed):
    X, y = nearly_constant_classes(seed)
    whole, one = fitted(X, y, n_slices=50, far=None), scorer()
    for label in (0, 1):
        one.partial_fit(X[y == label], y[y == label])
    assert_allclose(one.inverse_scale_, whole.inverse_scale_, rtol=1e-6)
    assert_allclose(one.slice_variances_, whole.slice_variances_, rtol=1e-5)
    # the centre that fit sums up in float32 may be the number beside the nearest one
    beside = np.spacing(np.float32(1000))
    assert_allclose(one.centre_, whole.centre_, rtol=0, atol=beside)
    assert_allclose(one.score_training_samples(X, y), whole.scores_, atol=2e-3)


def test_rounding_does_not_drown_the_other_features(seed):
    X, y = problem(seed)
    X = X.astype(np.float32)
    X[:, 3] = 1e8 + 8 * np.random.default_rng(seed).integers(0, 3, len(y))
    one = scorer().partial_fit(X, y)
    assert one.inverse_scale_[3] == 0
    expected = fitted(X, y, n_slices=50, far=None).scores_
    assert_allclose(one.score_training_samples(X, y), expected, atol=1e-5)


@pytest.mark.parametrize("method", ["fit", "fit_batches", "partial_fit"])
def test_samples_that_were_not_fitted_are_scored_as_new(seed, method):
    X, y = problem(seed)
    weight = np.random.default_rng(seed).integers(0, 3, len(y)).astype(float)
    whole = scorer(far=None).fit(X, y, sample_weight=weight)
    one, arrays = scorer(far=None), (X, y, weight)
    if method == "fit_batches":
        one.fit_batches([arrays])
    else:
        getattr(one, method)(X, y, sample_weight=weight)
    order = np.random.default_rng(seed).permutation(len(y))
    found = one.score_training_samples(X[order], y[order], weight[order])
    assert_allclose(found, whole.scores_[order], atol=1e-5)
    none = one.score_training_samples(X[:5], y[:5], np.zeros(5))
    assert_allclose(none, one.score_samples(X[:5], y[:5]), atol=1e-9)


def test_weights_that_are_no_copies_leave_nothing_to_leave_out(seed):
    X, y = problem(seed)
    weight = np.random.default_rng(seed).uniform(0.5, 2, len(y))
    one = scorer(far=None).fit(X, y, sample_weight=weight)
    two = (
        scorer()
        .partial_fit(X[:99], y[:99])
        .partial_fit(X[99:], y[99:], sample_weight=weight[99:])
    )
    for fractional in (one, two, scorer().partial_fit(X, y).merge(two)):
        with pytest.raises(InvalidInputError, match="whole numbers"):
            fractional.score_training_samples(X, y)
    with pytest.raises(InvalidInputError, match="whole numbers"):
        scorer().fit(X, y).score_training_samples(X, y, sample_weight=weight)
    one.partial_fit(X, y)
    with pytest.raises(InvalidInputError, match="whole numbers"):
        one.score_training_samples(X, y)
    three = scorer(leave_one_out=False).partial_fit(X, y, sample_weight=weight)
    expected = scorer(leave_one_out=False, far=None).fit(X, y, weight).scores_
    found = three.score_training_samples(X, y, sample_weight=weight)
    assert_allclose(found, expected, atol=1e-5)


def test_weights_must_add_up_before_samples_are_scored(seed):
    X, y = problem(seed)
    share = np.full(len(y), 1 / len(y))
    one = scorer(leave_one_out=False).partial_fit(X, y, sample_weight=share)
    for ask in (one.score_samples, one.score_training_samples, one.score):
        with pytest.raises(InvalidInputError, match="at least one a class"):
            ask(X, y)
    one.partial_fit(X, y)
    assert np.isfinite(one.score_samples(X, y)).all()


def test_weights_of_a_batch_may_all_be_0(seed):
    X, y = problem(seed)
    weight = np.r_[np.zeros(50), np.ones(len(y) - 50)]
    one = scorer().partial_fit(X[:50], y[:50], sample_weight=weight[:50])
    with pytest.raises(NotFittedError):
        one.score_samples(X, y)
    one.partial_fit(X[50:], y[50:])
    one.partial_fit(X[:50], y[:50], sample_weight=0)
    whole = scorer(far=None).fit(X, y, sample_weight=weight)
    assert_allclose(one.score_samples(X, y), whole.score_samples(X, y), atol=1e-5)
    parts = [slice(i, i + 25) for i in range(0, len(y), 25)]
    batches = [(X[rows], y[rows], weight[rows]) for rows in parts]
    found = scorer(far=None).fit_batches(batches).scores_
    assert_allclose(found, whole.scores_, atol=1e-5)
    with pytest.raises(ValueError, match=r"inconsistent|sample_weight\.shape"):
        one.partial_fit(X, y, sample_weight=np.zeros(3))


@pytest.mark.parametrize("slicing", ["principal", "adaptive", "joint", "whitened"])
def test_other_slices_are_not_gone_on_from(seed, slicing):
    X, y = problem(seed)
    one = scorer(slicing=slicing).fit(X, y).set_params(slicing="isotropic")
    before = pickle.dumps(one)
    for add in (lambda: one.partial_fit(X, y), lambda: scorer().merge(one)):
        with pytest.raises(InvalidInputError, match="isotropic slices only"):
            add()
    assert pickle.dumps(one) == before


def test_a_call_that_fails_changes_nothing(seed):
    X, y = problem(seed)
    one = scorer()
    with pytest.raises(InvalidInputError, match="2 classes"):
        one.fit(X, np.zeros(len(y)))
    with pytest.raises(NotFittedError):
        one.score_samples(X, y)
    with pytest.raises(InvalidInputError, match="not among classes"):
        one.partial_fit(X, y, classes=[0, 1])
    one.partial_fit(X, y, classes=[0, 1, 2])
    expected = scorer().partial_fit(X, y)
    assert_allclose(one.score_samples(X, y), expected.score_samples(X, y))
    for fresh in (scorer().fit(X, y), scorer().partial_fit(X, y, classes=[0, 1, 2])):
        before = pickle.dumps(fresh)
        for wrong in (y.astype(str), y.astype(str).astype(object)):
            with pytest.raises(InvalidInputError, match="one kind"):
                fresh.partial_fit(X, wrong)
        with pytest.raises(InvalidInputError, match="not those of before"):
            fresh.partial_fit(X, y, classes=[0, 1, 2, 3])
        with pytest.raises(ValueError, match="NaN"):
            fresh.partial_fit(np.full_like(X, np.nan), y)
        with pytest.raises(InvalidInputError, match="merge"):
            fresh.merge(scorer(random_state=1).partial_fit(X, y))
        assert pickle.dumps(fresh) == before


def test_classes_may_be_named_again(seed):
    X, y = problem(seed)
    one = scorer().partial_fit(X, y, classes=[2, 1, 0, 3])
    one.partial_fit(X, y, classes=[0, 1, 2, 3]).partial_fit(X, y + 1)
    assert_array_equal(one.classes_, [0, 1, 2, 3])
    two = scorer().fit(X, y).partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(InvalidInputError, match="not among classes"):
        two.partial_fit(X, y + 1)
    with pytest.raises(InvalidInputError, match="one kind"):
        scorer().partial_fit(X, y.astype(str), classes=[0, 1, 2])


@pytest.mark.parametrize("first", ["fit", "fit_batches", "partial_fit"])
@pytest.mark.parametrize("second", ["fit", "fit_batches", "partial_fit"])
def test_scorers_fitted_in_any_way_merge(seed, first, second):
    X, y = problem(seed)

    def taught(method, rows):
        arrays = X[rows], y[rows]
        arrays = ([arrays],) if method == "fit_batches" else arrays
        return getattr(scorer(far=None), method)(*arrays)

    other = taught(second, slice(70, None))
    before = pickle.dumps(other)
    one = taught(first, slice(70)).merge(other)
    assert pickle.dumps(other) == before
    assert not hasattr(one, "scores_")
    expected = fitted(X, y, n_slices=50, far=None).scores_
    assert_allclose(one.score_training_samples(X, y), expected, atol=1e-4)


def test_a_scorer_without_samples_merges(seed):
    X, y = problem(seed)
    one, frame = scorer(), pd.DataFrame(X).add_prefix("x")
    full = scorer().partial_fit(frame, y)
    empty = scorer().partial_fit(frame, y, sample_weight=0)
    expected = full.score_samples(frame, y)
    for merged in (one.merge(full), empty.merge(full), full.merge(scorer())):
        assert_allclose(merged.score_samples(frame, y), expected)
        assert_array_equal(merged.feature_names_in_, frame.columns)
    assert_array_equal(scorer().merge(scorer()).__sklearn_is_fitted__(), False)
    one.partial_fit(frame, y)  # shares nothing with what it took over
    assert_allclose(full.score_samples(frame, y), expected)


@pytest.mark.parametrize("batches", [False, True])
def test_a_stream_goes_on_from_fit(seed, batches):
    X, y = problem(seed)
    X[:, 2] = 4.0
    one = scorer(far=None)
    one.fit_batches([(X[:99], y[:99])]) if batches else one.fit(X[:99], y[:99])
    one.partial_fit(X[99:], y[99:])
    whole = fitted(X, y, n_slices=50)
    assert not hasattr(one, "scores_")
    assert one.inverse_scale_[2] == 0
    assert_allclose(one.score_samples(X, y), whole.score_samples(X, y), atol=1e-4)
    assert_allclose(one.score_training_samples(X, y), whole.scores_, atol=1e-4)


def test_a_large_memory_map_with_weights_that_are_no_whole_numbers(
    seed, tmp_path, monkeypatch
):
    monkeypatch.setattr("smilearn.scoring._learning.ENOUGH", 100)
    X, y = problem(seed)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    weight = np.where(y == 1, 1.5, 1.0)
    expected = scorer().fit(X, y, sample_weight=weight)
    one = scorer().fit(mapped, y, sample_weight=weight)
    assert_array_equal(one.scores_, expected.scores_)
