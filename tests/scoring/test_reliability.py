"""Reliability against simulated agreement, and the running sums behind it."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from smilearn.scoring._reliability import SliceTally, split_half_reliability


def rank_correlation(first, second):
    return spearmanr(first, second).statistic


def replicates(rng, half, shared, n_samples=100_000):
    """True scores of variance 1, and two runs of two noisy halves each."""
    true = rng.normal(size=n_samples)
    covariance = [[half, shared], [shared, half]]
    noise = rng.multivariate_normal([0, 0], covariance, size=(2, n_samples))
    return true[:, None] + noise  # (2 runs, n, 2 halves)


@pytest.mark.parametrize("share", [0.0, -0.3, -0.7, 0.3])
@pytest.mark.parametrize("half", [0.02, 0.3, 1.0, 4.0])
def test_foretells_the_agreement_of_two_runs(seed, half, share):
    """Whatever noise the halves share; 0.05 for ranks in place of values."""
    rng = np.random.default_rng(seed)
    runs = replicates(rng, half, share * half)
    whole = half * (1 + share) / 2
    claimed = [
        split_half_reliability(*run.T, half=half, shared=share * half, whole=whole)
        for run in runs
    ]
    observed = rank_correlation(*runs.mean(2))
    assert claimed == pytest.approx([observed, observed], abs=0.05)


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
    tally.add(places, sums, (pmi**2).sum(0))


def tally_of(pmi, block_length):
    tally = SliceTally(pmi.shape[1], block_length)
    count_in(tally, pmi)
    return tally


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


def test_slices_that_agree_are_reliable():
    for n_slices in (2, 3, 9):
        for block_length in (1, 2, 6):
            pmi = np.tile(np.arange(9.0), (n_slices, 1))
            assert tally_of(pmi, block_length).reliability == 1
