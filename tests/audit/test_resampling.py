"""Measures on many resamples against those of each resample written out."""

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from smilearn import metrics
from smilearn.audit._bootstrap import FPR, TPR, Resamples, drawn_counts, top_size


def some(seed, n=60, n_draws=25, levels=None):
    """Risk that is better than chance, ties on request, and a truth for each draw."""
    rng = np.random.default_rng(seed)
    memorized = np.zeros((n_draws, n), bool)
    for row in memorized:
        row[rng.choice(n, 7, replace=False)] = True
    risk = rng.normal(size=n) + memorized[0]
    lira = rng.normal(size=(n_draws, n)) + risk
    if levels:
        risk, lira = np.round(risk * levels / 4), np.round(lira * levels / 4)
    return risk, memorized, lira, drawn_counts(memorized, rng)


def written_out(counts, risk, memorized, lira):
    risk, memorized, lira = (np.repeat(v, counts) for v in (risk, memorized, lira))
    return [
        metrics.auc(memorized, risk),
        metrics.fpr_at_tpr(memorized, risk, TPR),
        metrics.tpr_at_fpr(memorized, risk, FPR),
        metrics.precision_at_k(memorized, risk, top_size(len(risk))),
        metrics.rank_correlation(lira, risk),
    ]


@pytest.mark.parametrize("levels", [None, 4, 1])
def test_measures_are_those_of_the_samples_written_out(seed, levels):
    risk, memorized, lira, counts = some(seed, levels=levels)
    found = Resamples(counts, memorized, lira).measures(risk)
    expected = [
        written_out(*row)
        for row in zip(counts, [risk] * len(counts), memorized, lira, strict=True)
    ]
    np.testing.assert_allclose(found.T, expected, atol=1e-12)


def test_one_truth_for_all_draws(seed):
    risk, memorized, lira, _ = some(seed, levels=5)
    memorized = np.broadcast_to(memorized[0], memorized.shape)
    counts = drawn_counts(memorized, np.random.default_rng(seed))
    found = Resamples(counts, memorized, lira[0]).measures(risk)
    expected = [written_out(row, risk, memorized[0], lira[0]) for row in counts]
    np.testing.assert_allclose(found.T, expected, atol=1e-12)


def test_equal_scores_are_chance_on_every_draw():
    risk, memorized, lira, counts = some(0)
    found = Resamples(counts, memorized, lira).measures(np.zeros_like(risk))
    assert (found[0] == 0.5).all()
    assert (found[1] == 1).all()
    assert (found[2] == 0).all()
    np.testing.assert_allclose(found[3], 7 / 60)
    assert (found[4] == 0).all()


def test_each_kind_is_drawn_by_itself():
    _, memorized, _, counts = some(1)
    assert ((counts * memorized).sum(1) == 7).all()
    assert (counts.sum(1) == 60).all()
    assert counts.max() > 1
    many = np.broadcast_to(memorized[0], (20_000, 60))
    counts = drawn_counts(many, np.random.default_rng(0))
    np.testing.assert_allclose(counts.mean(0), 1, atol=0.05)
    np.testing.assert_allclose(counts[:, memorized[0]].var(0), 6 / 7, atol=0.05)


def test_ranks_share_ties():
    values = np.array([2.0, 1.0, 2.0, 0.0])
    counts = np.array([[1, 1, 1, 1], [0, 2, 1, 1]])
    ranks = Resamples(counts, counts > 9, None)._ranked(values)
    assert ranks[0].tolist() == rankdata(values).tolist()
    assert ranks[1][[1, 2, 3]].tolist() == [2.5, 4, 1]


def test_rank_correlation_is_that_of_scipy():
    risk, memorized, lira, counts = some(2)
    plain = np.ones_like(counts)
    found = Resamples(plain, memorized, lira).measures(risk)[4]
    expected = [spearmanr(row, risk).statistic for row in lira]
    np.testing.assert_allclose(found, expected)
