"""What must not change a score: batches, order, names, units, constant columns."""

from unittest import mock

import numpy as np
import pytest
from adversarial import examples, samples, tame_samples
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from oracles import POOLED, fitted

from smilearn.scoring._directions import SliceDirections

EITHER = st.sampled_from(["student", "gaussian"])

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.filterwarnings("ignore:The number of unique classes"),
]


def exactly(X, y, pooled, density="student", n_slices=8, **options):
    """Fit in double precision, where only thresholds tell roundings apart."""
    options = {"density": density, "n_slices": n_slices, "dtype": "float64"} | options
    return fitted(X, y, pooled=pooled, **options)


def assert_close(values, expected, atol=1e-6):
    """Equal up to rounding; far outliers have scores of many digits."""
    assert_allclose(values, expected, rtol=1e-6, atol=atol)


def rotation_of(n_features, seed):
    square = np.random.default_rng(seed).normal(size=(n_features, n_features))
    return np.linalg.qr(square)[0]


@POOLED
@examples(8)
@given(samples(), EITHER, st.integers(1, 9), st.randoms(use_true_random=False))
def test_a_new_score_depends_on_its_sample_alone(pooled, data, density, size, random):
    """Not on its batch, its place, or which samples come along."""
    X, y = data
    scorer = exactly(X, y, pooled, density)
    whole, table = scorer.score_samples(X, y), scorer.predict_proba(X)
    some = np.array([random.randrange(len(y)) for _ in range(2 * len(y))])
    for rows in np.split(some, range(size, len(some), size)):
        assert_close(scorer.score_samples(X[rows], y[rows]), whole[rows])
        assert_close(scorer.predict_proba(X[rows]), table[rows])
    if pooled:
        assert_close(np.log(table[np.arange(len(y)), y]), whole)


@POOLED
@pytest.mark.parametrize("leave_one_out", [True, False])
@examples(10)
@given(samples(), EITHER, st.integers(0, 99))
def test_order_of_training_samples(pooled, leave_one_out, data, density, seed):
    X, y = data
    order = np.random.default_rng(seed).permutation(len(y))
    one, other = (
        exactly(X[rows], y[rows], pooled, density, leave_one_out=leave_one_out)
        for rows in (slice(None), order)
    )
    assert_close(other.scores_, one.scores_[order])
    rounding = 1e-7 * np.abs(one.psmi_).max()  # of a mean square less that of the mean
    assert_close(other.scores_std_, one.scores_std_[order], 1e-4 + rounding)


@POOLED
@examples(10)
@given(samples(), EITHER, st.integers(0, 99))
def test_names_of_labels_in_another_order(pooled, data, density, seed):
    X, y = data
    names = np.random.default_rng(seed).permutation(y.max() + 1)
    one, other = (exactly(X, codes, pooled, density) for codes in (y, 10 * names[y]))
    assert_close(other.scores_, one.scores_)
    assert_close(other.predict_proba(X)[:, names], one.predict_proba(X))


@examples(12)
@given(tame_samples(), EITHER, st.booleans(), st.integers(0, 99))
def test_turned_samples_on_turned_slices(data, density, leave_one_out, seed):
    (X, y), first = data, SliceDirections.first
    rotation = rotation_of(X.shape[1], seed)
    options = {"leave_one_out": leave_one_out}
    one = exactly(X, y, False, density, **options)

    def turned(self, n_slices):
        return first(self, n_slices) @ rotation

    with mock.patch.object(SliceDirections, "first", turned):
        other = exactly(X @ rotation, y, False, density, **options)
    assert_close(other.scores_, one.scores_)
    assert_close(other.predict_proba(X @ rotation), one.predict_proba(X))


@POOLED
@examples(5)
@given(tame_samples(), EITHER, st.floats(-30, 30), st.sampled_from([-1e6, -1e3, 0, 7]))
def test_unit_and_origin_do_not_matter(pooled, data, density, exponent, shift):
    """Factors of 1e-30 to 1e30, and shifts of up to a million spreads."""
    X, y = data
    moved = (X + shift) * 10.0**exponent
    one, other = (exactly(points, y, pooled, density) for points in (X, moved))
    assert_allclose(other.scores_, one.scores_, atol=1e-5)
    assert_allclose(other.predict_proba(moved), one.predict_proba(X), atol=1e-5)


@POOLED
@examples(5)
@given(tame_samples(), EITHER, st.floats(-1e99, 1e99), st.integers(0, 99))
def test_what_a_constant_column_holds_does_not_matter(
    pooled, data, density, value, seed
):
    """Nor what new samples hold there."""
    X, y = data
    zero, held = np.zeros((len(y), 1)), np.full((len(y), 1), value)
    place = seed % (X.shape[1] + 1)
    one, other = (
        np.hstack([X[:, :place], column, X[:, place:]]) for column in (zero, held)
    )
    first, second = (exactly(points, y, pooled, density) for points in (one, other))
    assert_close(first.scores_, second.scores_)
    assert_close(first.predict_proba(other), second.predict_proba(one))
