"""Rankings measured on the same resamples of samples and shadow models."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from sklearn.utils import column_or_1d

from smilearn import metrics
from smilearn.exceptions import InvalidInputError

TPR, FPR, TOP = 0.75, 0.01, 0.1
METRICS = {
    "auc": 1,
    f"fpr_at_tpr_{TPR}": -1,
    f"tpr_at_fpr_{FPR}": 1,
    f"precision_in_top_{TOP}": 1,
    "rank_correlation": 1,
}  # name: whether higher is better
_CELLS = 2**21  # of counts that are worked on at once


@dataclass
class Truth:
    """What is memorized, and how it is known."""

    memorized: np.ndarray
    lira: np.ndarray | None
    of_models: Callable | None = None
    n_models: int | None = None
    fixed: bool = False  # whether `memorized` stays whatever models are drawn

    def values(self, risk):
        """Measure a ranking, (n_metrics,)."""
        values = [
            metrics.auc(self.memorized, risk),
            metrics.fpr_at_tpr(self.memorized, risk, TPR),
            metrics.tpr_at_fpr(self.memorized, risk, FPR),
            metrics.precision_at_k(self.memorized, risk, top_size(len(risk))),
        ]
        if self.lira is not None:
            values.append(metrics.rank_correlation(self.lira, risk))
        return np.array(values)

    def draws(self, risks, n_bootstrap, rng):
        """Measure rankings on the same resamples, (n_risks, n_metrics, n_draws)."""
        parts, size = [], max(1, _CELLS // len(self.memorized))
        for begin in range(0, n_bootstrap, size):
            memorized, lira = self._resampled(min(size, n_bootstrap - begin), rng)
            counts = drawn_counts(memorized, rng)
            truth = None if lira is None else resampled_ranks(lira, counts)
            parts.append([measures(risk, counts, memorized, truth) for risk in risks])
        draws = np.concatenate(parts, axis=-1)
        if self.of_models is not None:  # move what models change around the value
            values = np.array([self.values(risk) for risk in risks])
            moved = slice(4 if self.fixed else 0, None)
            draws[:, moved] += (values - draws.mean(-1))[:, moved, None]
        return draws

    def _resampled(self, n_draws, rng):
        """The truth of each draw: of all models, or of half of them at a time."""
        if self.of_models is None:
            shape = n_draws, len(self.memorized)
            return np.broadcast_to(self.memorized, shape), self.lira
        lira = np.stack([self._half(rng) for _ in range(n_draws)])
        if self.fixed:
            return np.broadcast_to(self.memorized, lira.shape), lira
        n_memorized = self.memorized.sum()
        return np.stack([most_memorized(row, n_memorized) for row in lira]), lira

    def _half(self, rng):
        """Truth from half of the models, (n_samples,)."""
        models = rng.choice(self.n_models, self.n_models // 2, replace=False)
        lira = checked("lira by truth(models)", self.of_models(np.sort(models)))
        if len(lira) != len(self.memorized):
            raise InvalidInputError(
                f"truth must give one value for each of the {len(self.memorized)} "
                f"samples; got {len(lira)}."
            )
        return lira


def drawn_counts(memorized, rng):
    """How often each draw holds each sample; memorized and others by themselves."""
    n_draws, n_samples = memorized.shape
    n_memorized = int(memorized[0].sum())
    counts = [
        rng.multinomial(size, np.full(size, 1 / size), n_draws)
        for size in (n_memorized, n_samples - n_memorized)
    ]
    places = np.argsort(~memorized, axis=1, kind="stable")  # memorized ones first
    spread = np.empty((n_draws, n_samples), np.int64)
    np.put_along_axis(spread, places, np.concatenate(counts, axis=1), axis=1)
    return spread


def measures(risk, counts, memorized, truth):
    """Measure a ranking on each draw, (n_metrics, n_draws)."""
    order = np.argsort(-risk, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(risk[order]) != 0, True))
    hits, listed = (
        np.pad(np.cumsum(each[:, order], axis=1)[:, ends], [(0, 0), (1, 0)])
        for each in (counts * memorized, counts)
    )  # (n_draws, n_thresholds + 1)
    tpr = hits / hits[:, -1:]
    fpr = (listed - hits) / (listed - hits)[:, -1:]
    columns = [
        np.trapezoid(tpr, fpr, axis=1),
        _at(fpr, np.argmax(tpr >= TPR, axis=1)),
        _at(tpr, (fpr <= FPR).sum(1) - 1),
        _precision(hits, listed),
    ]
    if truth is not None:
        columns.append(_correlation(resampled_ranks(risk, counts), truth, counts))
    return np.stack(columns)


def resampled_ranks(values, counts):
    """Mean rank of each sample in its resample, (n_draws, n_samples)."""
    places = rankdata(values, "dense", axis=-1) - 1
    ranks = np.empty(counts.shape)
    for row, place, count in zip(
        ranks, np.broadcast_to(places, counts.shape), counts, strict=True
    ):
        tied = np.bincount(place, count)
        row[:] = (np.cumsum(tied) - (tied - 1) / 2)[place]
    return ranks


def _at(table, columns):
    return np.take_along_axis(table, columns[:, None], 1)[:, 0]


def _precision(hits, listed):
    """Of the first k on the list; the tie that k cuts is shared evenly."""
    k = top_size(int(listed[0, -1]))
    cut = np.argmax(listed >= k, axis=1)
    above, below = _at(listed, cut - 1), _at(listed, cut)
    share = (k - above) / (below - above)
    before, after = _at(hits, cut - 1), _at(hits, cut)
    return (before + share * (after - before)) / k


def _correlation(first, second, counts):
    centre = (counts.sum(1, keepdims=True) + 1) / 2  # the mean of mean ranks
    first, second = first - centre, second - centre
    size = (counts * first**2).sum(1) * (counts * second**2).sum(1)
    product = (counts * first * second).sum(1)
    return np.divide(product, np.sqrt(size), out=np.zeros(len(size)), where=size > 0)


def top_size(n_samples, share=TOP):
    """Number of samples in the top share, 1 or more."""
    return max(1, round(share * n_samples))


def most_memorized(lira, n_memorized):
    """Mark the samples that are memorized most, (n_samples,) of bool; ties by lot."""
    lot = np.random.default_rng(0).random(len(lira))
    memorized = np.zeros(len(lira), bool)
    memorized[np.lexsort((lot, -lira))[:n_memorized]] = True
    return memorized


def checked_truth(memorized):
    """Whether each sample is memorized, from 0 and 1; (n_samples,) of bool."""
    memorized = column_or_1d(memorized)
    if not np.isin(memorized, (0, 1)).all():
        values = ", ".join(sorted({repr(value) for value in memorized.tolist()})[:5])
        raise InvalidInputError(f"memorized must be 0 or 1; got {values}.")
    return memorized.astype(bool)


def checked(name, values):
    """Refuse what is not one finite number for each sample."""
    values = np.asarray(column_or_1d(np.asarray(values)), dtype=np.float64)
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise InvalidInputError(
            f"{name} must be finite; {wrong.sum()} of {len(values)} are NaN or "
            f"infinite, the first in row {wrong.argmax()}. Rows are not dropped: give "
            "each sample a score, or leave it out of all scores and of the truth."
        )
    return values
