import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import embeddings

from smilearn import SlicedMIScorer
from smilearn.exceptions import InvalidInputError
from smilearn.metrics import label_contrast
from smilearn.utils._weights import weighted_quantile


def scorer(**parameters):
    defaults = {"n_slices": 40, "random_state": 0, "dtype": "float64"}
    return SlicedMIScorer(**defaults | parameters)


def weighted_problem(seed):
    X, y = embeddings(seed, (40, 30, 12), 7, apart=0.8)
    weight = np.random.default_rng(seed).integers(1, 4, len(y))
    return X, y, weight


def test_wrong_weights_are_refused(seed):
    X, y, _ = weighted_problem(seed)
    for weight in (-np.ones(len(y)), np.full(len(y), np.nan), np.ones(3)):
        with pytest.raises(ValueError):
            scorer().fit(X, y, sample_weight=weight)
    with pytest.raises(InvalidInputError, match="multiplied by the number"):
        scorer().fit(X, y, sample_weight=np.full(len(y), 1 / len(y)))
    with pytest.raises(InvalidInputError, match="sum to"):
        scorer().fit(X, y, sample_weight=np.full(len(y), 1e200))
    weight = np.where(y == 2, 0.0, 1.0)
    for fit in (scorer().fit, lambda *batch: scorer().fit_batches([batch])):
        with pytest.raises(InvalidInputError, match="class 2 have weight 0"):
            fit(X, y, weight)


def test_weights_that_are_whole_but_for_rounding_are_whole(seed):
    X, y, weight = weighted_problem(seed)
    one = scorer().fit(X, y, sample_weight=weight)
    two = scorer().fit(X, y, sample_weight=weight * 0.1 * 10)
    assert_array_equal(one.scores_, two.scores_)


def test_contrast_with_weights(seed):
    rng = np.random.default_rng(seed)
    table, codes = rng.normal(size=(20, 3)), rng.integers(0, 3, 20)
    weight = rng.integers(1, 5, 20)
    copies = np.repeat(np.arange(20), weight)
    expected = label_contrast(table[copies], codes[copies])
    assert label_contrast(table, codes, weight) == pytest.approx(expected)


def test_quantiles_of_copies(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 9, 30).astype(float)
    weight = rng.integers(1, 4, 30)
    shares = np.linspace(0, 1, 11)
    expected = np.quantile(np.repeat(values, weight), shares)
    assert_allclose(weighted_quantile(values, shares, weight), expected, atol=1e-12)
