"""What a stream takes over from fit, and what it does with far samples."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import fitted
from test_streaming import problem, scorer


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


def test_far_samples_are_told_in_a_stream_too(seed):
    X, y = problem(seed)
    X[:3], y[:3] = 300.0, 0
    whole = fitted(X, y, n_slices=50)
    one = scorer().fit_batches([(X[:70], y[:70]), (X[70:], y[70:])])
    assert_array_equal(one.far_, whole.far_)
    assert one.far_[:3].all()
    assert_allclose(one.scores_, whole.scores_, atol=1e-5)


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
