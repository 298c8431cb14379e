"""The score below which samples are flagged."""

import numpy as np
import pytest
from oracles import embeddings, fitted


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize("share", [(0.5, 0.5), (0.9, 0.07, 0.03)])
def test_permutation_flags_alpha_where_features_say_nothing(
    seed, share, alpha, pooled
):
    """Where the rule of the paper flags about half."""
    rng = np.random.default_rng(seed)
    y = rng.choice(len(share), 2000, p=share)
    X = rng.normal(size=(2000, 10))
    options = {"alpha": alpha, "pooled": pooled, "n_slices": 48}
    scorer = fitted(X, y, contamination="permutation", **options)
    flagged = (scorer.predict(X, y) == -1).mean()
    assert flagged < 3 * alpha
    assert scorer.false_flag_rate_ == pytest.approx(alpha, abs=0.6 * alpha)
    if not pooled:
        assert (fitted(X, y, pooled=False).scores_ < 0).mean() > 0.3
    telling = X + 3 * rng.normal(size=(len(share), 10))[y]
    one = fitted(telling, y, contamination="permutation", **options)
    assert (one.scores_ < one.offset_).mean() < alpha


def test_permutation_is_of_the_seed(seed):
    X, y = embeddings(seed)
    first, again = (fitted(X, y, contamination="permutation") for _ in range(2))
    assert first.offset_ == again.offset_
    weighted = fitted(X, y, contamination="permutation")
    weighted.fit(X, y, sample_weight=np.where(y == 1, 0.5, 1.0))
    assert np.isfinite(weighted.offset_)
