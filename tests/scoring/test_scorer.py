"""SlicedMIScorer against slow oracles, closed forms and its own promises."""

import numpy as np
import pytest
from oracles import embeddings, fitted, psmi
from scipy.stats import norm

from smilearn import SlicedMIScorer
from smilearn.exceptions import InvalidInputError

DENSITIES = ["student", "gaussian"]


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("leave_one_out", [True, False])
@pytest.mark.parametrize("orthogonal", [True, False])
def test_equals_the_loop(seed, density, leave_one_out, orthogonal):
    X, y = embeddings(seed)
    options = {"density": density, "leave_one_out": leave_one_out}
    scorer = fitted(X, y, orthogonal=orthogonal, **options)
    expected = psmi(X, y, scorer.directions_, **options)
    # tables instead of the exact sum: 2e-4 nats for 64 slices, less for more
    np.testing.assert_allclose(scorer.scores_, expected, atol=2e-4)


@pytest.mark.parametrize("density", DENSITIES)
def test_new_samples_equal_the_loop_over_them(seed, density):
    """A new sample is scored with all moments: as an in-sample one is."""
    X, y = embeddings(seed)
    scorer = fitted(X, y, density=density)
    expected = psmi(X, y, scorer.directions_, density=density, leave_one_out=False)
    np.testing.assert_allclose(scorer.score_samples(X, y), expected, atol=2e-4)


def test_known_pmi_of_two_gaussians(seed):
    """With very many samples the score is the PMI of the true densities."""
    rng = np.random.default_rng(seed)
    mean = np.array([1.0, -0.5, 0.25])
    y = (rng.random(200_000) < 0.3).astype(int)
    X = rng.normal(size=(len(y), 3)) + np.where(y[:, None] == 1, mean, -mean)
    scorer = fitted(X, y, n_slices=12)
    points, labels = X[:200], y[:200]
    Z, shift = points @ scorer.directions_.T, scorer.directions_ @ mean
    logs = np.stack([norm.logpdf(Z, -shift), norm.logpdf(Z, shift)])
    mixture = np.logaddexp(logs[0] + np.log(0.7), logs[1] + np.log(0.3))
    own = np.where(labels[:, None] == 1, logs[1], logs[0])
    expected = (own - mixture).mean(1)
    np.testing.assert_allclose(
        scorer.score_samples(points, labels), expected, atol=0.05
    )


def test_block_size_changes_nothing(seed):
    X, y = embeddings(seed)
    expected = fitted(X, y)
    for size in (1, 5, 64):
        blocks = fitted(X, y, block_size=size)
        np.testing.assert_allclose(blocks.scores_, expected.scores_, atol=1e-6)
        assert blocks.reliability_ == pytest.approx(expected.reliability_, abs=1e-4)


def test_same_seed_same_bytes_and_the_global_stream_is_left_alone(seed):
    X, y = embeddings(seed)
    np.random.seed(1)  # noqa: NPY002
    first = fitted(X, y, random_state=seed).scores_
    fitted(X, y, random_state=None)
    following = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert following == np.random.random()  # noqa: NPY002
    np.testing.assert_array_equal(fitted(X, y, random_state=seed).scores_, first)
    assert not np.array_equal(fitted(X, y, random_state=seed + 1).scores_, first)


def test_noise_scores_zero_whatever_the_size_of_the_class(seed):
    sizes = np.array([2, 3, 5, 10, 30, 100, 850])
    y = np.repeat(np.arange(7), sizes)
    for leave_one_out in (True, False):
        scores = []
        for draw in range(8):
            rng = np.random.default_rng([seed, draw])
            X = rng.normal(size=(1000, 64))
            scores.append(fitted(X, y, leave_one_out=leave_one_out).scores_)
        by_class = [np.mean(scores, 0)[y == c].mean() for c in range(7)]
        assert np.abs(by_class).max() < 0.3


def test_score_is_the_label_contrast(seed):
    X, y = embeddings(seed)
    scorer = fitted(X, y)
    table = scorer.score_table(X)
    pairs = [
        (table[i, y[i]] > table[i, c]) + 0.5 * (table[i, y[i]] == table[i, c])
        for i in range(len(y))
        for c in range(3)
        if c != y[i]
    ]
    assert scorer.score(X, y) == pytest.approx(np.mean(pairs))
    noise = np.random.default_rng(seed).normal(size=X.shape)
    assert scorer.score(noise, y) < scorer.score(X, y)


def test_offset_predict_and_decision(seed):
    X, y = embeddings(seed)
    scorer = fitted(X, y)
    assert scorer.offset_ == 0
    shared = SlicedMIScorer(64, contamination=0.1, random_state=0)
    flags = shared.fit_predict(X, y)
    assert shared.offset_ == np.quantile(shared.scores_, 0.1)
    assert (flags == -1).sum() == 11
    np.testing.assert_array_equal(flags == -1, shared.scores_ < shared.offset_)
    decision = shared.decision_function(X, y)
    np.testing.assert_allclose(decision, shared.score_samples(X, y) - shared.offset_)
    np.testing.assert_array_equal(shared.predict(X, y), np.where(decision < 0, -1, 1))


def test_to_table(seed):
    X, y = embeddings(seed, sizes=(50, 30), apart=3)
    y = np.array(["ham", "spam"])[y]
    y[3] = "spam"
    scorer = fitted(X, y)
    table = scorer.to_table(X, texts=[f"text {i}" for i in range(80)])
    worst = table.riskiest(1)
    assert worst["id"].tolist() == [3]
    assert worst["most_likely_label"].tolist() == ["ham"]
    assert worst["class_support"].tolist() == [31]
    np.testing.assert_array_equal(table["risk"], -scorer.scores_)
    assert "most_likely_label" not in scorer.to_table().columns
    with pytest.raises(InvalidInputError, match="80 training samples; got 5"):
        scorer.to_table(X[:5])


def test_errors_say_what_to_do(seed):
    X, y = embeddings(seed)
    with pytest.raises(
        InvalidInputError, match=r"2 classes or more.*got 1 class: 'ham'"
    ):
        fitted(X, np.full(len(y), "ham"))
    with pytest.raises(ValueError, match="NaN"):
        fitted(np.where(X > 2, np.nan, X), y)
    with pytest.raises(ValueError, match="infinity"):
        fitted(np.where(X > 2, np.inf, X), y)
    with pytest.raises(InvalidInputError, match=r"not seen in fit: \[7\]"):
        fitted(X, y).score_samples(X[:2], [7, 0])
    with pytest.raises(ValueError, match="continuous"):
        fitted(X, X[:, 0])
    with pytest.raises(ValueError, match="'n_slices' parameter"):
        fitted(X, y, n_slices=0)


def test_small_data_are_scored_in_double_precision(seed):
    X, y = embeddings(seed)
    small = fitted(X, y)
    assert small.dtype_ == "float64"
    np.testing.assert_array_equal(small.scores_, fitted(X, y, dtype="float64").scores_)
    wide = np.random.default_rng(seed).normal(size=(len(y), 10_001))
    large = fitted(wide, y, n_slices=2)
    assert large.dtype_ == "float32"
    assert fitted(X, y, slicing="adaptive").members_["joint"].dtype_ == "float64"
