"""Ranks of scores against sorted lists and SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from smilearn.utils._ranks import mean_ranks, rank_correlation, ranks_of


@settings(deadline=None)
@given(st.lists(st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 2.5]), max_size=12))
def test_ranks_are_those_of_a_stable_sort(scores):
    order = sorted(range(len(scores)), key=lambda row: scores[row])
    ranks = ranks_of(np.array(scores, float))
    assert [ranks[row] for row in order] == list(range(1, len(scores) + 1))


def test_rank_correlation_is_spearmans(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 9, (2, 60)).astype(float)
    weight = rng.integers(1, 4, 60)
    copies = rankdata(first.repeat(weight))
    assert mean_ranks(first, weight).repeat(weight) == pytest.approx(copies)
    expected = spearmanr(first, second).statistic
    assert rank_correlation(first, second) == pytest.approx(expected)
    copies = spearmanr(first.repeat(weight), second.repeat(weight)).statistic
    assert rank_correlation(first, second, weight) == pytest.approx(copies)
    assert rank_correlation(first, np.zeros(60)) == 0
    assert rank_correlation(np.ones(60), np.zeros(60)) == 1
