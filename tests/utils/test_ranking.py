"""Ranks of scores and the order they give, against sorted lists."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from smilearn.utils._ranks import order_of, ranks_of

scores = st.lists(st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 2.5]), max_size=12)


@settings(deadline=None)
@given(scores)
def test_ranks_are_those_of_a_stable_sort(psmi):
    psmi = np.array(psmi, float)
    order = sorted(range(len(psmi)), key=lambda row: psmi[row])
    ranks = ranks_of(psmi)
    assert [ranks[row] for row in order] == list(range(1, len(psmi) + 1))
    assert order_of(ranks).tolist() == order


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), max_size=8))
def test_order_of_any_ranks_is_stable(ranks):
    expected = sorted(range(len(ranks)), key=lambda row: ranks[row])
    assert order_of(np.array(ranks, np.int64)).tolist() == expected
