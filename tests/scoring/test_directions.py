"""Slices: unit, orthonormal in blocks, Haar, and the same however asked for."""

import numpy as np
import pytest
from scipy.stats import beta, kstest

from smilearn.scoring._directions import SliceDirections

FAR = 5  # standard errors: one false alarm in 1.7 million comparisons


def drawn(seed, n_features, n_slices, *, orthogonal=True):
    rng = np.random.default_rng(seed)
    return SliceDirections(n_features, rng, orthogonal=orthogonal).first(n_slices)


def many_blocks(seed, n_features, n_blocks):
    """Whole orthonormal blocks, (n_blocks, d, d)."""
    rows = drawn(seed, n_features, n_blocks * n_features)
    return rows.reshape(n_blocks, n_features, n_features)


@pytest.mark.parametrize(
    ("n_features", "n_slices"),
    [(1, 3), (2, 2), (2, 5), (7, 3), (7, 7), (7, 8), (7, 27), (64, 100)],
)
def test_blocks_are_orthonormal_even_unfinished_ones(seed, n_features, n_slices):
    rows = drawn(seed, n_features, n_slices)
    for start in range(0, n_slices, n_features):
        block = rows[start : start + n_features]
        np.testing.assert_allclose(block @ block.T, np.eye(len(block)), atol=1e-13)


@pytest.mark.parametrize("n_features", [2, 4])
@pytest.mark.parametrize("place", [0, -1], ids=["first", "last"])
def test_every_direction_of_a_block_is_uniform_on_the_sphere(seed, n_features, place):
    """Mean 0 and variance 1/d of each coordinate, and the law of its square."""
    rows = many_blocks(seed, n_features, 5000)[:, place]
    error = FAR / np.sqrt(n_features * len(rows))
    np.testing.assert_allclose(rows.mean(0), 0, atol=error)
    np.testing.assert_allclose(
        rows.T @ rows / len(rows), np.eye(n_features) / n_features, atol=error
    )
    law = beta(0.5, (n_features - 1) / 2)
    for coordinate in rows.T:
        assert kstest(coordinate**2, law.cdf).pvalue > 1e-4


def test_rotating_a_block_changes_no_moment(seed):
    """Haar: E[q_ia q_ib q_ja q_jb] = -1 / (d (d - 1) (d + 2)) for i != j, a != b."""
    d, n_blocks = 4, 20_000
    blocks = many_blocks(seed, d, n_blocks)
    for i, j in [(0, 1), (0, 3), (2, 3)]:
        products = blocks[:, i, 0] * blocks[:, i, 1] * blocks[:, j, 0] * blocks[:, j, 1]
        error = FAR * products.std() / np.sqrt(n_blocks)
        expected = -1 / (d * (d - 1) * (d + 2))
        assert products.mean() == pytest.approx(expected, abs=error)
        assert error < abs(expected) / 2


@pytest.mark.parametrize("orthogonal", [True, False])
@pytest.mark.parametrize("n_features", [1, 2, 16, 150])
@pytest.mark.parametrize(
    "asked", [(10, 100), (1, 2, 3, 100), (16, 32, 33, 100), (99, 100)]
)
def test_prefix_does_not_depend_on_how_it_is_asked_for(
    seed, n_features, asked, orthogonal
):
    expected = drawn(seed, n_features, 100, orthogonal=orthogonal)
    rng = np.random.default_rng(seed)
    directions = SliceDirections(n_features, rng, orthogonal=orthogonal)
    for n_slices in (*asked, 5):
        rows = directions.first(n_slices)
        np.testing.assert_allclose(rows, expected[:n_slices], atol=1e-12)
