import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles import embeddings, fitted

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
