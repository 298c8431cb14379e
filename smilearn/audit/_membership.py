"""How well membership can be told: curves over pairs, and the relative attack."""

import numpy as np
from scipy.special import logsumexp
from scipy.stats import t

from smilearn.exceptions import InvalidInputError

FPR = (0.001, 0.01)
MEASURES = ("auc", *(f"tpr_at_fpr_{rate}" for rate in FPR))
_LEVEL = 0.95  # of intervals


class PairRanking:
    """All (model, sample) pairs in order of their score, to be weighted."""

    def __init__(self, scores, B):
        order = np.argsort(-scores, axis=None, kind="stable")
        self.models, self.samples = np.divmod(order, scores.shape[1])
        self.is_in = B.ravel()[order]
        ranked = scores.ravel()[order]
        self.ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))

    def measures(self, model_weight, sample_weight, allowed=FPR):
        """Area under the curve, and true-positive rates at false-positive rates."""
        weight = model_weight[self.models] * sample_weight[self.samples]
        rates = []
        for kind in (~self.is_in, self.is_in):
            total = np.cumsum(weight * kind)[self.ends]
            rates.append(np.append(0.0, total / total[-1]))
        fpr, tpr = rates
        last = np.searchsorted(fpr, np.array(allowed) + 1e-12, side="right") - 1
        return [np.trapezoid(tpr, fpr), *tpr[last]]


def attack_draws(attacks, B, n_bootstrap, rng):
    """Measure attacks on the same samples, and their covariance over resamples."""
    rankings, n_models = [PairRanking(scores, B) for scores in attacks], len(B)
    ones = [np.ones(n) for n in B.shape]
    values = np.array([ranking.measures(*ones) for ranking in rankings])
    draws = np.empty((n_bootstrap, *values.shape))
    for draw in draws:
        weights = _resample(B, rng)
        draw[:] = [ranking.measures(*weights) for ranking in rankings]
    off = draws - draws.mean(0)
    covariance = np.einsum("bam,bcm->mac", off, off) / n_bootstrap
    return values, covariance * (n_models / (n_models - 1))


def _resample(B, rng):
    """How often models and samples are drawn, so that there are pairs IN and OUT."""
    while True:
        of_model, of_sample = (rng.multinomial(n, [1 / n] * n) for n in B.shape)
        n_in = of_model @ B @ of_sample
        if 0 < n_in < of_model.sum() * of_sample.sum():
            return of_model, of_sample


def half_width(variance, n_models):
    """Half of the width of a 95 % interval."""
    return t.ppf((1 + _LEVEL) / 2, n_models - 1) * np.sqrt(np.maximum(variance, 0))


def attack_summary(scores, B, n_bootstrap, rng):
    """Value and ends of the interval of each of `MEASURES`, over models and samples."""
    values, covariance = attack_draws([scores], B, n_bootstrap, rng)
    width = half_width(covariance[:, 0, 0], len(scores))
    return values[0], *np.clip([values[0] - width, values[0] + width], 0, 1)


def rmia_scores(log_p, B, gamma):
    """Share of the samples outside of a target that a sample beats, each target once"""
    if not gamma > 0:
        raise InvalidInputError(f"gamma must be above 0; got {gamma!r}.")
    scores = np.empty(log_p.shape)
    for target in range(len(log_p)):
        ratios = log_p[target] - _log_average(log_p, B, target)
        out = ~B[target]
        beaten = np.sort(ratios[out])
        # ties within rounding count as reached, as a sample against its equal does
        bar = ratios - np.log(gamma) + 1e-12 * np.abs(ratios)
        count = np.searchsorted(beaten, bar, side="right")
        count = count - (out & (ratios <= bar))  # never itself
        scores[target] = count / np.maximum(out.sum() - out, 1)
    return scores


def _log_average(log_p, B, target):
    """Log of the mean of the probabilities IN and OUT, without the target's."""
    others = np.arange(len(log_p)) != target
    sides = []
    for members in (B[others], ~B[others]):
        count = members.sum(0)
        masked = np.where(members, log_p[others], -np.inf)
        with np.errstate(divide="ignore"):
            sides.append(logsumexp(masked, axis=0) - np.log(np.maximum(count, 1)))
    seen = np.isfinite(sides).sum(0)
    return logsumexp(sides, axis=0) - np.log(np.maximum(seen, 1))
