"""SlicedMIScorer on hard input, and how many slices are enough."""

import numpy as np
import pytest
from oracles import embeddings, fitted, psmi
from scipy.stats import spearmanr

from smilearn.exceptions import ReliabilityWarning

DENSITIES = ["student", "gaussian"]


def hard_cases():
    X, y = embeddings(0, sizes=(20, 8, 4))
    far, equal = X.copy(), X.copy()
    far[0] *= 1e6
    equal[y == 1] = equal[20]
    return {
        "far outlier": (far, y),
        "class of identical rows": (equal, y),
        "K = n": (X[::2], np.arange(16)),
    }


@pytest.mark.filterwarnings("ignore:The number of unique classes")
@pytest.mark.parametrize("case", hard_cases())
@pytest.mark.parametrize("leave_one_out", [True, False])
@pytest.mark.parametrize("density", DENSITIES)
def test_hard_cases_equal_the_loop(case, density, leave_one_out):
    X, y = hard_cases()[case]
    options = {"density": density, "leave_one_out": leave_one_out}
    scorer = fitted(X, y, dtype="float64", far=None, **options)
    expected = psmi(X, y, scorer.directions_, **options)
    np.testing.assert_allclose(scorer.scores_, expected, rtol=1e-3, atol=3e-4)


def test_auto_stops_when_the_ranking_settles(seed):
    X, y = embeddings(seed, n_features=4)
    scorer = fitted(X, y, n_slices="auto")
    assert scorer.reliability_ >= 0.95
    assert scorer.n_slices_ in (256, 512, 1024, 2048, 4096)
    assert len(scorer.directions_) == scorer.n_slices_
    other = fitted(X, y, n_slices="auto", random_state=seed + 1)
    assert spearmanr(scorer.scores_, other.scores_).statistic > 0.9


def test_auto_says_so_when_it_runs_out_of_slices(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(300, 200)), rng.integers(0, 3, 300)
    with pytest.warns(
        ReliabilityWarning, match="20 slices, below 0.95. Raise max_slices=20,"
    ):
        scorer = fitted(X, y, n_slices="auto", max_slices=20)
    assert scorer.n_slices_ == 20
    assert scorer.reliability_ < 0.95


def test_reliability_foretells_the_agreement_of_seeds(seed):
    """Predicted and observed rank agreement of two runs, within 0.1."""
    X, y = embeddings(seed, sizes=(150, 90, 60), n_features=48, apart=0.3)
    for n_slices in (48, 96, 192):
        runs = [fitted(X, y, n_slices=n_slices, random_state=s) for s in range(6)]
        pairs = [(a, b) for i, a in enumerate(runs) for b in runs[:i]]
        observed = np.mean(
            [spearmanr(a.scores_, b.scores_).statistic for a, b in pairs]
        )
        claimed = np.mean([run.reliability_ for run in runs])
        assert claimed == pytest.approx(observed, abs=0.1)


def test_orthogonal_slices_vary_less(seed):
    X, y = embeddings(seed, n_features=20)

    def spread(orthogonal):
        seeds = range(20 * seed, 20 * seed + 20)
        runs = [fitted(X, y, orthogonal=orthogonal, random_state=s) for s in seeds]
        return np.var([run.scores_ for run in runs], axis=0).mean()

    assert spread(True) < 0.7 * spread(False)


@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize("share", [(0.5, 0.5), (0.9, 0.07, 0.03)])
def test_permutation_flags_alpha_where_features_say_nothing(seed, share, alpha):
    """Where the rule of the paper flags about half."""
    rng = np.random.default_rng(seed)
    y = rng.choice(len(share), 2000, p=share)
    X = rng.normal(size=(2000, 10))
    options = {"contamination": "permutation", "alpha": alpha}
    scorer = fitted(X, y, n_slices=128, **options)
    flagged = (scorer.predict(X, y) == -1).mean()
    assert flagged < 3 * alpha
    assert scorer.false_flag_rate_ == pytest.approx(alpha, abs=0.6 * alpha)
    assert (fitted(X, y, n_slices=128).scores_ < 0).mean() > 0.3
    telling = X + 3 * rng.normal(size=(len(share), 10))[y]
    assert (fitted(telling, y, **options).fit_predict(telling, y) == -1).mean() < alpha
