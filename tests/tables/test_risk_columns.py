"""Columns that a risk table takes, and those that it refuses."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from smilearn import RiskTable
from smilearn.exceptions import InvalidInputError


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"psmi": ["a", "b"]}, "psmi must be one column of numbers"),
        ({"std": ["a", "b"]}, "std must be one column of numbers"),
        ({"std": np.ones((2, 2))}, r"std must be one column .* shape \(2, 2\)"),
    ],
)
def test_numbers_must_be_one_column(wrong, said):
    with pytest.raises(InvalidInputError, match=said):
        RiskTable(**{"psmi": [0.1, 0.2], "label": ["a", "b"], **wrong})


def test_rows_are_taken_one_after_the_other():
    table = RiskTable([0.1, 0.2], ["a", "b"])
    with pytest.raises(InvalidInputError, match=r"got shape \(1, 2"):
        table.take([[0, 1]])


def test_large_ids_with_gaps_are_not_rounded():
    ids = pl.Series([2**60, 2**60 + 1, None])
    table = RiskTable([0.1, 0.2, 0.3], ["a", "b", "a"], id=ids)
    assert table["id"].tolist() == [2**60, 2**60 + 1, None]
    assert len(table.by(ids)) == 3
    nullable = pd.Series([2**60, 2**60 + 1, None], dtype="Int64")
    assert table.by(nullable)["n_samples"].tolist() == [1, 1, 1]
