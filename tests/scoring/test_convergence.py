"""A curve from one fit against refits, other seeds and plain statements."""

import numpy as np
import pytest
from oracles import fitted, halves
from scipy.stats import spearmanr
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from smilearn import SliceConvergence, SlicedMIScorer
from smilearn.exceptions import InvalidInputError, LowSupportWarning
from smilearn.metrics import label_contrast


def pmi_of(scorer, X, y):
    """Pmi of each sample on each slice, (n_slices, n_samples), one after the other."""
    means = np.array(list(scorer.staged_score_samples(X, y)))
    totals = means * np.arange(1, len(means) + 1)[:, None]
    return np.diff(totals, axis=0, prepend=0)


def contrast_of(scorer, X, y):
    """Label contrast of the PSMI under each label."""
    columns = [scorer.score_samples(X, np.full(len(X), c)) for c in scorer.classes_]
    return label_contrast(np.stack(columns, 1), y)


@pytest.mark.parametrize("orthogonal", [True, False])
def test_contrast_is_that_of_refits(seed, orthogonal):
    """Of the PSMI, for a pooled scorer too."""
    train, test = halves(seed, apart=0.5)
    options = {"orthogonal": orthogonal}
    scorer = fitted(*train, n_slices=48, **options)
    curve = SliceConvergence.from_estimator(scorer, *test)
    assert curve.n_slices[-1] == 48
    for count, contrast in zip(curve.n_slices, curve.contrast, strict=True):
        alone = fitted(*train, n_slices=int(count), pooled=False, **options)
        # a pair that ties but for rounding may count half a pair more or less
        expected = contrast_of(alone, *test)
        assert contrast == pytest.approx(expected, abs=2 / len(test[1]))
    assert curve.contrast[-1] > 0.6


def test_reliability_and_agreement_are_plain_rank_correlations(seed):
    train, test = halves(seed, apart=0.5)
    scorer = fitted(*train, n_slices=64, dtype="float64", pooled=False)
    counts = [16, 32]  # of blocks of 8: halves of whole blocks
    curve = SliceConvergence.from_estimator(scorer, *test, counts=counts)
    pmi = pmi_of(scorer, *test)
    for row, count in enumerate(counts):
        odd = np.arange(count) // 8 % 2 == 1
        r = spearmanr(pmi[:count][odd].sum(0), pmi[:count][~odd].sum(0)).statistic
        assert 0 < curve.reliability[row] == pytest.approx(2 * r / (1 + r))
        both = pmi[:count].sum(0), pmi[count : 2 * count].sum(0)
        assert curve.agreement[row] == pytest.approx(spearmanr(*both).statistic)


def test_a_second_set_begins_with_a_block(seed):
    train, test = halves(seed, apart=0.5)
    scorer = fitted(*train, n_slices=30, dtype="float64", pooled=False)
    curve = SliceConvergence.from_estimator(scorer, *test, counts=[3, 8, 11, 14, 15])
    pmi = pmi_of(scorer, *test)
    second = {3: 8, 8: 8, 11: 16, 14: 16}  # there is no 16 + 15
    expected = [
        spearmanr(pmi[:k].sum(0), pmi[begin : begin + k].sum(0)).statistic
        for k, begin in second.items()
    ]
    np.testing.assert_allclose(curve.agreement, expected)


def test_a_single_direction_is_reliable(seed):
    train, test = halves(seed, n_features=1)
    scorer = fitted(*train, pooled=False)
    curve = SliceConvergence.from_estimator(scorer, *test)
    assert curve.n_slices.tolist() == [1]
    assert curve.reliability.tolist() == [1]
    assert curve.agreement.tolist() == []
    assert curve.contrast[0] == pytest.approx(contrast_of(scorer, *test))
    assert curve.smallest_within() == 1


def test_labels_never_seen_are_left_out(seed):
    train, (X, y) = halves(seed)
    scorer = fitted(*train)
    more, labels = np.concatenate([X, X[:5]]), np.append(y, [7] * 5)
    with pytest.warns(LowSupportWarning, match="5 of 170 samples") as caught:
        curve = SliceConvergence.from_estimator(scorer, more, labels)
    assert caught[0].filename == __file__
    expected = SliceConvergence.from_estimator(scorer, X, y)
    np.testing.assert_array_equal(curve.contrast, expected.contrast)
    with pytest.raises(InvalidInputError, match="labels that were not seen"):
        SliceConvergence.from_estimator(scorer, X, y + 9)


def test_what_is_no_fitted_scorer_is_named(seed):
    train, test = halves(seed)
    pipeline = make_pipeline(fitted(*train))
    with pytest.raises(InvalidInputError, match=r"got Pipeline. .* hand over the last"):
        SliceConvergence.from_estimator(pipeline, *test)
    with pytest.raises(NotFittedError):
        SliceConvergence.from_estimator(SlicedMIScorer(), *test)


CURVE = SliceConvergence(
    [2, 4, 8, 16, 32],
    [0.60, 0.71, 0.70, 0.695, 0.70],
    [0.50, 0.90, 0.94, 0.96, 0.98],
    [0.45, -0.25, 0.95],
)


@pytest.mark.parametrize(
    ("tolerance", "reliability", "expected"),
    [
        (0.0, 0.95, 32),
        (0.006, 0.95, 16),
        (0.006, 0.94, 8),
        (0.011, 0.9, 4),
        (0.006, 0.9, 8),  # a contrast above the last is not there yet either
        (1, 0, 2),
    ],
)
def test_the_smallest_count_that_is_enough(tolerance, reliability, expected):
    assert CURVE.smallest_within(tolerance, reliability=reliability) == expected


def test_a_count_that_is_left_again_is_not_enough():
    contrast, reliability = [0.7, 0.6, 0.6, 0.7, 0.7], [0.96, 0.2, 0.9, 0.96, 0.97]
    curve = SliceConvergence([2, 4, 8, 16, 32], contrast, reliability, [])
    assert curve.smallest_within(0.005) == 16
    assert curve.smallest_within(0.005, reliability=0) == 16  # for the contrast alone
    assert curve.smallest_within(1) == 16  # for the reliability alone
    curve = SliceConvergence([2, 4], [0.7, 0.7], [0.96, 0.94], [])
    with pytest.raises(InvalidInputError, match="4 slices are not enough"):
        curve.smallest_within()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tolerance": -0.1}, "tolerance must be a number, 0 or more; got -0.1"),
        ({"tolerance": np.nan}, "tolerance must be .* got nan"),
        ({"tolerance": "auto"}, "tolerance must be .* got 'auto'"),
        ({"reliability": 1.5}, "reliability must be a number, from 0 to 1; got 1.5"),
    ],
)
def test_limits_that_make_no_sense_are_named(wrong, message):
    with pytest.raises(InvalidInputError, match=message):
        CURVE.smallest_within(**wrong)


@pytest.mark.parametrize("lengths", [(0, 0, 0, 0), (2, 1, 2, 1), (2, 2, 1, 1)])
def test_columns_fit_together(lengths):
    with pytest.raises(InvalidInputError, match=r"got lengths \["):
        SliceConvergence(*(np.ones(length) for length in lengths))
    with pytest.raises(InvalidInputError, match=r"got lengths \[1, 1, 1, 2\]"):
        SliceConvergence([1], [1], [1], [1, 1])


def test_frame():
    table, shown = CURVE.frame, repr(CURVE)
    assert all(each in shown for each in (*table.columns, "0.695", "null"))
    assert table.columns == ["n_slices", "contrast", "reliability", "agreement"]
    assert table["n_slices"].to_list() == [2, 4, 8, 16, 32]
    assert table["agreement"].to_list() == [0.45, -0.25, 0.95, None, None]
    np.testing.assert_array_equal(table["contrast"].to_numpy(), CURVE.contrast)
