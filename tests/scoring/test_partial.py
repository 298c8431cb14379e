import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import embeddings, fitted
from sklearn.exceptions import NotFittedError

from smilearn import SlicedMIScorer
from smilearn.exceptions import InvalidInputError


def scorer(**parameters):
    defaults = {"n_slices": 50, "random_state": 0, "slicing": "isotropic"}
    return SlicedMIScorer(**defaults | parameters)


def problem(seed):
    X, y = embeddings(seed, (80, 60, 12), 9, apart=0.7)
    order = np.random.default_rng(seed).permutation(len(y))
    return X[order], y[order]


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


def test_labels_must_be_announced_and_of_one_kind(seed):
    X, y = problem(seed)
    one = scorer().partial_fit(X[:50], y[:50], classes=[0, 1, 2])
    with pytest.raises(InvalidInputError, match="not among classes"):
        one.partial_fit(X, y + 1)
    with pytest.raises(InvalidInputError, match="one kind"):
        scorer().partial_fit(X, y).partial_fit(X, y.astype(str))
    with pytest.raises(ValueError, match="features"):
        one.partial_fit(X[:, :4], y)


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


def test_far_samples_come_with_weight_0(seed):
    X, y = problem(seed)
    X[:3] += 500
    one = scorer().fit(X, y)
    assert one.far_[:3].all()
    found = one.score_training_samples(X, y, sample_weight=~one.far_)
    assert_allclose(found[~one.far_], one.scores_[~one.far_], atol=1e-5)
    assert_allclose(found[one.far_].clip(max=0), one.scores_[one.far_], atol=1e-5)


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


def test_nothing_of_fit_is_stale_after_more_samples(seed):
    X, y = problem(seed)
    one = scorer(contamination=0.3, far=None).fit(X, y)
    assert one.offset_ != 0
    one.set_params(contamination=None).partial_fit(X + 100, y)
    assert one.offset_ == 0
    both = np.r_[X, X + 100]
    expected = fitted(both, np.r_[y, y], far=None).feature_extent_
    assert_allclose(one.feature_extent_, expected, rtol=1e-5)
    streamed = scorer().partial_fit(X, y).partial_fit(X + 100, y)
    assert_allclose(streamed.feature_extent_, expected, rtol=1e-5)


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


def test_words_are_words_in_any_array(seed):
    X, y = problem(seed)
    words = np.array(["a", "bb", "c"])[y]
    expected = scorer().partial_fit(np.r_[X, X], np.r_[words, words])
    for first, second in ((words, words.astype(object)), (words.astype(object), words)):
        one = scorer().partial_fit(X, first).partial_fit(X, second)
        assert_array_equal(one.classes_, expected.classes_)
        found = one.score_samples(X, words)
        assert_allclose(found, expected.score_samples(X, words), atol=1e-5)


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


def test_features_must_be_the_same_to_merge(seed):
    X, y = problem(seed)
    frame = pd.DataFrame(X).add_prefix("x")
    one = scorer().partial_fit(frame, y)
    with pytest.raises(InvalidInputError, match="same features"):
        one.merge(scorer().partial_fit(frame[frame.columns[::-1]], y))
    with pytest.raises(InvalidInputError, match="same slices"):
        one.merge(scorer().partial_fit(X[:, :4], y))
    with pytest.raises(InvalidInputError, match="SlicedMIScorer"):
        one.merge(X)
