import numpy as np
import pytest
import torch

from smilearn.scoring._folds import folds_of, row_keys


def keys(X):
    return row_keys(torch.as_tensor(X), np.random.default_rng(0))


def test_equal_rows_have_equal_keys(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(3000, 130)).astype(np.float32)
    X[2001], X[2999] = X[17], X[17]
    found = keys(X)
    assert found[17] == found[2001] == found[2999]
    assert len(np.unique(found)) == 2998


@pytest.mark.parametrize("values", [(-1.0, 1.0), (0.0, 1.0, 2.0), (0.0, 1e-300)])
def test_rows_of_few_values_are_told_apart(seed, values):
    X = np.random.default_rng(seed).choice(values, size=(5000, 40))
    assert len(np.unique(keys(X))) == len(np.unique(X, axis=0))


def test_order_along_the_line_stays(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(500, 9))
    order = keys(X).argsort()
    for other in (X * 7, X + 100, X * 2.0**900, X.astype(np.float32) * np.float32(8)):
        moved = keys(other)
        assert np.isfinite(moved).all()
        assert (np.diff(moved[order]) > -1e-6 * np.ptp(moved)).all()


@pytest.mark.parametrize("n_folds", [2, 5, 10])
def test_twins_stay_together(seed, n_folds):
    rng = np.random.default_rng(seed)
    codes = np.repeat(rng.integers(0, 3, 40), 3)
    place = np.repeat(rng.normal(size=40), 3)
    fold = folds_of(codes, place, n_folds)
    assert (fold.reshape(40, 3) == fold[::3, None]).all()
    assert set(fold) == set(range(n_folds))


def test_twins_of_two_labels_are_dealt_apart():
    codes, place = np.array([0, 1, 0, 1]), np.array([0.5, 0.5, 1.0, 1.0])
    assert len(set(folds_of(codes, place, 4))) == 4


def test_fewer_distinct_samples_than_folds():
    fold = folds_of(np.array([0, 0, 1]), np.array([1.0, 1.0, 2.0]), 10)
    assert fold.tolist() == [0, 0, 1]


def test_names_and_order_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    codes, place = rng.integers(0, 6, 200), rng.normal(size=200)
    fold = folds_of(codes, place, 7)
    order, names = rng.permutation(200), rng.permutation(6)
    assert (folds_of(names[codes[order]], place[order], 7) == fold[order]).all()


def test_keys_leave_the_samples_alone(seed):
    X = np.random.default_rng(seed).normal(size=(50, 4))
    kept = X.copy()
    keys(X)
    np.testing.assert_array_equal(X, kept)


def test_keys_do_not_depend_on_how_rows_lie_in_memory(seed):
    X = np.repeat(np.random.default_rng(seed).normal(size=(500, 64)), 2, axis=0)
    for laid in (X, np.asfortranarray(X), torch.tensor(X.T.copy()).T):
        found = keys(laid)
        np.testing.assert_array_equal(found[::2], found[1::2])
        np.testing.assert_array_equal(found, keys(X))
