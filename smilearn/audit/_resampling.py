"""Measures of a ranking on many resamples of the samples at once.

A resample is a count of each sample. Counts are drawn among memorized samples and among
the others by themselves, so that each resample has both kinds, in the same numbers.
"""

from dataclasses import dataclass

import numpy as np

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
