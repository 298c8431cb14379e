"""The training pass and the reader: tables, exact path and slow loop agree."""

import numpy as np
import pytest
import torch
from oracles import psmi

from smilearn.scoring import _densities
from smilearn.scoring._densities import DENSITIES
from smilearn.scoring._directions import SliceDirections
from smilearn.scoring._engine import TrainingPass, score_new
from smilearn.scoring._reader import PmiReader, Settings, SliceSums
from smilearn.scoring._samples import SortedSamples
from smilearn.scoring._standardize import standardize
from smilearn.utils._indexing import as_tensor

KINDS = sorted(DENSITIES)
TABLE_ERROR = 1e-4  # nats, of a mean over 256 slices; the largest seen was half of it
N_FEATURES = 24
CPU = torch.device("cpu")


def settings_of(density="student", dtype="float32", block_size=None):
    return Settings(density, CPU, dtype, block_size)


def embeddings(seed, n_classes=3, *, smallest=20, n_features=N_FEATURES):
    """Classes of unequal size and spread, in no order."""
    rng = np.random.default_rng(seed)
    sizes = [150, 60, 12]
    if n_classes > 3:
        sizes = np.append(rng.integers(smallest, 60, n_classes - 1), smallest)
    y = rng.permutation(np.repeat(np.arange(n_classes), sizes))
    centres = 1.5 * rng.normal(size=(n_classes, n_features))
    spread = 0.5 + rng.random(n_classes)
    noise = rng.normal(size=(len(y), n_features))
    return centres[y] + spread[y, None] * noise, y


def directions_of(seed, n_slices, n_features=N_FEATURES):
    return SliceDirections(n_features, np.random.default_rng(seed)).first(n_slices)


def trained(X, y, settings, directions, *, left_out=True):
    length = directions.shape[1]
    samples = SortedSamples.of(X, y, settings)
    training = TrainingPass(samples, settings, block_length=length, left_out=left_out)
    training.extend(directions)
    training.samples, training.in_input_order = samples, samples.in_input_order
    return training


def standardized(training, X):
    """Embeddings in the units of a pass, a float64 tensor."""
    fitted = training.samples.centre, training.samples.inverse_scale
    return standardize(as_tensor(X, CPU), *fitted, torch.float64)


def exact_scores(training, X, y, directions, *, left_out):
    """Mean pmi over the slices of a pass in float64, no tables."""
    Z = torch.as_tensor(directions) @ standardized(training, X).T
    exactly = training.settings.exactly
    fitted = training.moments, np.zeros_like(training.nodes)
    reader = PmiReader(exactly, *fitted, training=True, left_out=left_out)
    sums = SliceSums(np.zeros(len(Z), int), 1, Z)
    reader.add_to([sums], Z, [torch.as_tensor(y)])
    return sums.values()[0][0] / len(directions)


@pytest.mark.parametrize("n_classes", [3, 40])
@pytest.mark.parametrize("left_out", [True, False])
@pytest.mark.parametrize("density", KINDS)
def test_tables_equal_the_exact_path(seed, density, left_out, n_classes):
    smallest = 20 if density == "gaussian" else 1  # left-out normals of few: all exact
    X, y = embeddings(seed, n_classes, smallest=smallest)
    X, directions = X.astype(np.float32), directions_of(seed, 256)
    training = trained(X, y, settings_of(density), directions, left_out=left_out)
    assert (training.nodes > 0).mean() > 0.9
    scores = training.in_input_order(training.tally.mean)
    expected = exact_scores(training, X, y, directions, left_out=left_out)
    np.testing.assert_allclose(scores, expected, atol=TABLE_ERROR)
    assert np.abs(scores - expected).mean() < TABLE_ERROR / 10


def scored(training, X, columns, directions, *, exactly=False):
    nodes, settings = training.nodes, training.settings
    if exactly:
        nodes, settings = nodes * 0, settings_of(settings.density, "float64")
    X = standardized(training, X).to(settings.torch_dtype)
    return score_new(X, columns, directions, training.moments, nodes, settings)


@pytest.mark.parametrize("n_classes", [3, 40])
@pytest.mark.parametrize("density", KINDS)
@pytest.mark.parametrize("place", ["within", "between", "beyond", "far beyond"])
def test_new_samples_equal_the_exact_path(seed, density, n_classes, place):
    """Outside the grid too, where every value is computed exactly."""
    X, y = embeddings(seed, n_classes)
    directions, rng = directions_of(seed, 256), np.random.default_rng(seed)
    training = trained(X, y, settings_of(density, block_size=100), directions)
    first, second = rng.integers(0, len(X), (2, 60))
    share = {"within": 1, "between": 0.5, "beyond": 5, "far beyond": 1e9}[place]
    new = share * X[first] + (X[second] / 2 if place == "between" else 0)
    labels = rng.integers(0, n_classes, 60)
    scores = scored(training, new, [labels], directions)
    expected = scored(training, new, [labels], directions, exactly=True)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, expected, rtol=2e-6, atol=TABLE_ERROR)


@pytest.mark.parametrize("density", KINDS)
def test_new_samples_at_and_around_the_ends_of_the_range(seed, density):
    """One direction, one table, at single points: within the error of one table."""
    X, y = embeddings(seed, n_features=1)
    training = trained(X, y, settings_of(density), np.ones((1, 1)))
    moments, nodes = training.moments, training.nodes
    step = (moments.high - moments.low) / (nodes - 3)
    steps = np.array([-3, -1.001, -0.999, -0.5, 0, 0.5, 3])
    z = np.concatenate([moments.low + steps * step, moments.high - steps * step])
    labels = [np.full(len(z), label) for label in range(3)]
    fitted = np.ones((1, 1)), moments
    Z = torch.as_tensor(z)[:, None]
    scores = score_new(Z.float(), labels, *fitted, nodes, training.settings)
    exact = training.settings.exactly
    expected = score_new(Z, labels, *fitted, nodes * 0, exact)
    assert nodes > 0
    np.testing.assert_allclose(scores, expected, rtol=2e-6, atol=0.01)
    beyond = np.isin(np.arange(14), [0, 1, 7, 8])
    np.testing.assert_allclose(scores[beyond], expected[beyond], rtol=2e-6, atol=1e-5)


@pytest.mark.parametrize("most", [640_000, 1800, 300])
def test_every_slice_is_read_once_under_every_label(seed, most, monkeypatch):
    """Several grid sizes and the exact path mixed, in temporaries of any size."""
    X, y = embeddings(seed)
    directions = directions_of(seed, 40)
    training = trained(X, y, settings_of("gaussian", "float64"), directions)
    nodes = training.nodes
    nodes[::7], nodes[1::7], nodes[2::7] = 0, 192, 4096
    new = np.concatenate([X, 1.5 * X, -3 * X])
    labels = [np.full(len(new), label) for label in range(3)]
    expected = scored(training, new, labels, directions, exactly=True)
    monkeypatch.setattr(_densities, "_CHUNK", most)
    reader = PmiReader(training.settings, training.moments, nodes)
    Z = torch.as_tensor(directions) @ standardized(training, new).T
    sums = [SliceSums(np.arange(40), 40, Z) for _ in labels]  # every slice apart
    reader.add_to(sums, Z, [torch.as_tensor(label) for label in labels])
    pmi = np.stack([column.values()[0] for column in sums])
    assert (np.abs(pmi).max((0, 2)) > 0).all()
    np.testing.assert_allclose(pmi.mean(1).T, expected, rtol=1e-5, atol=1e-3)
    squares = np.stack([column.values()[1] for column in sums])
    np.testing.assert_allclose(squares, (pmi**2).sum(1), rtol=1e-9, atol=1e-9)


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
    monkeypatch.setattr(_densities, "MOST_NODES", 2048)
    X, y = embeddings(seed, n_features=8)
    X[np.flatnonzero(y == label)[0]] += 1e4
    X, directions = X.astype(dtype), directions_of(seed, 5, 8)
    training = trained(X, y, settings_of(density, dtype), directions, left_out=left_out)
    assert not training.nodes.any()
    scores = training.in_input_order(training.tally.mean)
    options = {"density": density, "leave_one_out": left_out}
    expected = psmi(X, y, directions, **options)
    np.testing.assert_allclose(scores, expected, rtol=rtol, atol=1e-4)
