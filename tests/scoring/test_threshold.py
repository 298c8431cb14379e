"""The score below which samples are flagged."""

import numpy as np
import pytest
from oracles import embeddings, fitted


@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize("share", [(0.5, 0.5), (0.9, 0.07, 0.03)])
def test_permutation_flags_alpha_where_features_say_nothing(seed, share, alpha):
    """Where the rule of the paper flags about half."""
    rng = np.random.default_rng(seed)
    y = rng.choice(len(share), 2000, p=share)
    X = rng.normal(size=(2000, 10))
    options = {"contamination": "permutation", "alpha": alpha, "pooled": False}
    scorer = fitted(X, y, **options)
    assert (scorer.predict(X, y) == -1).mean() < 3 * alpha
    assert scorer.false_flag_rate_ == pytest.approx(alpha, abs=alpha)
    assert (fitted(X, y, pooled=False).scores_ < 0).mean() > 0.3
    telling = X + 3 * rng.normal(size=(len(share), 10))[y]
    assert (fitted(telling, y, **options).fit_predict(telling, y) == -1).mean() < alpha


@pytest.mark.parametrize("share", [(0.5, 0.5), (0.9, 0.07, 0.03)])
def test_pooled_scores_of_noise_are_flagged_as_often_on_average(seed, share):
    """A pool that trusts noise more than that of the shuffles flags more, or none."""
    rates = []
    for draw in range(6):
        rng = np.random.default_rng([seed, draw])
        X, y = rng.normal(size=(500, 10)), rng.choice(len(share), 500, p=share)
        options = {"contamination": "permutation", "alpha": 0.1, "n_slices": 8}
        scorer = fitted(X, y, **options)
        rates.append([(scorer.scores_ < scorer.offset_).mean()])
        rates[-1].append(scorer.false_flag_rate_)
    assert np.mean(rates) < 0.3


def test_permutation_is_of_the_seed(seed):
    X, y = embeddings(seed)
    first, again = (fitted(X, y, contamination="permutation") for _ in range(2))
    assert first.offset_ == again.offset_
    weighted = fitted(X, y, contamination="permutation")
    weighted.fit(X, y, sample_weight=np.where(y == 1, 0.5, 1.0))
    assert np.isfinite(weighted.offset_)


def test_shuffled_labels_flag_as_many_of_noise_as_was_asked_for():
    """By one pool for all: one fitted to each shuffle would trust it differently."""
    flagged = []
    for draw in range(6):
        rng = np.random.default_rng(draw)
        X, y = rng.normal(size=(1000, 10)), rng.choice(2, 1000)
        options = {"contamination": "permutation", "alpha": 0.05}
        scorer = fitted(X, y, n_slices=48, **options)
        flagged.append((scorer.scores_ < scorer.offset_).mean())
    assert max(flagged) < 0.12
    assert 0 < np.mean(flagged) < 0.07
