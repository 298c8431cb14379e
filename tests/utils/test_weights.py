import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import embeddings
from scipy import stats
from scipy.special import logsumexp

from smilearn import SlicedMIScorer
from smilearn.exceptions import InvalidInputError
from smilearn.metrics import label_contrast
from smilearn.scoring._samples import folds_of
from smilearn.utils._weights import ranks, weighted_quantile

FAMILIES = ["isotropic", "principal", "adaptive"]


def scorer(**parameters):
    defaults = {"n_slices": 40, "random_state": 0, "dtype": "float64"}
    defaults["slicing"] = "isotropic"
    return SlicedMIScorer(**defaults | parameters)


def weighted_problem(seed):
    X, y = embeddings(seed, (40, 30, 12), 7, apart=0.8)
    weight = np.random.default_rng(seed).integers(1, 4, len(y))
    return X, y, weight


@pytest.mark.parametrize("contamination", [None, 0.1])
@pytest.mark.parametrize("density", ["student", "gaussian"])
@pytest.mark.parametrize("slicing", FAMILIES)
def test_a_weight_counts_copies(seed, slicing, density, contamination):
    X, y, weight = weighted_problem(seed)
    parameters = {"slicing": slicing, "density": density}
    weighted = scorer(contamination=contamination, **parameters)
    weighted.fit(X, y, sample_weight=weight)
    copies = np.repeat(np.arange(len(y)), weight)
    repeated = scorer(contamination=contamination, **parameters)
    repeated.fit(X[copies], y[copies])
    exact = {"rtol": 1e-4, "atol": 1e-4}
    assert_allclose(weighted.scores_[copies], repeated.scores_, **exact)
    assert_allclose(weighted.scores_std_[copies], repeated.scores_std_, **exact)
    assert weighted.reliability_ == pytest.approx(repeated.reliability_, abs=1e-3)
    assert weighted.offset_ == pytest.approx(repeated.offset_, abs=1e-4)
    assert_array_equal(weighted.class_count_, repeated.class_count_)
    fresh = embeddings(seed, (40, 30, 12), 7, apart=0.8)[0][:9]
    assert_allclose(weighted.score_table(fresh), repeated.score_table(fresh), **exact)


@pytest.mark.parametrize("slicing", FAMILIES)
def test_samples_of_no_weight_teach_nothing_and_are_scored(seed, slicing):
    X, y, weight = weighted_problem(seed)
    weight[::4] = 0
    used = weight > 0
    whole = scorer(slicing=slicing).fit(X, y, sample_weight=weight)
    part = scorer(slicing=slicing).fit(X[used], y[used], sample_weight=weight[used])
    assert_allclose(whole.scores_[used], part.scores_, atol=1e-9)
    expected = part.score_samples(X[~used], y[~used])
    assert_allclose(whole.scores_[~used], expected, atol=1e-9)
    assert np.isfinite(whole.scores_std_).all()
    if slicing != "joint":
        assert (whole.scores_std_ > 0).all()
    assert_array_equal(whole.labels_, y)
    assert len(whole.to_table()) == len(y)


def student_t(z, own, weight, pooled):
    """Posterior predictive of weighted samples, from its definition."""
    n = weight.sum()
    mean = np.average(own, weights=weight)
    squares = 2 * pooled + weight @ (own - mean) ** 2 + n / (1 + n) * mean**2
    scale = np.sqrt(squares / (2 + n) * (1 + 1 / (1 + n)))
    return stats.t.logpdf(z, 2 + n, loc=n * mean / (1 + n), scale=scale)


def test_weights_that_are_no_whole_numbers_leave_out_folds(seed, monkeypatch):
    dealt = []

    def remember(*arguments):
        dealt.append(folds_of(*arguments))
        return dealt[-1]

    monkeypatch.setattr("smilearn.scoring._learning.folds_of", remember)
    monkeypatch.setattr(
        "smilearn.scoring._learning.row_keys", lambda X, _: np.arange(float(len(X)))
    )
    X, y, weight = weighted_problem(seed)
    weight = weight * 0.75
    one = scorer(cross_fit=4, n_slices=6).fit(X, y, sample_weight=weight)
    fold = np.empty(len(y), int)
    fold[np.argsort(y, kind="stable")] = dealt[0]
    Z = (X - one.centre_) * one.inverse_scale_ @ one.directions_.T
    log_prior, expected = np.log(one.class_prior_), np.zeros(len(y))
    for z in Z.T:
        for out in range(4):
            parts = [(fold != out) & (y == label) for label in range(3)]
            own = [(z[part], weight[part]) for part in parts]
            within = sum(w.sum() * np.cov(v, aweights=w, ddof=0) for v, w in own)
            pooled = within / sum(w.sum() - 1 for _, w in own)
            left = fold == out
            logs = np.stack([student_t(z[left], v, w, pooled) for v, w in own], 1)
            mixed = logsumexp(logs + log_prior, axis=1)
            expected[left] += logs[np.arange(left.sum()), y[left]] - mixed
    assert_allclose(one.scores_, expected / 6, atol=2e-4)


def test_wrong_weights_are_refused(seed):
    X, y, _ = weighted_problem(seed)
    for weight in (-np.ones(len(y)), np.full(len(y), np.nan), np.ones(3)):
        with pytest.raises(ValueError):
            scorer().fit(X, y, sample_weight=weight)
    with pytest.raises(InvalidInputError, match="multiplied by the number"):
        scorer().fit(X, y, sample_weight=np.full(len(y), 1 / len(y)))
    with pytest.raises(InvalidInputError, match="sum to"):
        scorer().fit(X, y, sample_weight=np.full(len(y), 1e200))
    weight = np.where(y == 2, 0.0, 1.0)
    for fit in (scorer().fit, lambda *batch: scorer().fit_batches([batch])):
        with pytest.raises(InvalidInputError, match="class 2 have weight 0"):
            fit(X, y, weight)


def test_weights_that_are_whole_but_for_rounding_are_whole(seed):
    X, y, weight = weighted_problem(seed)
    one = scorer().fit(X, y, sample_weight=weight)
    two = scorer().fit(X, y, sample_weight=weight * 0.1 * 10)
    assert_array_equal(one.scores_, two.scores_)


def test_contrast_with_weights(seed):
    rng = np.random.default_rng(seed)
    table, codes = rng.normal(size=(20, 3)), rng.integers(0, 3, 20)
    weight = rng.integers(1, 5, 20)
    copies = np.repeat(np.arange(20), weight)
    expected = label_contrast(table[copies], codes[copies])
    assert label_contrast(table, codes, weight) == pytest.approx(expected)
    X, y, weight = weighted_problem(seed)
    one = scorer().fit(X, y)
    copies = np.repeat(np.arange(len(y)), weight)
    expected = one.score(X[copies], y[copies])
    assert one.score(X, y, sample_weight=weight) == pytest.approx(expected)


def test_quantiles_and_ranks_of_copies(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 9, 30).astype(float)
    weight = rng.integers(1, 4, 30)
    copies = np.repeat(values, weight)
    shares = np.linspace(0, 1, 11)
    found = weighted_quantile(values, shares, weight)
    assert_allclose(found, np.quantile(copies, shares), atol=1e-12)
    assert_allclose(np.repeat(ranks(values, weight), weight), stats.rankdata(copies))
    assert_allclose(ranks(values), stats.rankdata(values))
