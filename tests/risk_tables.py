"""Risk tables for tests."""

import numpy as np

from smilearn import RiskTable


def made_table(n_samples=40, seed=0, **columns):
    """A table with every column; ids are strings with leading zeros."""
    rng = np.random.default_rng(seed)
    given = {
        "score": rng.normal(size=n_samples),
        "label": rng.choice(["ham", "spam", "eggs"], n_samples).tolist(),
        "probability": rng.random(n_samples),
        "psmi": rng.normal(size=n_samples),
        "std": rng.random(n_samples),
        "most_likely_label": rng.choice(["ham", "spam"], n_samples).tolist(),
        "text": [f"text {i}" for i in range(n_samples)],
        "id": [f"{i:03}" for i in range(n_samples)],
    }
    return RiskTable(**(given | columns))
