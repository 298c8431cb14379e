"""Fixtures of the tests of the command line."""

import numpy as np
import pytest
from command_line import LABELS, TEXTS, write


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, one_thread):
    """Everything happens in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data(folder):
    """Texts and labels, and embeddings of them."""
    write({"text": TEXTS, "label": LABELS}, "data.csv")
    np.save("X.npy", np.random.default_rng(0).normal(size=(20, 3)))
    return "data.csv"
