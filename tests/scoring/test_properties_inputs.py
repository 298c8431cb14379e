"""Any finite input gives finite scores, in time, and its type does not matter."""

import numpy as np
import pytest
from adversarial import any_finite_samples, examples, labels, samples
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from oracles import POOLED, fitted

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.filterwarnings("ignore:The number of unique classes"),
    pytest.mark.filterwarnings("ignore::smilearn.exceptions.ReliabilityWarning"),
]
DENSITIES = ["student", "gaussian"]


def assert_sane(scorer, X, y):
    """Finite everywhere, and within the bounds that are promised."""
    far = np.clip(X.astype(np.float64), -1e278, 1e278) * 1e30
    tables = scorer.predict_proba(X), scorer.predict_proba(far)
    for values in (scorer.scores_, scorer.scores_std_, *tables, scorer.offset_):
        assert np.isfinite(values).all()
    assert (scorer.scores_std_ >= 0).all()
    assert 0 <= scorer.reliability_ <= 1
    assert scorer.score(X, y) <= 0
    for table in tables:
        assert_allclose(table.sum(1), 1, rtol=1e-6)
    if scorer.pooled:
        assert (scorer.scores_ <= 0).all()
        assert_allclose(scorer.probability_, np.exp(scorer.scores_))
        return
    told = [scorer.score_samples(some) for some in (X, far)]
    assert np.isfinite(told).all()
    if not scorer.leave_one_out:  # a sample that is left out takes a share with it
        assert (scorer.scores_ <= -np.log(scorer.class_prior_)[y] + 1e-4).all()


OPTIONS = st.fixed_dictionaries(  # settings that change which code runs
    {
        "n_slices": st.sampled_from(["auto", 1, 5]),
        "max_slices": st.just(48),
        "leave_one_out": st.booleans(),
        "orthogonal": st.booleans(),
        "dtype": st.sampled_from(["float32", "float64"]),
    }
)


@pytest.mark.parametrize("density", DENSITIES)
@POOLED
@examples(16)
@given(st.one_of(samples(), any_finite_samples()), OPTIONS)
def test_any_samples_have_finite_scores(pooled, density, data, options):
    X, y = data
    largest = np.abs(X.astype(float)).max()
    if largest == 0 or 1e-100 < largest < 1e100:
        assert_sane(fitted(X, y, density=density, pooled=pooled, **options), X, y)
        return
    with pytest.raises(ValueError, match="between 1e-100 and 1e100"):
        fitted(X, y, density=density, outliers=None, pooled=pooled, **options)


@POOLED
@examples(2)
@given(samples(most=12), OPTIONS)
def test_a_threshold_by_permutation_is_finite(pooled, data, options):
    X, y = data
    scorer = fitted(X, y, contamination="permutation", pooled=pooled, **options)
    assert np.isfinite(scorer.offset_)
    assert 0 <= scorer.false_flag_rate_ <= 1


@POOLED
@examples(4)
@given(samples(), OPTIONS, st.sampled_from(DENSITIES))
def test_copies_score_alike(pooled, data, options, density):
    """New ones, and training ones."""
    X, y = (np.concatenate([part, part]) for part in data)
    scorer = fitted(X, y, density=density, pooled=pooled, **options)
    new = scorer.score_samples(X, y)
    assert_allclose(new[: len(y) // 2], new[len(y) // 2 :], rtol=1e-4, atol=1e-4)
    assert_allclose(*np.split(scorer.scores_, 2), rtol=1e-4, atol=1e-4)


@POOLED
@examples(2)
@given(st.data(), OPTIONS)
def test_type_of_labels_does_not_matter(pooled, drawn, options):
    y = drawn.draw(labels(16, 2))
    X = np.random.default_rng(len(y)).normal(size=(16, 3))
    expected = fitted(X, y, pooled=pooled, **options)
    strings = np.array(["no", "yes"])[y]
    for alike in (
        y.astype(bool),
        y.astype(np.int8) - 5,
        y.astype(np.float64),
        y.tolist(),
        strings,
        strings.astype(object),
        strings.tolist(),
    ):
        scorer = fitted(X, alike, pooled=pooled, **options)
        assert_array_equal(scorer.scores_, expected.scores_)
        again = scorer.score_samples(X, alike)
        assert_array_equal(again, expected.score_samples(X, y))
