"""Random streams, and samples drawn in proportion to their classes."""

import numpy as np
from sklearn.base import clone

from smilearn.utils._naming import params_named


def generator_from(random_state, purpose):
    """Return a NumPy Generator that never touches the global stream."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        random_state = int(random_state.randint(2**32, dtype=np.uint64))
    key = tuple(purpose.encode())
    return np.random.default_rng(np.random.SeedSequence(random_state, spawn_key=key))


def subsample(labels, n_rows, rng):
    """Draw rows of each label in proportion; all rows if no more are wanted."""
    if n_rows >= len(labels):
        return np.arange(len(labels))
    _, codes = np.unique(labels, return_inverse=True)
    return stratified_rows(codes, n_rows, rng)


def stratified_rows(codes, n_rows, rng, *, spare=0):
    """Draw rows so that each class has its share of them, and one row at least."""
    counts = np.bincount(codes)
    exact = counts * n_rows / len(codes)
    wanted = np.floor(exact).astype(np.int64)
    missing = int(n_rows) - wanted.sum()
    wanted[np.argsort(wanted - exact, kind="stable")[:missing]] += 1
    if not spare:
        wanted = np.maximum(wanted, counts > 0)
    wanted = np.minimum(wanted, np.maximum(counts - spare, 0))
    shuffled = rng.permutation(len(codes))
    by_class = shuffled[np.argsort(codes[shuffled], kind="stable")]
    begins = np.cumsum(counts) - counts
    place = np.arange(len(codes)) - begins[codes[by_class]]
    return np.sort(by_class[place < wanted[codes[by_class]]])


def seeded_clone(estimator, seed):
    """Clone an estimator, with seeds of its own in each `random_state`."""
    model = clone(estimator)
    names = params_named(model, "random_state")
    seeds = np.random.SeedSequence(seed).generate_state(len(names))
    seeds = (seeds >> 1).tolist()  # some estimators take 31 bits
    return model.set_params(**dict(zip(names, seeds, strict=True)))


def seed_where_none(estimator, seed):
    """Give a seed to each `random_state` of an estimator that is None."""
    names = params_named(estimator, "random_state")
    estimator.set_params(**{k: seed for k, state in names.items() if state is None})
