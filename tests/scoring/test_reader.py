"""Sums over slices against sums over the whole array."""

import numpy as np
import pytest
import torch

from smilearn.scoring._reader import SliceSums
from smilearn.scoring._reliability import SliceTally


def test_sums_of_a_block_go_to_the_right_group(seed):
    """Rows in any order and portions, against the tally's own rule."""
    rng = np.random.default_rng(seed)
    pmi, places = rng.normal(size=(11, 5)), np.arange(20, 31)
    tally, expected = SliceTally(5, 4), SliceTally(5, 4)
    like = torch.zeros((11, 5), dtype=torch.float64)
    sums = SliceSums(tally.groups(places), 4, like)
    for rows in (torch.tensor([7, 2, 9]), torch.tensor([0, 1, 3, 4, 5, 6, 8, 10])):
        sums.add(rows, torch.as_tensor(pmi)[rows])
    tally.add(places, *sums.values())
    groups = expected.groups(places)
    by_group = np.stack([pmi[groups == group].sum(0) for group in range(4)])
    expected.add(places, by_group, (pmi**2).sum(0))
    for name in ("mean", "standard_error", "reliability", "n_slices"):
        np.testing.assert_allclose(getattr(tally, name), getattr(expected, name))
    np.testing.assert_allclose(tally._sums, by_group)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_replace_counts_one_value_instead_of_another(seed, dtype):
    """The same sample twice, on slices of different groups."""
    rng = np.random.default_rng(seed)
    pmi, groups = rng.normal(size=(4, 3)), np.array([0, 1, 1, 0])
    sums = SliceSums(groups, 2, torch.zeros((4, 3), dtype=dtype))
    sums.add(torch.arange(4), torch.tensor(pmi, dtype=dtype))
    rows, samples = np.array([0, 2, 2]), torch.tensor([1, 1, 2])
    better = rng.normal(size=3)
    before, after = (
        torch.as_tensor(values, dtype=dtype) for values in (pmi[rows, samples], better)
    )
    sums.replace(rows, samples, before, after)
    pmi[rows, samples.numpy()] = better
    total, squares = sums.values()
    tolerance = 50 * torch.finfo(dtype).eps
    by_group = np.stack([pmi[groups == group].sum(0) for group in range(2)])
    np.testing.assert_allclose(total, by_group, atol=tolerance)
    np.testing.assert_allclose(squares, (pmi**2).sum(0), atol=4 * tolerance)
    assert total.dtype == squares.dtype == np.float64
