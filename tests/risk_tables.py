"""Risk tables for tests, and whether two are the same to the last bit."""

import numpy as np

from smilearn import RiskTable


def made_table(n_samples=40, seed=0, **columns):
    """A table with every column; ids are strings with leading zeros."""
    rng = np.random.default_rng(seed)
    given = {
        "psmi": rng.normal(size=n_samples),
        "label": rng.choice(["ham", "spam", "eggs"], n_samples).tolist(),
        "std": rng.random(n_samples),
        "most_likely_label": rng.choice(["ham", "spam"], n_samples).tolist(),
        "text": [f"text {i}" for i in range(n_samples)],
        "id": [f"{i:03}" for i in range(n_samples)],
    }
    return RiskTable(**(given | columns))


def check_same(table, other):
    """Equal columns of the very same types, in the same order."""
    assert list(table.columns) == list(other.columns)
    for name, values in table.columns.items():
        assert values.dtype == other[name].dtype, name
        assert values.tolist() == other[name].tolist(), name
        assert [*map(type, values.tolist())] == [*map(type, other[name].tolist())], name
    assert table.is_whole == other.is_whole
