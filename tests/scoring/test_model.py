"""Scores after some of the slices against refits with as many."""

import types

import numpy as np
import pytest
from oracles import fitted, halves, wide_and_narrow
from sklearn.exceptions import NotFittedError

from smilearn import SlicedMIScorer
from smilearn.exceptions import InvalidInputError
from smilearn.scoring import _slices
from smilearn.utils import _threads

AT = [1, 3, 8, 30, 64]


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("orthogonal", [True, False])
def test_equals_refits_with_as_many_slices(seed, orthogonal, labelled):
    (X, y), (others, labels) = halves(seed)
    options = {"orthogonal": orthogonal, "dtype": "float64", "pooled": False}
    scorer = fitted(X, y, **options)
    labels = labels if labelled else None
    stages = list(scorer.staged_score_samples(others, labels, at=AT))
    assert len(stages) == len(AT)
    for count, scores in zip(AT, stages, strict=True):
        alone = fitted(X, y, n_slices=count, **options)
        expected = alone.score_samples(others, labels)
        np.testing.assert_allclose(scores, expected, atol=1e-10)


@pytest.mark.parametrize(
    ("density", "block_size"), [("student", 7), ("gaussian", "auto")]
)
@pytest.mark.parametrize(("dtype", "atol"), [("float32", 1e-5), ("float64", 1e-11)])
@pytest.mark.parametrize("pooled", [True, False])
def test_the_last_stage_is_score_samples(
    seed, density, dtype, atol, block_size, pooled
):
    X, y = wide_and_narrow(seed, n_classes=4, size=40, n_features=9)
    others, labels = X[::3].copy(), y[::3]
    others[:3] *= 40  # read outside the grids, and far below 0 nats
    options = {"dtype": dtype, "block_size": block_size, "pooled": pooled}
    scorer = fitted(X, y, density=density, **options)
    assert scorer.pool_["weights"]["slices"] > 0
    for known in (labels, None):
        expected = scorer.score_samples(others, known)
        for at in (AT, [64]):
            *_, last = scorer.staged_score_samples(others, known, at)
            np.testing.assert_allclose(last, expected, atol=atol, rtol=2 * atol)


def test_nothing_is_done_before_it_is_asked_for(seed, monkeypatch):
    """And threads are the caller's own between two stages."""
    (X, y), (others, labels) = halves(seed)
    scorer, done = fitted(X, y, n_slices=40, block_size=10), []
    project = _slices.project

    def watched(*arguments):
        done.append(hasattr(_threads._local, "n_threads"))
        return project(*arguments)

    monkeypatch.setattr(_slices, "project", watched)
    stages = scorer.staged_score_samples(others, labels, at=[5, 20, 40])
    assert isinstance(stages, types.GeneratorType)
    assert done == []
    first = next(stages)
    assert done == [True]
    assert not hasattr(_threads._local, "n_threads")
    kept = first.copy()
    assert len(list(stages)) == 2
    assert done == [True] * 4
    np.testing.assert_array_equal(first, kept)  # no array is written to again


@pytest.mark.parametrize(
    "at",
    [[], [0, 2], [-1], [65], [4, 2], [3, 3], [1.5, 2], [[1, 2]], 3, [True], "all"],
    ids=str,
)
@pytest.mark.parametrize("unsigned", [False, True])
def test_counts_that_make_no_sense_are_named_at_once(seed, at, unsigned):
    (X, y), (others, labels) = halves(seed)
    if unsigned and np.asarray(at).dtype.kind == "i":
        at = np.asarray(at).astype(np.uint16)
    with pytest.raises(InvalidInputError, match=r"at must be .* from 1 to the 64 that"):
        fitted(X, y).staged_score_samples(others, labels, at=at)


def test_other_errors_come_at_once_too(seed):
    (X, y), (others, labels) = halves(seed)
    with pytest.raises(NotFittedError):
        SlicedMIScorer().staged_score_samples(others, labels)
    scorer = fitted(X, y)
    with pytest.raises(InvalidInputError, match="labels that were not seen in fit"):
        scorer.staged_score_samples(others, labels + 9)
    with pytest.raises(ValueError, match="8 features"):
        scorer.staged_score_samples(others[:, :5], labels)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        scorer.staged_score_samples(others, labels[:-1])
