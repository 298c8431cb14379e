"""Which samples are compared under which labels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from smilearn.metrics import label_contrast
from smilearn.scoring import _families
from smilearn.scoring._families import Comparison


def dealt(seed, n_samples, n_classes, n_folds=10):
    rng = np.random.default_rng(seed)
    codes = np.sort(np.arange(n_samples) % n_classes)
    fold = rng.permutation(n_samples) % n_folds
    return codes, [np.flatnonzero(fold == f) for f in range(n_folds)]


@pytest.mark.parametrize("n_classes", [2, 6, 17])
def test_few_labels_are_compared_with_all_others(seed, n_classes):
    codes, folds = dealt(seed, 300, n_classes)
    compared = Comparison(codes, folds, n_classes)
    table = np.random.default_rng(seed).normal(size=(300, n_classes))
    tables = {
        fold: np.take_along_axis(table[rows], compared.labels[fold], 1)
        for fold, rows in compared.rows.items()
    }
    assert compared.contrast(tables) == pytest.approx(label_contrast(table, codes))


def test_of_many_labels_each_sample_meets_some_wrong_ones(seed):
    codes, folds = dealt(seed, 4000, 50)
    compared = Comparison(codes, folds, 50)
    rows, labels = compared.of(tuple(compared.rows))
    assert labels.shape == (1500, 17)
    assert (labels[:, 0] == codes[rows]).all()
    assert (labels[:, 1:] != codes[rows][:, None]).all()
    assert all(len(set(row)) == 17 for row in labels.tolist())
    often = np.bincount(labels[:, 1:].ravel(), minlength=50)
    assert often.min() > 0.8 * often.mean() and often.max() < 1.2 * often.mean()


def test_contrast_of_some_labels_is_near_that_of_all(seed):
    codes, folds = dealt(seed, 3000, 60)
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(3000, 60)) + rng.normal(size=(3000, 1))
    table[np.arange(3000), codes] += 1.5
    compared = Comparison(codes, folds, 60)
    tables = {
        fold: np.take_along_axis(table[rows], compared.labels[fold], 1)
        for fold, rows in compared.rows.items()
    }
    assert compared.contrast(tables) == pytest.approx(
        label_contrast(table, codes), abs=0.025
    )


def test_rows_are_as_many_as_wanted_and_of_all_classes(seed):
    codes, folds = dealt(seed, 20_000, 5)
    compared = Comparison(codes, folds, 5)
    assert list(compared.rows) == [0]
    rows = compared.rows[0]
    assert len(rows) == len(set(rows.tolist())) == _families.ROWS
    assert np.isin(rows, folds[0]).all() and (np.diff(rows) > 0).all()
    assert np.ptp(np.bincount(codes[rows]) / np.bincount(codes[folds[0]])) < 0.02


def test_tables_are_cut_as_the_samples_were_joined(seed):
    codes, folds = dealt(seed, 60, 3)
    compared = Comparison(codes, folds, 3)
    rows, _ = compared.of((1, 4))
    parts = compared.parted(rows[:, None], (1, 4))
    assert_allclose(parts[1][:, 0], compared.rows[1])
    assert_allclose(parts[4][:, 0], compared.rows[4])
