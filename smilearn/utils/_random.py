"""Random streams, and samples drawn in proportion to their classes."""

import numpy as np


def generator_from(random_state, purpose):
    """Return a NumPy Generator that never touches the global stream.

    Parameters
    ----------
    random_state : int, RandomState, Generator or None
        An int gives the same stream at each call; None gives a fresh one.

    purpose : str
        What the stream is for. The same int gives unrelated streams for two purposes,
        and none is that of ``default_rng(int)``: data drawn from the seed 0 and slices
        drawn from the seed 0 must not be the same numbers.

    Returns
    -------
    rng : numpy.random.Generator
        The stream.
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        random_state = int(random_state.randint(2**32, dtype=np.uint64))
    key = tuple(purpose.encode())
    return np.random.default_rng(np.random.SeedSequence(random_state, spawn_key=key))


def subsample(labels, n_rows, rng):
    """Draw rows of each label in proportion; all rows if no more are wanted.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        Label of each sample, of any kind.

    n_rows : int
        Rows wanted, as in :func:`stratified_rows`.

    rng : numpy.random.Generator
        Source of randomness; untouched where all rows are taken.

    Returns
    -------
    rows : ndarray of int
        The rows, in order.
    """
    if n_rows >= len(labels):
        return np.arange(len(labels))
    _, codes = np.unique(labels, return_inverse=True)
    return stratified_rows(codes, n_rows, rng)


def stratified_rows(codes, n_rows, rng, *, spare=0):
    """Draw rows so that each class has its share of them, and one row at least.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,)
        Class of each sample, 0 to K - 1.

    n_rows : int
        Rows wanted. It may be one more a class, as no class goes without.

    rng : numpy.random.Generator
        Source of randomness.

    spare : int, default=0
        Rows of each class that must not be drawn. If it is not 0, classes that are too
        small for a row of their own go without.

    Returns
    -------
    rows : ndarray of int
        The rows, in order.
    """
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
