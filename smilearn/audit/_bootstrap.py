"""Several rankings measured on the same resamples, with intervals."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.utils import column_or_1d

from smilearn import metrics
from smilearn.exceptions import InvalidInputError

TPR, FPR, TOP = 0.75, 0.01, 0.1


def drawn_counts(memorized, rng):
    """Draw one resample for each row."""
    n_draws, n_samples = memorized.shape
    n_memorized = int(memorized[0].sum())
    counts = np.concatenate(
        [
            rng.multinomial(size, np.full(size, 1 / size), n_draws)
            for size in (n_memorized, n_samples - n_memorized)
        ],
        axis=1,
    )
    places = np.argsort(~memorized, axis=1, kind="stable")  # memorized ones first
    spread = np.empty_like(counts)
    np.put_along_axis(spread, places, counts, axis=1)
    return spread


@dataclass
class Resamples:
    """Counts of samples, and the truth of each draw."""

    counts: np.ndarray
    memorized: np.ndarray
    lira: np.ndarray | None

    def __post_init__(self):
        self.positive = self.counts * self.memorized
        self.truth = None if self.lira is None else self._ranked(self.lira)

    def measures(self, risk):
        """Measure a ranking on each draw."""
        order = np.argsort(-risk, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(risk[order]) != 0, True))
        found, listed = (
            np.pad(np.cumsum(each[:, order], axis=1)[:, ends], [(0, 0), (1, 0)])
            for each in (self.positive, self.counts)
        )  # (n_draws, n_thresholds + 1)
        true = found / found[:, -1:]
        false = (listed - found) / (listed - found)[:, -1:]
        area = (np.diff(false) * (true[:, 1:] + true[:, :-1])).sum(1) / 2
        needed = _at(false, np.argmax(true >= TPR, axis=1))
        allowed = _at(true, (false <= FPR).sum(1) - 1)
        columns = [area, needed, allowed, _precision(found, listed)]
        if self.truth is not None:
            columns.append(_correlation(self._ranked(risk), self.truth, self.counts))
        return np.stack(columns)

    def _ranked(self, values):
        """Mean rank of each sample in its resample, (n_draws, n_samples)."""
        counts = self.counts
        order = np.broadcast_to(np.argsort(values, axis=-1), counts.shape)
        in_order = np.take_along_axis(np.broadcast_to(values, counts.shape), order, 1)
        drawn = np.take_along_axis(counts, order, 1)
        upto = np.cumsum(drawn, axis=1)
        new = np.pad(np.diff(in_order) != 0, [(0, 0), (1, 0)], constant_values=True)
        last = np.roll(new, -1, axis=1)
        before = np.maximum.accumulate(np.where(new, upto - drawn, -1), axis=1)
        after = np.where(last, upto, upto[:, -1:])[:, ::-1]
        after = np.minimum.accumulate(after, axis=1)[:, ::-1]
        ranks = np.empty(counts.shape)
        np.put_along_axis(ranks, order, (before + after + 1) / 2, axis=1)
        return ranks


def top_size(n_samples, share=TOP):
    """Number of samples in the top share, 1 or more."""
    return max(1, round(share * n_samples))


def _at(table, columns):
    return np.take_along_axis(table, columns[:, None], 1)[:, 0]


def _precision(found, listed):
    """Of the first k on the list; the tie that k cuts is shared evenly."""
    k = top_size(int(listed[0, -1]))
    cut = np.argmax(listed >= k, axis=1)
    above, below = _at(listed, cut - 1), _at(listed, cut)
    share = (k - above) / (below - above)
    hits, more = _at(found, cut - 1), _at(found, cut)
    return (hits + share * (more - hits)) / k


def _correlation(first, second, counts):
    centre = (counts.sum(1, keepdims=True) + 1) / 2  # the mean of mean ranks
    first, second = first - centre, second - centre
    size = (counts * first**2).sum(1) * (counts * second**2).sum(1)
    product = (counts * first * second).sum(1)
    known = size > 0
    return np.where(known, product / np.sqrt(np.where(known, size, 1)), 0)


_METRICS = {
    "auc": True,
    f"fpr_at_tpr_{TPR}": False,
    f"tpr_at_fpr_{FPR}": True,
    f"precision_in_top_{TOP}": True,
    "rank_correlation": True,
}  # name: whether higher is better
_GRADED = list(_METRICS).index("rank_correlation")
_CELLS = 2**21  # of counts that are worked on at once
_LEVELS = [0.025, 0.975]


@dataclass
class Truth:
    """What is memorized, and how it is known."""

    memorized: np.ndarray
    lira: np.ndarray | None
    of_models: Callable | None = None
    n_models: int | None = None
    fixed: bool = False

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
        """Measure rankings on the same resamples."""
        parts, size = [], max(1, _CELLS // len(self.memorized))
        for begin in range(0, n_bootstrap, size):
            resamples = self._resamples(min(size, n_bootstrap - begin), rng)
            parts.append([resamples.measures(risk) for risk in risks])
        draws = np.concatenate(parts, axis=-1)
        if self.of_models is not None:
            values = np.array([self.values(risk) for risk in risks])
            shift = (values - draws.mean(-1))[..., None]
            moved = slice(_GRADED, None) if self.fixed else slice(None)
            draws[:, moved] += shift[:, moved]
        return draws

    def _resamples(self, n_draws, rng):
        memorized, lira = self.memorized, self.lira
        if self.of_models is None:
            memorized = np.broadcast_to(memorized, (n_draws, len(memorized)))
        else:
            lira = np.stack([self._half(rng) for _ in range(n_draws)])
            each = (
                memorized if self.fixed else most(one, memorized.sum()) for one in lira
            )
            memorized = np.stack(list(each))
        return Resamples(drawn_counts(memorized, rng), memorized, lira)

    def _half(self, rng):
        """Truth from half of the models, (n_samples,)."""
        size = self.n_models // 2
        models = np.sort(rng.choice(self.n_models, size, replace=False))
        lira = checked("lira by truth(models)", self.of_models(models))
        if len(lira) != len(self.memorized):
            raise InvalidInputError(
                f"truth must give one value for each of the {len(self.memorized)} "
                f"samples; got {len(lira)}."
            )
        return lira


def most(lira, n_memorized):
    """Mark the samples that are memorized most, (n_samples,) of bool; ties by lot."""
    lot = np.random.default_rng(0).random(len(lira))
    memorized = np.zeros(len(lira), bool)
    memorized[np.lexsort((lot, -lira))[:n_memorized]] = True
    return memorized


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


def interval_columns(names, values, draws, reference):
    """Put values, intervals and differences into columns."""
    kinds = list(_METRICS)[: values.shape[1]]
    least = [-1 if kind == "rank_correlation" else 0 for kind in kinds]
    low, high = np.clip(np.quantile(draws, _LEVELS, axis=-1), least, 1)
    columns = {
        "scorer": np.repeat(np.array(names), len(kinds)),
        "metric": np.tile(np.array(kinds), len(names)),
        "value": values,
        "low": low,
        "high": high,
    }
    if reference is not None:
        place = names.index(reference)
        low, high = np.quantile(draws - draws[place], _LEVELS, axis=-1)
        columns["difference"] = values - values[place]
        columns |= {"difference_low": low, "difference_high": high}
        sign = np.array([1 if _METRICS[kind] else -1 for kind in kinds])
        direction = sign * ((low > 0) * 1 - (high < 0) * 1)
        columns["verdict"] = np.array(["worse", "even", "better"])[direction + 1]
    return {name: column.ravel() for name, column in columns.items()}
