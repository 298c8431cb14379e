"""Compiled tables against those of torch, and the two functions they are made of."""

import numpy as np
import pytest
import torch

from smilearn.scoring._densities import DENSITIES
from smilearn.scoring._kernels import _exp, _log
from smilearn.scoring._moments import ClassMoments
from smilearn.scoring._reader import PmiReader, Settings
from smilearn.utils._threads import own_threads


def test_logarithm_of_any_normal_number(seed):
    x = np.exp(np.random.default_rng(seed).uniform(-690, 700, 5000))
    x = np.concatenate([x, [1.0, 2.0, 0.5, np.sqrt(2), 1 - 1e-16, 1 + 1e-15, 1e-300]])
    found = [_log(each) for each in x]
    np.testing.assert_allclose(found, np.log(x), rtol=1e-15, atol=1e-16)


def test_exponential_of_numbers_up_to_zero(seed):
    x = -np.exp(np.random.default_rng(seed).uniform(-40, np.log(690), 5000))
    found = [_exp(each) for each in [*x, 0.0, -1e-300]]
    np.testing.assert_allclose(found, np.exp([*x, 0.0, -1e-300]), rtol=1e-14)
    assert [_exp(each) for each in (0.0, -701.0, -1e6)] == [1.0, 0.0, 0.0]


def crowd(seed, n_classes, apart, n_slices=7):
    """Moments of some slices with classes from 1 to 5,000 samples."""
    rng = np.random.default_rng(seed)
    count = np.append([1, 2], rng.integers(3, 5000, n_classes - 2))
    shape = n_slices, n_classes
    variance = rng.uniform(0.3, 2, shape)
    variance[:, 0] = 0
    mean = apart * rng.normal(size=shape)
    mean -= (mean @ count / count.sum())[:, None]
    reach = 3 * np.sqrt(variance)
    low, high = (mean - reach).min(1), (mean + reach).max(1)
    return ClassMoments(count, mean, variance, reach, low, high)


@pytest.mark.parametrize("left_out", [True, False])
@pytest.mark.parametrize("density", sorted(DENSITIES))
@pytest.mark.parametrize(
    ("apart", "dtype"), [(0.0, "float32"), (0.0, "float64"), (60.0, "float64")]
)
@pytest.mark.parametrize("n_classes", [2, 9])
def test_tables_are_those_of_torch(seed, n_classes, apart, density, left_out, dtype):
    """Classes may be so far apart that no other is left in units of the largest."""
    moments = crowd(seed, n_classes, apart)
    settings = Settings(density, torch.device("cpu"), dtype)
    nodes, rows = np.full(7, 300), np.arange(7)
    reader = PmiReader(settings, moments, nodes, left_out=left_out)
    found = [table for _, table, _ in reader._compiled_tables(rows, 300)]
    exactly = PmiReader(settings.exactly, moments, nodes, left_out=left_out)
    expected = [table.numpy() for _, table, _ in exactly._tables(rows, 300)]
    (found, expected) = map(np.concatenate, (found, expected))
    assert found.dtype == np.result_type(dtype, np.complex64)
    bound = 1e-3 if dtype == "float32" else 1e-9  # where the grid is rounded
    np.testing.assert_allclose(found.real, expected.real, rtol=bound, atol=bound)
    np.testing.assert_allclose(found.imag, expected.imag, rtol=bound, atol=5 * bound)


@pytest.mark.parametrize("density", sorted(DENSITIES))
def test_a_sample_that_carries_its_class_alone(density):
    """Left out, its class is 1,000 nats away, and so is every other: sums are lost."""
    count = np.array([5000, 4])
    moments = ClassMoments(
        count=count,
        mean=np.array([[-0.04, 50.0]]),
        variance=np.array([[1.0, 1e-3]]),
        reach=np.array([[3.0, 0.1]]),
        low=np.array([-3.0]),
        high=np.array([60.0]),
    )
    settings = Settings(density, torch.device("cpu"), "float64")
    reader = PmiReader(settings, moments, np.full(1, 2000), left_out=True)
    ((_, found, _),) = reader._compiled_tables(np.arange(1), 2000)
    ((_, expected, _),) = reader._tables(np.arange(1), 2000)
    assert expected.real.min() < -800
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-9, atol=1e-9)


def test_threads_do_not_change_a_table(monkeypatch):
    moments = crowd(0, 5, 1.0, n_slices=50)
    settings = Settings("student", torch.device("cpu"), "float32")
    reader = PmiReader(settings, moments, np.full(50, 256), left_out=True)
    tables = []
    for n_threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=n_threads: n)
        with own_threads(torch.device("cpu")):
            ((_, table, _),) = reader._compiled_tables(np.arange(50), 256)
        tables.append(table)
    np.testing.assert_array_equal(*tables)
