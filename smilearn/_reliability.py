"""How far to trust a mean over random slices (floor 1)."""

import numpy as np
from scipy.stats import rankdata


class SliceTally:
    """Running sums of the pmi of each sample over slices.

    Slices are told apart by the parity of their place and by the parity of their
    orthonormal block, so that the slices can be halved in the fairer of two ways.

    Parameters
    ----------
    n_samples : int
        Samples.

    block_length : int
        Directions in an orthonormal block: d, or 1 for independent directions.
    """

    def __init__(self, n_samples, block_length):
        self.block_length = block_length
        self.n_slices = 0
        self._sums = np.zeros((4, n_samples))
        self._squares = np.zeros(n_samples)
        self._lengths = np.zeros(4, np.int64)

    def groups(self, places):
        """Group of each slice by its place in the draw: 2 * block parity + parity."""
        return 2 * (places // self.block_length % 2) + places % 2

    def add(self, places, sums, squares):
        """Count in a block of slices.

        Parameters
        ----------
        places : ndarray of shape (S,)
            Place of each slice in the draw.

        sums : ndarray of shape (4, n_samples)
            Sums of the pmi over the slices of each group.

        squares : ndarray of shape (n_samples,)
            Sum of the squared pmi over all of them.
        """
        self.n_slices += len(places)
        self._lengths += np.bincount(self.groups(places), minlength=4)
        self._sums += sums
        self._squares += squares

    @property
    def mean(self):
        """Mean pmi of each sample, (n_samples,), in nats."""
        return self._sums.sum(0) / self.n_slices

    @property
    def standard_error(self):
        """Monte-Carlo standard error of `mean`, as for independent slices, in nats."""
        variance = self._squares / self.n_slices - self.mean**2
        return np.sqrt(np.maximum(variance, 0) / max(self.n_slices - 1, 1))

    @property
    def reliability(self):
        """Expected rank correlation with as many other slices, in [0, 1]."""
        halves = [[0, 2], [1, 3]]  # by place
        if self.n_slices >= 2 * self.block_length > 2:
            halves = [[0, 1], [2, 3]]  # by orthonormal block: the fairer halves
        sums = [self._sums[half].sum(0) for half in halves]
        lengths = [self._lengths[half].sum() for half in halves]
        return split_half_reliability(*sums, *lengths)


def split_half_reliability(first, second, n_first, n_second):
    """Reliability of the sum of two parts from the correlation of their ranks.

    Spearman and Brown's formula, for parts that may differ in length: when the true
    score has variance t and one slice adds noise of variance 1, parts of a and b
    slices correlate at ``r = t / sqrt((t + 1/a) (t + 1/b))``. Solved for t, the whole
    has the reliability ``t / (t + 1 / (a + b))``; for a = b it is ``2 r / (1 + r)``.

    Parameters
    ----------
    first, second : ndarray of shape (n_samples,)
        Score of each sample from either part.

    n_first, n_second : int
        Slices in either part.

    Returns
    -------
    reliability : float
        In [0, 1]. 1 if neither part tells any two samples apart: there is nothing to
        rank. 0 if a part is empty, or if the parts disagree.
    """
    if min(n_first, n_second) == 0:
        return 0.0
    ranks = np.stack([rankdata(first), rankdata(second)])
    spread = ranks.std(1)
    if not spread.any():
        return 1.0
    if not spread.all():
        return 0.0
    r = float(np.corrcoef(ranks)[0, 1])
    if r <= 0:
        return 0.0
    if r >= 1 - 1e-12:
        return 1.0
    both, product = 1 / n_first + 1 / n_second, 1 / (n_first * n_second)
    a, b, c = 1 - r**2, r**2 * both, r**2 * product  # a t^2 - b t - c = 0
    t = (b + np.sqrt(b**2 + 4 * a * c)) / (2 * a)
    return float(t / (t + 1 / (n_first + n_second)))
