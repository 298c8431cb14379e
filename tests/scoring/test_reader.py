"""What tables say of projections against the exact path and the slow loop."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from oracles import embeddings, fitted, psmi, wide_and_narrow

from smilearn import SlicedMIScorer
from smilearn.scoring import _densities, _kernels, _reader
from smilearn.scoring._densities import DENSITIES
from smilearn.scoring._reader import Columns, Settings, SliceReader, SliceSums
from smilearn.scoring._sums import moments_of

KINDS = sorted(DENSITIES)
TABLE_ERROR = 2e-4  # nats, of a mean over 80 slices; 1e-4 of 256
CPU = torch.device("cpu")


@pytest.fixture
def exactly(monkeypatch):
    """Make all that follows compute every value in double precision."""

    def switch():
        def none(density, moments):
            return np.zeros(len(moments.low), int)

        monkeypatch.setattr(_reader, "nodes_needed", none)

    return switch


@pytest.mark.parametrize("n_classes", [3, 40])
@pytest.mark.parametrize("left_out", [True, False])
@pytest.mark.parametrize("density", KINDS)
def test_tables_equal_the_exact_path(seed, density, left_out, n_classes, exactly):
    """Training samples and new ones, within the range of those on each slice."""
    rng = np.random.default_rng(seed)
    smallest = 20 if density == "gaussian" else 2  # left-out normals of few: all exact
    sizes = [150, 60, 20] if n_classes == 3 else rng.integers(smallest, 60, 40)
    X, y = embeddings(seed, sizes, 24)
    options = {"n_slices": 80, "density": density, "leave_one_out": left_out}
    options |= {"outliers": None, "pooled": False}
    first, second = rng.integers(0, len(X), (2, 60))
    new = (X[first] + X[second]) / 2
    single = fitted(X.astype(np.float32), y, dtype="float32", **options)
    found = single.scores_, single.score_samples(new, y[first])
    table = single.predict_proba(new)
    exactly()
    double = fitted(X, y, dtype="float64", **options)
    expected = double.scores_, double.score_samples(new, y[first])
    for tables, exact in zip(found, expected, strict=True):
        assert_allclose(tables, exact, atol=TABLE_ERROR)
        assert np.abs(tables - exact).mean() < TABLE_ERROR / 5
    assert_allclose(table, double.predict_proba(new), atol=TABLE_ERROR)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("density", KINDS)
def test_beyond_the_range_projections_are_read_exactly(
    seed, density, pooled, compiled, exactly, monkeypatch
):
    """However far out: new samples, outliers and samples of weight 0."""
    if not compiled:
        monkeypatch.setattr(_kernels, "usable", lambda device: False)
    X, y = wide_and_narrow(seed, size=60, n_features=6)
    X[3], weight = 50 * X[3], np.ones(len(y))
    X[5], weight[5] = 9 * X[5], 0
    new, labels = X[:20] * np.linspace(1, 1e4, 20)[:, None], y[:20]
    options = {"n_slices": 20, "density": density, "pooled": pooled}
    one = fitted(X, y, **options).fit(X, y, weight)
    found = one.scores_, one.psmi_, one.score_samples(new, labels)
    assert one.outliers_[3]
    exactly()
    same = fitted(X, y, **options).fit(X, y, weight)
    expected = same.scores_, same.psmi_, same.score_samples(new, labels)
    for values, exact in zip(found, expected, strict=True):
        assert_allclose(values, exact, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("most", [640_000, 1800])
def test_every_slice_is_read_once_under_every_label(seed, most, monkeypatch):
    """Several grid sizes and the exact path mixed, in temporaries of any size."""
    monkeypatch.setattr(_densities, "_CHUNK", most)
    rng = np.random.default_rng(seed)
    count, shape = np.array([90.0, 50, 12]), (40, 3)
    mean, square = rng.normal(size=shape), count * rng.uniform(0.5, 2, shape)
    low, high = np.full(shape, -4.0), np.full(shape, 4.0)
    moments = moments_of(count, mean, square, low, high)
    settings = Settings("student", CPU, "float64")
    nodes = np.full(40, 1024)
    nodes[::7], nodes[1::7], nodes[2::7] = 0, 512, 4096
    Z = torch.as_tensor(rng.uniform(-1.5, 1.5, (40, 50)))
    labels = torch.as_tensor(rng.integers(0, 3, (2, 50)))
    weight = torch.as_tensor(rng.uniform(0.5, 1, 50))
    columns = [
        Columns("pmi", labels[:1], left_out=True),
        Columns("density", labels),
        Columns("density", labels[:1], left_out=True, weight=weight),
    ]

    def read(nodes):
        # every slice apart
        sums = [SliceSums(np.arange(40), 40, Z, each) for each in columns]
        SliceReader(settings, moments, nodes).add_to(sums, Z.clone(), columns)
        return [each.values() for each in sums]

    for found, expected in zip(read(nodes), read(0 * nodes), strict=True):
        assert (np.abs(found[0]).max(2) > 0).all()
        assert_allclose(found[0], expected[0], atol=1e-3)
        assert_allclose(found[1], (found[0] ** 2).sum(1), rtol=1e-9)


@pytest.mark.parametrize("left_out", [True, False])
@pytest.mark.parametrize("density", KINDS)
@pytest.mark.parametrize("label", [0, 2])
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-9), ("float32", 0.05)])
def test_far_outlier_takes_the_exact_path(
    seed, density, left_out, label, dtype, rtol, monkeypatch
):
    """One sample is 10,000 spreads away from its class, the largest or the smallest.

    Without it the class has a hundred-millionth of the variance: digits that float32
    projections do not hold.
    """
    monkeypatch.setattr(_densities, "MOST_NODES", 256)
    X, y = embeddings(seed, (50, 20, 12), n_features=8)
    X[np.flatnonzero(y == label)[0]] += 1e4
    X = X.astype(dtype)
    options = {"density": density, "leave_one_out": left_out}
    one = SlicedMIScorer(5, pooled=False, outliers=None, random_state=0, dtype=dtype)
    one.set_params(**options).fit(X, y)
    expected = psmi(X, y, one.directions_, **options)
    assert_allclose(one.scores_, expected, rtol=rtol, atol=1e-4)
