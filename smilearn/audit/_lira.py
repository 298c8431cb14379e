"""Likelihood ratios of membership, on plain arrays.

T is a statistic of shape (n_models, n_samples), high where a model knows the sample,
and B of the same shape says which samples are IN which models.

LiRA (N. Carlini et al., "Membership inference attacks from first principles", IEEE S&P,
2022) asks how much likelier the statistic under a target model is among the models
that a sample is IN than among those that it is OUT of, both taken as normal. Here the
parameters of the normals are not plugged in. Of a sample and a side with n models,
mean m and sum of squared deviations Q, the mean has a flat prior and the variance a
scaled inverse chi-square prior of `PRIOR_DOF` degrees of freedom, located at v, what
the variance on that side typically is: the median over the other samples that vary at
all, corrected for what a chi-square does to logarithms, so that no sample sets the
unit of all others. It is taken as at least a quarter of what it is on the other side:
models that know all their samples by heart do not vary, and that alone must not make
every sample look memorized. What is then expected of the target is a Student t (the
usual conjugate result, derived anew)::

    dof = PRIOR_DOF + n - 1
    scale^2 = (PRIOR_DOF * v + Q) / dof * (1 + 1 / n),    around m

So a handful of models never gives a certainty that it cannot bear. Where a side has no
model left, n is taken as infinite around the mean of the other samples, and the
variance between samples is added to the scale. With columns of a prior score, m and
what 1 / n stands for are those of :mod:`smilearn.audit._shrinkage`; and the mean over
targets, which of a few models is mostly the chance of their own values, is what is to
be expected of it.
"""

import numpy as np
from scipy.special import digamma, gammaln

from smilearn.audit._shrinkage import Shrinkage

PRIOR_DOF = 4.0  # the typical variance weighs as much as so many models
_LEAST = 0.25  # of the variance on the other side
_FLOOR = 1e-16  # of variances, in squares of the typical statistic


def log_lira(T, B, columns=None, *, equal_counts=False):
    """Log likelihood ratio of membership, each model the target once."""
    T = T / _unit(T)  # ratios have no unit; squares now cannot overflow
    sides = [_Side(T, B), _Side(T, ~B)]
    removed = _partner_values(T, B) if equal_counts else T
    left = []
    for side in sides:
        gone = np.where(side.members, T, removed)
        left.append(side.without(gone, side.members | equal_counts))
    variances = _variances(sides)
    if columns is not None:
        model = Shrinkage(sides, columns)
        variances = _variances(sides, model)
        counts, means, _ = zip(*left, strict=True)
        shrunk, errors, _ = model.posterior(counts, means)
    ratios = np.zeros(T.shape)
    for k, sign in enumerate((1, -1)):
        count, mean, squares = left[k]
        dof = PRIOR_DOF + np.maximum(count - 1, 0)
        squares = squares + PRIOR_DOF * variances[k]  # dof times the variance
        if columns is None:
            between = sides[k].between / variances[k]
            squares *= 1 + np.where(count > 0, 1 / np.maximum(count, 1), between)
        else:
            mean, squares = shrunk[k], squares + dof * errors[k]
        heights = _log_heights(len(T))[np.maximum(count - 1, 0)]
        tail = np.log1p((T - mean) ** 2 / squares)
        ratios += sign * (heights - 0.5 * np.log(squares) - 0.5 * (dof + 1) * tail)
    return ratios


def difference_of_sides(T, B, columns=None):
    """Mean statistic of the models that a sample is IN, minus that of the others."""
    unit = _unit(T)
    sides = [_Side(T / unit, B), _Side(T / unit, ~B)]
    if columns is not None:
        means, error = _shrunk_difference(sides, columns)[:2]
        return unit * means, unit * np.sqrt(error)
    error = np.zeros(T.shape[1])
    for side, typical in zip(sides, _variances(sides), strict=True):
        dof = PRIOR_DOF + side.counts - 1
        error += (PRIOR_DOF * typical + side.squares) / (dof * side.counts)
    return unit * (sides[0].means - sides[1].means), unit * np.sqrt(error)


def shrunk_lira(T, B, columns):
    """Ratio to be expected of a target that a sample is IN, with a prior; its error.

    What a target would add by chance is left out: the Student density OUT is asked at
    the difference d of the posterior means, with the variance v that is typical and the
    variance V of d, and the sign of d::

        (PRIOR_DOF + 1) / 2 * log(1 + d^2 / (PRIOR_DOF * (v + V)))
    """
    T = T / _unit(T)
    sides = [_Side(T, B), _Side(T, ~B)]
    difference, error, model = _shrunk_difference(sides, columns)
    squares = PRIOR_DOF * (_variances(sides, model)[1] + error)
    ratio = (PRIOR_DOF + 1) / 2 * np.log1p(difference**2 / squares)
    slope = (PRIOR_DOF + 1) / (squares + difference**2)
    spread = np.sqrt(difference**2 * error + error**2 / 2)
    return np.sign(difference) * ratio, slope * spread


def _shrunk_difference(sides, columns):
    """Difference of the posterior means, its variance, and the model."""
    model = Shrinkage(sides, columns)
    moments = [[getattr(s, name) for s in sides] for name in ("counts", "means")]
    means, variances, shared = model.posterior(*moments)
    error = np.maximum(sum(variances) - 2 * shared, 0)
    return means[0] - means[1], error, model


class _Side:
    """Moments of each sample over the models that it is IN, or OUT of."""

    def __init__(self, T, members):
        self.members = members
        self.counts = members.sum(0)
        held = np.maximum(self.counts, 1)
        self.means = np.where(members, T, 0.0).sum(0) / held
        deviations = np.where(members, T - self.means, 0.0)
        # equal values differ from their mean by rounding alone
        varies = np.abs(deviations).max(0) > 1e-14 * np.abs(self.means)
        self.squares = np.where(varies, (deviations**2).sum(0), 0.0)
        self.dof = np.maximum(self.counts - 1, 0)
        self.typical = _typical_variance(self.squares, self.dof)
        means = np.where(self.counts, self.means, 0.0)  # and of the other samples:
        n = np.maximum((self.counts > 0).sum() - (self.counts > 0), 1)
        self.centre = (means.sum() - means) / n
        squares = (means**2).sum() - means**2
        self.between = np.maximum(squares / n - self.centre**2, 0)

    def without(self, gone, is_gone):
        """Models, means and squares that are left, where one value may be gone."""
        left = self.counts - is_gone  # (n_models, n_samples)
        any_left = left > 0
        shift = np.where(is_gone, (gone - self.means) / np.maximum(left, 1), 0.0)
        means = np.where(any_left, self.means - shift, self.centre)
        lost = np.where(is_gone, (gone - self.means) ** 2, 0.0)
        lost = lost * self.counts / np.maximum(left, 1)
        squares = np.where(any_left, np.maximum(self.squares - lost, 0), 0.0)
        return left, means, squares


def _variances(sides, model=None):
    """What the prior of each sample is located at on both sides, by other samples."""
    typical = [side.typical for side in sides]
    if model is not None:
        within = [fit.within for fit in model.sides]
        typical = np.where(np.isnan(typical), within, typical)
    variances = []
    for k, side in enumerate(sides):
        variance = np.where(np.isnan(typical[k]), typical[1 - k], typical[k])
        variance = np.fmax(variance, _LEAST * typical[1 - k])
        variance = np.where(np.isnan(variance), side.between, variance)
        variances.append(np.maximum(variance, _FLOOR))
    return variances


def _typical_variance(squares, dof):
    """Median of the variances of the other samples, those that vary; (n_samples,)."""
    varies = (squares > 0) & (dof > 0)
    n_others = (dof > 0).sum() - (dof > 0)  # that could vary
    logs, half = np.log(squares[varies]), dof[varies] / 2
    logs = logs - np.log(2 * half) - (digamma(half) - np.log(half))
    place = np.full(len(squares), len(logs))
    place[varies] = np.argsort(np.argsort(logs, kind="stable"), kind="stable")
    left = len(logs) - varies
    ordered = np.append(np.sort(logs), [-np.inf, -np.inf])
    middle = [(left - 1) // 2, left // 2]
    pair = [ordered[np.where(k < place, k, k + 1)] for k in middle]
    typical = np.where(left > 0, np.exp(np.mean(pair, axis=0)), 0.0)
    return np.where(n_others > 0, typical, np.nan)


def _unit(T):
    """Size of the typical statistic, none of which is then too large to be squared."""
    sizes = np.abs(T)
    positive = sizes[sizes > 0]
    return max(np.median(positive), sizes.max() * 1e-140) if positive.size else 1.0


def _log_heights(n_models):
    """Log of what Student densities of unit squares have at 0, by models less 1."""
    dof = PRIOR_DOF + np.arange(n_models + 1)
    return gammaln((dof + 1) / 2) - gammaln(dof / 2) - 0.5 * np.log(np.pi)


def _partner_values(T, B):
    """Statistic of a model on the other side, another one for each target."""
    order = np.argsort(~B, axis=0, kind="stable")  # models IN first
    n_in = B.sum(0)
    rank = np.where(B, B.cumsum(0), (~B).cumsum(0)) - 1
    row = np.where(B, n_in + rank % (len(T) - n_in), rank % n_in)
    return np.take_along_axis(T, np.take_along_axis(order, row, 0), 0)
