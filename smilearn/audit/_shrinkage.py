"""What a score predicts of few models, and how far these are shrunk towards it.

A sample has a value IN and one OUT, which the mean statistics of n models tell with the
variances s2 / n, and regressions of these means on the score with residuals of the
covariance C (2, 2). Its posterior means (best linear unbiased prediction, empirical
Bayes) and their covariance V are, with P the diagonal of both n / s2::

    V = (C^-1 + P)^-1    and    fit + V P (means - fit)

With one side alone that is ``w mean + (1 - w) fit``, with ``w = C / (C + s2 / n)``, and
the variance ``w s2 / n``. What a sample is like shows on both sides, so that each tells
of the other: the more, the fewer models. With many models V P is 1.

s2 is the variance within samples over models, pooled. Of C, the variances are those of
the residuals less what s2 explains of them, and at least the standard error of that: a
difference of IN and OUT that cannot be seen is not known to be 0. The covariance is
that of the residuals, as sides have no model in common. Fit, s2 and C are formed
without the sample that they are used for. Means beyond three times the range of their
middle 80 % are cut for that, and it is ranks of the score that are regressed on, so
that no wild one sets the unit of all others: their logarithms, as low scores tell more
than high ones.

Where no sample has two models on a side, what both sides share is known to be of the
samples, as they have no model in common; of the rest of the residual variance, half is
taken as s2.
"""

import numpy as np
from scipy.stats import rankdata

_LEAST_SAMPLES = 30  # for a regression; fewer are shrunk to their mean
_REACH = 3  # ranges of the middle 80 % beyond which means are cut
_LEAST = 1e-16  # of s2, in squares of the typical statistic


def score_columns(scores):
    """What is regressed on: 1, and the log of the share of lower scores, (n, 2)."""
    ranks = np.log(rankdata(scores) / (len(scores) + 1))
    return np.stack([np.ones(len(scores)), ranks], 1)


class SideFit:
    """Fit, s2 and variance around the fit of each sample by all others, on one side."""

    def __init__(self, means, squares, counts, columns):
        seen, dof = counts > 0, np.maximum(counts - 1, 0)
        if seen.sum() < _LEAST_SAMPLES:
            columns = columns[:, :1]
        low, middle, high = np.quantile(
            means[seen] if seen.any() else 0, [0.1, 0.5, 0.9]
        )
        if (reach := _REACH * (high - low)) > 0:
            means = np.clip(means, middle - reach, middle + reach)
            squares = np.minimum(squares, dof * reach**2)
        U, sizes, V = np.linalg.svd(columns * seen[:, None], full_matrices=False)
        kept = sizes > 1e-9 * sizes.max()
        U, columns = U[:, kept], columns @ (V[kept].T / sizes[kept])
        fit = columns @ (U.T @ np.where(seen, means, 0.0))
        self.residual = np.where(seen, means - fit, 0.0)
        rest = np.maximum(1 - (U**2).sum(1), 1e-9)  # less its share in its own fit
        self.left_out = self.residual / rest
        self.fit = np.where(seen, means - self.left_out, fit)
        self.seen, self.n_columns = seen, kept.sum()
        self.total = self.shared(self)
        self.n_repeats = _sum_of_others(dof)
        self.squares = _sum_of_others(squares)
        rate = _sum_of_others(seen / np.maximum(counts, 1))
        self.rate = rate / np.maximum(_sum_of_others(seen), 1)

    def shared(self, other):
        """Covariance of the residuals of two sides, 0 or more."""
        seen = self.seen & other.seen
        product = self.residual * other.residual * seen
        own = self.residual * other.left_out * seen
        n_left = seen.sum() - seen - max(self.n_columns, other.n_columns)
        return _sum_of_others(product, own) / np.maximum(n_left, 1)

    def split(self, share):
        """Part the residual variance in s2 and the rest, of which a share is known."""
        within = self.squares / np.maximum(self.n_repeats, 1)
        within = np.where(self.n_repeats > 0, within, self.total * (1 - share) / 2)
        self.within = np.maximum(within, _LEAST)
        self.least = within * self.rate * np.sqrt(2 / max(self.seen.sum(), 1))
        self.between = np.maximum(self.total - within * self.rate, self.least)


class Shrinkage:
    """The model of both sides; `posterior` takes the models that are left of each."""

    def __init__(self, sides, columns):
        self.sides = [SideFit(s.means, s.squares, s.counts, columns) for s in sides]
        one, two = self.sides
        shared, largest = one.shared(two), np.sqrt(one.total * two.total)
        for side in self.sides:
            side.split(np.minimum(shared / np.maximum(largest, _LEAST), 1))
        apart = [np.maximum(side.between - side.least, 0) for side in self.sides]
        self.shared = np.minimum(shared, np.sqrt(apart[0] * apart[1]))

    def posterior(self, counts, means):
        """Means of both sides, variances of both, and their covariance."""
        one, two = self.sides
        p, q = (n / side.within for n, side in zip(counts, self.sides, strict=True))
        a, b, c = one.between, two.between, self.shared
        free = np.maximum(a * b - c**2, 0)
        total = 1 + a * p + b * q + free * p * q
        variances = [(a + free * q) / total, (b + free * p) / total]
        shared = c / total
        # what each side adds, weighted by its models; nothing where it has none
        told = [
            n * np.where(n > 0, mean - side.fit, 0.0) / side.within
            for n, mean, side in zip(counts, means, self.sides, strict=True)
        ]
        shrunk = [
            one.fit + variances[0] * told[0] + shared * told[1],
            two.fit + variances[1] * told[1] + shared * told[0],
        ]
        return shrunk, variances, shared


def _sum_of_others(values, own=None):
    """Sum over all other samples, at least 0."""
    return np.maximum(values.sum() - (values if own is None else own), 0)
