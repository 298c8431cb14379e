"""Draws of some samples of each class, in proportion."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smilearn.utils._random import stratified_rows


def draw(counts, n_rows, seed=0, **options):
    """Rows drawn from shuffled classes of given sizes, and how many of each class."""
    codes = np.repeat(np.arange(len(counts)), counts)
    codes = np.random.default_rng(1).permutation(codes)
    rng = np.random.default_rng(seed)
    rows = stratified_rows(codes, n_rows, rng, **options)
    assert len(set(rows)) == len(rows)
    assert (np.sort(rows) == rows).all()
    return rows, np.bincount(codes[rows], minlength=len(counts)).tolist()


@pytest.mark.parametrize(
    ("counts", "n_rows", "expected"),
    [
        ([60, 30, 10], 10, [6, 3, 1]),
        ([60, 30, 10], 20, [12, 6, 2]),
        ([50, 50], 5, [3, 2]),
        ([97, 1, 2], 10, [10, 1, 1]),  # no class goes without
        ([3, 3], 6, [3, 3]),
    ],
)
def test_each_class_has_its_share(counts, n_rows, expected):
    assert draw(counts, n_rows)[1] == expected


@given(st.lists(st.integers(1, 50), min_size=2, max_size=8), st.floats(0.01, 1))
def test_size_is_as_asked_but_for_small_classes(counts, share):
    n_rows = max(1, round(share * sum(counts)))
    n_drawn = sum(draw(counts, n_rows)[1])
    assert n_rows <= n_drawn <= n_rows + len(counts)
