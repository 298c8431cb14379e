"""Ranks of scores, and whether ranks that were read are right, against sorted lists."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smilearn.utils._ranks import are_ranks, order_of, ranks_of

scores = st.lists(st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 2.5]), max_size=12)


@settings(deadline=None)
@given(scores)
def test_ranks_are_those_of_a_stable_sort(psmi):
    psmi = np.array(psmi, float)
    order = sorted(range(len(psmi)), key=lambda row: psmi[row])
    ranks = ranks_of(psmi)
    assert [ranks[row] for row in order] == list(range(1, len(psmi) + 1))
    assert order_of(ranks).tolist() == order
    assert are_ranks(ranks, psmi) == (len(psmi) > 0)


@settings(deadline=None)
@given(st.lists(st.integers(-2, 9), min_size=1, max_size=8))
def test_only_right_ranks_pass(ranks):
    psmi = np.array([0.5, 0.5, -1.0, 2.0, 0.5, 9.0, 8.0, 7.0])[: len(ranks)]
    right = ranks_of(psmi)
    assert are_ranks(np.array(ranks), psmi) == (right.tolist() == ranks)
    assert are_ranks(right, psmi)
    swapped = right[::-1].copy()
    assert are_ranks(swapped, psmi) == (swapped.tolist() == right.tolist())


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), max_size=8))
def test_order_of_any_ranks_is_stable(ranks):
    expected = sorted(range(len(ranks)), key=lambda row: ranks[row])
    assert order_of(np.array(ranks, np.int64)).tolist() == expected


@pytest.mark.parametrize("psmi", [[np.nan], [0.0, np.nan]])
def test_nan_has_no_rank(psmi):
    assert not are_ranks(np.arange(1, len(psmi) + 1), np.array(psmi))
