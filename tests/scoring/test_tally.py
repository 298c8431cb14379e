"""Reliability against simulated agreement, and the running sums behind it."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from smilearn.scoring._tally import SliceTally, split_half_reliability

BALANCE = 0.75  # what the tally assumes of slices within an orthonormal block


def rank_correlation(first, second):
    return spearmanr(first, second).statistic


@pytest.mark.parametrize("shared", [0.0, -0.5, 0.5])
def test_edges(seed, shared):
    noise = {"half": 1.0, "shared": shared, "whole": (1 + shared) / 2}
    values, same = np.random.default_rng(seed).normal(size=9), np.full(9, 0.1)
    assert split_half_reliability(values, values.copy(), **noise) == 1
    assert split_half_reliability(values, 5 * values - 2, **noise) == 1
    assert split_half_reliability(same, 3 * same, **noise) == 1
    assert split_half_reliability(same, values, **noise) == 0
    assert split_half_reliability(values, same, **noise) == 0
    assert split_half_reliability(values, -values, **noise) == 0


def count_in(tally, pmi, start=0):
    """Add the rows of pmi (S, n) as the slices that follow `start`."""
    places = np.arange(start, start + len(pmi))
    groups = tally.groups(places)
    sums = np.stack([pmi[groups == group].sum(0) for group in range(4)])
    tally.add(slice(None), sums, (pmi**2).sum(0))
    tally.count(start, start + len(pmi))


def tally_of(pmi, block_length):
    tally = SliceTally(pmi.shape[1], block_length)
    count_in(tally, pmi)
    return tally


def block_noise(rng, n_slices, block_length, n_samples):
    """Noise of variance 1 whose slices correlate within blocks as the tally assumes."""
    n_blocks = -(-n_slices // block_length)
    draws = rng.normal(size=(n_blocks, block_length, n_samples))
    if block_length > 1:
        correlation = -BALANCE / (block_length - 1)
        pull = 1 - np.sqrt(1 + block_length * correlation / (1 - correlation))
        draws -= pull * draws.mean(1, keepdims=True)
        draws *= np.sqrt(1 - correlation)
    return draws.reshape(-1, n_samples)[:n_slices]


@pytest.mark.parametrize(
    ("n_slices", "block_length"), [(1, 4), (2, 1), (30, 4), (33, 8)]
)
def test_mean_and_standard_error_are_those_of_numpy(seed, n_slices, block_length):
    pmi = np.random.default_rng(seed).normal(-0.5, 2, size=(n_slices, 40))
    tally = tally_of(pmi, block_length)
    assert tally.n_slices == n_slices
    np.testing.assert_allclose(tally.mean, pmi.mean(0))
    spread = pmi.std(0, ddof=1) if n_slices > 1 else np.zeros(40)
    np.testing.assert_allclose(
        tally.standard_error, spread / np.sqrt(n_slices), atol=1e-12
    )


@pytest.mark.parametrize("cut", [1, 5, 8, 20])
def test_two_portions_equal_one(seed, cut):
    rng = np.random.default_rng(seed)
    pmi = rng.normal(size=60) + rng.normal(size=(40, 60))
    once, twice = tally_of(pmi, 8), SliceTally(60, 8)
    count_in(twice, pmi[:cut])
    count_in(twice, pmi[cut:], start=cut)
    assert twice.n_slices == once.n_slices
    np.testing.assert_allclose(twice.mean, once.mean)
    np.testing.assert_allclose(twice.standard_error, once.standard_error)
    assert twice.reliability == pytest.approx(once.reliability)


@pytest.mark.parametrize("block_length", [1, 2, 16])
@pytest.mark.parametrize("n_slices", [8, 15, 16, 24, 31, 32, 40, 64])
def test_tally_foretells_the_agreement_of_two_draws(seed, n_slices, block_length):
    """Of slices that are as balanced within a block as is assumed."""
    rng = np.random.default_rng(seed)
    true, n_samples = rng.normal(size=10_000), 10_000
    for loudness in (1.0, 6.0):
        runs = [
            true + loudness * block_noise(rng, n_slices, block_length, n_samples)
            for _ in range(2)
        ]
        claimed = [tally_of(run, block_length).reliability for run in runs]
        observed = rank_correlation(*(run.mean(0) for run in runs))
        assert np.mean(claimed) == pytest.approx(observed, abs=0.05)


@pytest.mark.parametrize("block_length", [1, 2, 16])
def test_one_slice_is_not_reliable(block_length):
    assert SliceTally(9, block_length).reliability == 0
    assert tally_of(np.arange(9.0)[None], block_length).reliability == 0
