"""Samples meant to break a scorer, drawn by Hypothesis, and how many of them.

A draw is repeatable. ``SMILEARN_TEST_EXAMPLES=50`` tries 50 times as many, at random.
"""

import os

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

_UP_TO_30, _UP_TO_8 = st.integers(1, 30), st.integers(2, 8)
_FACTOR = int(os.environ.get("SMILEARN_TEST_EXAMPLES", "1"))


def examples(number):
    """Settings of a property: no limit but the test's own, the same at each run."""
    return settings(
        max_examples=number * _FACTOR,
        derandomize=_FACTOR == 1,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # shrinking would take longer than a test may
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@st.composite
def labels(draw, n_samples, most_classes=None, least=1):
    """Codes of 2 classes or more; each has `least` samples or more, often no more."""
    most = min(most_classes or n_samples, n_samples // least)
    n_classes = draw(st.integers(2, most))
    extra = draw(
        st.lists(
            st.integers(0, n_classes - 1),
            min_size=n_samples - least * n_classes,
            max_size=n_samples - least * n_classes,
        )
    )
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    known = np.repeat(np.arange(n_classes), least)
    return rng.permutation(np.r_[known, np.array(extra, int)])


@st.composite
def samples(draw, most=24, features=_UP_TO_30, scales=True):
    """Few samples with ties, copies, outliers, constant columns: X (n, d), y (n,)."""
    n, d = draw(st.integers(2, most)), draw(features)
    y = draw(labels(n))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X = rng.normal(size=(n, d))
    if draw(st.booleans()):  # classes that can be told apart
        X += draw(st.sampled_from([1.0, 30.0])) * rng.normal(size=(n, d))[y]
    if draw(st.booleans()):  # ties
        X = np.round(X)
    if draw(st.booleans()):  # copies, of any label
        X = X[rng.integers(0, draw(st.integers(1, n)), n)]
    if draw(st.booleans()):
        X[:, : draw(st.integers(0, d))] = draw(st.sampled_from([0.0, 0.1, -3e4]))
    for row in draw(st.lists(st.integers(0, n - 1), max_size=2)):
        X[row] *= 10.0 ** draw(st.integers(1, 9))
    if scales:
        X *= 10.0 ** draw(st.sampled_from([-30, -5, 0, 0, 5, 30]))
    return X, y


@st.composite
def tame_samples(draw, features=_UP_TO_8, most_classes=4, in_class=1):
    """Samples without a tie or a threshold nearby: X (n, d), y (n,)."""
    n, d = draw(st.integers(12, 40)), draw(features)
    y = draw(labels(n, most_classes, in_class))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.normal(size=(n, d)) + rng.normal(size=(n, d))[y], y


@st.composite
def any_finite_samples(draw, most=10):
    """Any finite numbers at all: X (n, d) of any floating type, y (n,)."""
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    n, d = draw(st.integers(2, most)), draw(st.integers(1, 5))
    width = 8 * np.dtype(dtype).itemsize
    numbers = st.floats(allow_nan=False, allow_infinity=False, width=width)
    X = draw(hnp.arrays(dtype, (n, d), elements=numbers))
    return X, draw(labels(n))
