"""Scatters of folds and their total, and moments made from them."""

import gc

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from oracles import embeddings

from smilearn.scoring import _fold_scatter
from smilearn.scoring._fold_scatter import (
    FoldScatters,
    fourth_powers,
    merged,
    pooled_moments,
)
from smilearn.scoring._maps import discriminant_axes
from smilearn.scoring._moments import plain_moments
from smilearn.scoring._scatter import WithinScatter


def sorted_crowd(seed):
    X, y = embeddings(seed, (40, 31, 9, 2), 7)
    return X - X.mean(0), y


def scatters_of(X, y, folds):
    def measure(rows):
        return WithinScatter.of(torch.as_tensor(X[rows]), y[rows], 4)

    def fourth(mean):
        return fourth_powers(torch.as_tensor(X), y, mean)

    return FoldScatters(measure, folds, fourth), measure


def dealt(seed, n_samples, n_folds=4):
    fold = np.random.default_rng(seed).permutation(n_samples) % n_folds
    return [np.flatnonzero(fold == f) for f in range(n_folds)]


def assert_same(one, other):
    assert one.count.tolist() == other.count.tolist()
    assert_allclose(one.mean, other.mean, atol=1e-10)
    assert_allclose(one.scatter, other.scatter, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kept", [0, 1500, 2**24])  # none, two of them, all
def test_total_and_rest_are_those_measured_directly(seed, kept, monkeypatch):
    monkeypatch.setattr(_fold_scatter, "_KEPT_BYTES", kept)
    X, y = sorted_crowd(seed)
    folds = dealt(seed, len(y))
    scatters, measure = scatters_of(X, y, folds)
    whole = measure(slice(None))
    assert_same(scatters.whole, whole)
    assert scatters.whole.fourth == pytest.approx(whole.fourth)
    for out in [(0,), (3,), (1, 2)]:
        seen = np.setdiff1d(np.arange(len(y)), np.concatenate([folds[f] for f in out]))
        assert_same(scatters.without(*out), measure(seen))


@pytest.mark.parametrize("n_folds", [3, 30])
def test_what_is_kept_does_not_grow_with_the_folds(seed, n_folds, monkeypatch):
    """Counted over all that is still alive, whoever holds it."""
    monkeypatch.setattr(_fold_scatter, "_KEPT_BYTES", 4000)
    X, y = sorted_crowd(seed)
    gc.collect()
    before = living_bytes()
    scatters, _ = scatters_of(X, y, dealt(seed, len(y), n_folds))
    for fold in range(n_folds):
        scatters.without(fold)
        scatters.without(fold, (fold + 1) % n_folds)
    gc.collect()
    kept = living_bytes() - before - scatters.whole.scatter.nbytes
    assert 2000 < kept <= 4000


def living_bytes():
    held = [one for one in gc.get_objects() if type(one) is WithinScatter]
    return sum({id(one.scatter): one.scatter.nbytes for one in held}.values())


def test_fourth_powers_add_up_where_a_fold_has_one_sample_of_a_class(seed):
    """Around the mean of the fold they would be nothing, and nothing be shrunk."""
    X, y = sorted_crowd(seed)
    folds = [np.array([i]) for i in range(len(y))]
    scatters, measure = scatters_of(X, y, folds)
    assert scatters.whole.fourth == pytest.approx(measure(slice(None)).fourth)
    assert scatters.whole.shrinkage() == pytest.approx(measure(slice(None)).shrinkage())
    powers = fourth_powers(torch.as_tensor(X), y, scatters.whole.mean)
    rest = scatters.without(0, 5)
    assert rest.fourth == pytest.approx(powers.sum() - powers[0] - powers[5])


def test_merged_of_one_part_is_that_part(seed):
    X, y = sorted_crowd(seed)
    _, measure = scatters_of(X, y, dealt(seed, len(y)))
    assert_same(merged([measure(slice(None))]), measure(slice(None)))


def test_pooled_moments_are_those_of_the_projections(seed):
    X, y = sorted_crowd(seed)
    scatter = WithinScatter.of(torch.as_tensor(X), y, 5)  # the last class is empty
    axes = discriminant_axes(scatter)
    directions = np.random.default_rng(seed).normal(size=(6, len(axes)))
    share = np.full(5, 0.2)
    moments = pooled_moments(scatter, axes, directions, share)
    Z = torch.as_tensor(directions @ axes @ X.T)
    plain = plain_moments(Z, torch.as_tensor(y), 5)
    assert_allclose(moments.mean, plain.mean, atol=1e-9)
    assert_allclose(moments.pooled, plain.pooled)
    expected = plain.variance @ plain.count / len(y)
    assert_allclose(moments.variance, np.repeat(expected[:, None], 5, axis=1))
    assert (moments.low < plain.low).all() and (moments.high > plain.high).all()
    assert moments.share is share
