"""Two risk tables of the same samples, side by side."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from risk_tables import made_table
from scipy.stats import spearmanr

from smilearn import RiskTable
from smilearn.exceptions import InvalidInputError


@settings(deadline=None, max_examples=40)
@given(st.permutations(range(12)), st.integers(0, 99))
def test_a_table_compared_with_itself_has_not_changed(order, seed):
    table = made_table(12, seed)
    compared = table.compare(table.take(order))
    assert not compared["change"].any()
    assert compared.rank_correlation == pytest.approx(1)
    assert compared.overlap() == compared.overlap(1) == 1
    assert compared["rank"].tolist() == compared["other_rank"].tolist()
    assert compared["id"].tolist() == table["id"].tolist()


def test_compared_tables_are_matched_by_id(seed):
    table, other = made_table(60, seed), made_table(60, seed, score=np.arange(60.0))
    order = np.random.default_rng(seed).permutation(60)
    compared = table.compare(other.take(order))
    assert list(compared.columns) == [
        *["id", "label", "text", "risk", "other_risk"],
        *["change", "rank", "other_rank"],
    ]
    assert compared["other_risk"].tolist() == (-np.arange(60.0)).tolist()
    assert (compared["change"] == compared["other_risk"] - compared["risk"]).all()
    expected = spearmanr(table["risk"], other["risk"]).statistic
    assert compared.rank_correlation == pytest.approx(expected)
    both = set(table.riskiest(15)["id"]) & set(other.riskiest(15)["id"])
    assert compared.overlap(0.25) == len(both) / 15
    most = compared.most_changed(4)
    assert np.abs(most["change"]).tolist() == sorted(np.abs(compared["change"]))[:-5:-1]
    assert most.overlap(0.25) == compared.overlap(0.25)  # still of all samples
    assert most.rank_correlation == compared.rank_correlation
    table, other = table.take(range(20)), other.take(range(20))
    both = set(table.riskiest(10)["id"]) & set(other.riskiest(10)["id"])
    assert table.compare(other).overlap(0.5) == len(both) / 10


def test_the_same_infinite_risk_is_no_change():
    table = RiskTable([-np.inf, 0.0], ["a", "b"])
    assert table.compare(table)["change"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda t: t.take([0, 1]),
            "2 of 4 rows of this table have no row in the other",
        ),
        (lambda t: t.take([0, 1, 2, 2]), "ids of the other table must be unique"),
        (lambda t: made_table(5), "1 of 5 rows of the other table have no row in this"),
        (
            lambda t: made_table(4, id=[0, 1, 2, 3]),
            r"first is '000' \(str\).*0 \(int\)",
        ),
        (
            lambda t: made_table(4, label=list("abcd")),
            "4 samples have different labels",
        ),
    ],
)
def test_tables_that_cannot_be_compared(change, match):
    table = made_table(4)
    with pytest.raises(InvalidInputError, match=match):
        table.compare(change(table))


@pytest.mark.parametrize("share", [0, -1, 1.01, float("nan")])
def test_share_of_overlap_is_checked(share):
    with pytest.raises(InvalidInputError, match=r"share must be in \(0, 1\]"):
        made_table().compare(made_table()).overlap(share)
