"""Measures on resamples of samples and models: against loops, and in simulations."""

import numpy as np
import pytest
from shadow_models import Lookup, X, audited

from smilearn import ShadowAudit, compare_scorers, metrics
from smilearn.audit._bootstrap import (
    FPR,
    TPR,
    drawn_counts,
    measures,
    resampled_ranks,
    top_size,
)
from smilearn.exceptions import InvalidInputError


def drawn(seed, n=60, n_draws=25, levels=None):
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


def measured(risk, counts, memorized, lira):
    return measures(risk, counts, memorized, resampled_ranks(lira, counts))


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
    risk, memorized, lira, counts = drawn(seed, levels=levels)
    found = measured(risk, counts, memorized, lira)
    expected = [
        written_out(*row)
        for row in zip(counts, [risk] * len(counts), memorized, lira, strict=True)
    ]
    np.testing.assert_allclose(found.T, expected, atol=1e-12)


class Shadows:
    """An audit of noisy models: the truth is their mean."""

    def __init__(self, seed, n_models=16, n=300, noise=2.0, lira=None):
        rng = np.random.default_rng(seed)
        self.lira = rng.normal(size=n) if lira is None else lira
        self.models = self.lira + noise * rng.normal(size=(n_models, n))
        self.drawn = []

    def __call__(self, models):
        self.drawn.append(models)
        return self.models[models].mean(0)


def test_models_are_drawn_by_halves():
    shadows = Shadows(0)
    scores = {"loss": -shadows.lira}
    settings = {"n_bootstrap": 30, "random_state": 0}
    table = compare_scorers(scores, truth=shadows, n_models=16, **settings)
    whole, *halves = shadows.drawn
    assert whole.tolist() == list(range(16))
    assert len(halves) == 30
    assert all(len(set(half.tolist())) == 8 for half in halves)
    assert table.over == "samples and shadow models"
    lira = shadows.models.mean(0)
    plain = compare_scorers(scores, lira=lira, **settings)
    assert (table["value"] == plain["value"]).all()


def test_intervals_over_models_stand_around_the_value_and_are_wider():
    shadows = Shadows(1)
    scores = {"loss": -shadows.lira + np.random.default_rng(9).normal(size=300)}
    lira = shadows(np.arange(16))
    plain = compare_scorers(scores, lira=lira, random_state=0)
    table = compare_scorers(
        scores, lira=lira, truth=shadows, n_models=16, random_state=0
    )
    assert (table["low"] < table["value"]).all()
    assert (table["value"] < table["high"]).all()
    width, plain_width = (t["high"] - t["low"] for t in (table, plain))
    assert (width[[0, 4]] > 1.1 * plain_width[[0, 4]]).all()


def spread(seeds, given, noise=1.0, shared=0.0):
    """Width of the intervals, and of those that audits anew would need."""
    values, widths = [], []
    for seed in seeds:
        rng = np.random.default_rng(1000 + seed)
        shadows = Shadows(seed, noise=noise)
        common = rng.normal(size=300)
        shadows.models += shared * rng.normal(size=(16, 1)) * common
        scores = {"loss": -shadows.lira - common}
        settings = {"n_bootstrap": 100, "random_state": seed}
        table = compare_scorers(scores, **given(shadows), **settings)
        values.append(table["value"][[0, 4]])
        widths.append((table["high"] - table["low"])[[0, 4]])
    return np.mean(widths, axis=0), 2 * 1.96 * np.std(values, axis=0)


def over_models(shadows):
    return {"truth": shadows, "n_models": 16}


def over_samples(shadows):
    return {"lira": shadows(np.arange(16))}


def test_noise_of_single_samples_is_allowed_for_by_both():
    width, needed = spread(range(40), over_samples, noise=3.0)
    assert ((width > 0.8 * needed) & (width < 1.25 * needed)).all()
    width, needed = spread(range(40), over_models, noise=3.0)
    assert ((width > 0.9 * needed) & (width < 1.8 * needed)).all()


def test_what_is_named_as_memorized_stays_so_whatever_the_models_say():
    """Models only change what is compared with them, the rank correlation."""
    shadows, memorized = Shadows(2), np.arange(300) % 20 == 0
    noise = np.random.default_rng(0).normal(size=300)
    scores = {"loss": noise - 1.5 * memorized}
    table = compare_scorers(
        scores, memorized, truth=shadows, n_models=16, random_state=0
    )
    plain = compare_scorers(scores, memorized, random_state=0)
    for name in ("low", "high"):
        np.testing.assert_allclose(table[name][:4], plain[name], atol=0.06)
    assert table["low"][4] < table["value"][4] < table["high"][4]


def test_ties_of_the_truth_do_not_go_by_the_order_of_the_samples(seed):
    lira = np.random.default_rng(seed).integers(0, 2, 400).astype(float)
    rows = np.arange(400.0)
    table = compare_scorers({"up": rows, "down": -rows}, lira=lira, random_state=0)
    assert np.abs(table["value"][[0, 5]] - 0.5).max() < 0.15


def test_an_audit_stands_for_its_truth_and_its_models():
    audit = audited(n_shadow=16)
    scores = {"known": -audit.counterfactual_gap_, "row": X[:, 0]}
    table = compare_scorers(scores, audit=audit, n_bootstrap=50, random_state=0)
    by_hand = compare_scorers(
        scores,
        lira=audit.lira_,
        truth=audit.lira_of,
        n_models=16,
        n_bootstrap=50,
        random_state=0,
    )
    assert table.over == "samples and shadow models"
    assert table.reference is None
    assert table["value"][0] == 1
    for name in ("value", "low", "high"):
        assert (table[name] == by_hand[name]).all()
    for mistake in (Lookup(), ShadowAudit(Lookup())):
        with pytest.raises(InvalidInputError, match="must be a fitted ShadowAudit"):
            compare_scorers(scores, audit=mistake)
    with pytest.raises(InvalidInputError, match="not both"):
        compare_scorers(scores, audit=audit, lira=audit.lira_)
