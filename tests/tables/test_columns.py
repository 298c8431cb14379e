"""Columns as arrays: nothing is lost, and few strings are coded like many."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smilearn.tables._columns import as_column, coded, support_of

VALUES = {
    "strings": ["007", "a\0"],
    "ints": [1, 2],
    "huge": [2**63, -1],
    "mixed": [1, "1", 2.5],
    "tuples": [(1, 2), (3, 4)],
    "bools": [True, False],
}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_values_are_those_of_the_list(values):
    column = as_column(values, "id")
    assert column.shape == (len(values),)
    assert column.tolist() == values
    assert [*map(type, column.tolist())] == [*map(type, values)]


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), max_size=60), st.sampled_from(["U", "O", "i"]))
def test_codes_lead_back_to_the_values(values, kind):
    column = np.array(values if kind == "i" else list(map(str, values)), dtype=None)
    column = column.astype(object) if kind == "O" else column
    distinct, codes = coded(column)
    assert len(set(distinct)) == len(distinct)
    assert [distinct[code] for code in codes] == column.tolist()
    expected = [values.count(value) for value in values]
    assert support_of(column).tolist() == expected


def test_a_column_does_not_follow_its_array():
    values = np.array([1, 2])
    column = as_column(values, "id")
    values[0] = 9
    assert column.tolist() == [1, 2]
