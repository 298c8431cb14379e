"""Which samples go, against the slow way of saying it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smilearn.filtering._removal import riskiest, spared, thresholds_between

SAMPLES = st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 3)), min_size=1)


def by_risk(scores, members):
    """Members from the riskiest on; of equal ones the first come first."""
    return sorted(members, key=lambda i: (scores[i], i))


def arrays(samples):
    """Scores of a few values, and groups numbered without gaps."""
    scores, groups = np.array(samples).T
    return scores / 4, np.unique(groups, return_inverse=True)[1]


@given(SAMPLES, st.integers(0, 5))
def test_the_lowest_of_each_group_are_marked(samples, n_remove):
    scores, codes = arrays(samples)
    n_groups = codes.max() + 1
    expected = np.zeros(len(codes), bool)
    for group in range(n_groups):
        members = np.flatnonzero(codes == group)
        expected[by_risk(scores, members)[: n_remove + group]] = True
    marked = riskiest(scores, codes, n_remove + np.arange(n_groups))
    np.testing.assert_array_equal(marked, expected)


@given(SAMPLES, st.integers(0, 5), st.integers(0, 2**20))
def test_the_safest_are_spared(samples, floor, bits):
    scores, codes = arrays(samples)
    remove = np.array([bits >> (i % 20) & 1 for i in range(len(codes))], bool)
    left, missing = spared(scores, codes, remove, floor)
    for group in range(codes.max() + 1):
        members = np.flatnonzero(codes == group)
        kept = [i for i in members if not remove[i]]
        wanted = min(floor, len(members)) - len(kept)
        gone = [i for i in members if remove[i]]
        safest = sorted(gone, key=lambda i: (-scores[i], i))[: max(wanted, 0)]
        assert missing[group] == max(wanted, 0)
        assert {i for i in members if not left[i]} == {*kept, *safest}


def test_lines_lie_half_way():
    scores = -np.array([3.0, 1.0, 0.5, 2.0, 7.0, 5.0])
    codes = np.array([0, 0, 0, 1, 2, 2])
    remove = np.array([True, False, False, False, True, True])
    lines = thresholds_between(scores, codes, remove, 3)
    assert lines.tolist() == [2.0, np.inf, -np.inf]


@given(SAMPLES, st.integers(0, 3))
def test_lines_part_what_goes_from_what_stays(samples, n_remove):
    scores, codes = arrays(samples)
    n_groups = codes.max() + 1
    remove = riskiest(scores, codes, np.full(n_groups, n_remove))
    lines = thresholds_between(scores, codes, remove, n_groups)[codes]
    assert (-scores[remove] >= lines[remove]).all()
    assert (-scores[~remove] <= lines[~remove]).all()
    assert not np.isnan(lines).any()
