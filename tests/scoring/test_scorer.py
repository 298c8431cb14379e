"""SlicedMIScorer against slow oracles, closed forms and its own promises."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import POOLED, embeddings, fitted, psmi, wide_and_narrow
from scipy.stats import norm, spearmanr

from smilearn import SlicedMIScorer
from smilearn.exceptions import (
    InvalidInputError,
    LowSupportWarning,
    ReliabilityWarning,
)

DENSITIES = ["student", "gaussian"]


def by_slices(X, y, **parameters):
    return fitted(X, y, pooled=False, **parameters)


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize(
    ("leave_one_out", "orthogonal"), [(True, True), (False, False)]
)
def test_psmi_equals_the_loop(seed, density, leave_one_out, orthogonal):
    X, y = embeddings(seed, (30, 20, 10))
    options = {"density": density, "leave_one_out": leave_one_out}
    scorer = fitted(X, y, orthogonal=orthogonal, n_slices=16, **options)
    expected = psmi(X, y, scorer.directions_, **options)
    # tables instead of the exact sum: 4e-4 nats, less for more slices
    assert_allclose(scorer.psmi_, expected, atol=4e-4)
    alone = by_slices(X, y, orthogonal=orthogonal, n_slices=16, **options)
    assert_array_equal(alone.scores_, scorer.psmi_)
    assert_array_equal(alone.psmi_, scorer.psmi_)
    if not leave_one_out:  # a new sample is scored with all moments too
        assert_allclose(alone.score_samples(X, y), expected, atol=4e-4)


@pytest.mark.parametrize("weights", ["whole", "not whole"])
def test_psmi_of_weighted_samples_equals_the_loop(seed, weights):
    X, y = embeddings(seed, (20, 12, 8))
    weight = np.random.default_rng(seed).integers(1, 4, len(y)).astype(float)
    weight *= 1.0 if weights == "whole" else 0.7
    one = SlicedMIScorer(16, pooled=False, outliers=None, random_state=0)
    one.fit(X, y, sample_weight=weight)
    expected = psmi(X, y, one.directions_, weight=weight)
    assert_allclose(one.scores_, expected, atol=2e-4)


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
    scorer = fitted(X, y, dtype="float64", outliers=None, n_slices=6, **options)
    expected = psmi(X, y, scorer.directions_, **options)
    assert_allclose(scorer.psmi_, expected, rtol=1e-3, atol=1e-3)
    assert np.isfinite(scorer.scores_).all()
    assert scorer.scores_.max() <= 0


def test_known_pmi_of_two_gaussians(seed):
    """With very many samples the score is the PMI of the true densities."""
    rng = np.random.default_rng(seed)
    mean = np.array([1.0, -0.5, 0.25])
    y = (rng.random(100_000) < 0.3).astype(int)
    X = rng.normal(size=(len(y), 3)) + np.where(y[:, None] == 1, mean, -mean)
    scorer = by_slices(X, y, n_slices=12)
    points, labels = X[:200], y[:200]
    Z, shift = points @ scorer.directions_.T, scorer.directions_ @ mean
    logs = np.stack([norm.logpdf(Z, -shift), norm.logpdf(Z, shift)])
    mixture = np.logaddexp(logs[0] + np.log(0.7), logs[1] + np.log(0.3))
    own = np.where(labels[:, None] == 1, logs[1], logs[0])
    found = scorer.score_samples(points, labels)
    assert_allclose(found, (own - mixture).mean(1), atol=0.05)


def test_noise_says_nothing_whatever_the_size_of_the_class(seed):
    """PSMI 0, and the share of the class as the probability of its label."""
    sizes = np.array([2, 3, 5, 10, 30, 100, 850])
    y, scores, values = np.repeat(np.arange(7), sizes), [], []
    for draw in range(6):
        X = np.random.default_rng([seed, draw]).normal(size=(1000, 32))
        scorer = fitted(X, y)
        scores.append(scorer.scores_)
        values.append(scorer.psmi_)
    log_prior = np.log(sizes / 1000)
    mean_psmi, mean_score = (
        np.array([np.mean(each, 0)[y == c].mean() for c in range(7)])
        for each in (values, scores)
    )
    assert abs(mean_psmi).max() < 0.35
    assert abs(mean_score - log_prior)[sizes >= 10].max() < 0.35
    assert (mean_score > 2 * log_prior).all()


@POOLED
def test_predict_proba_agrees_with_score_samples_and_score(seed, pooled):
    X, y = wide_and_narrow(seed, n_classes=4, size=60)
    scorer = fitted(X, y, pooled=pooled)
    new, labels = wide_and_narrow(seed + 1, n_classes=4, size=20)
    table = scorer.predict_proba(new)
    assert table.shape == (80, 4)
    assert_allclose(table.sum(1), 1)
    own = np.log(table[np.arange(80), labels])
    assert scorer.score(new, labels) == pytest.approx(own.mean())
    weight = 1 + labels
    expected = np.average(own, weights=weight)
    assert scorer.score(new, labels, weight) == pytest.approx(expected)
    if pooled:
        assert_allclose(scorer.score_samples(new, labels), own, atol=1e-10)
        best = np.log(table.max(1))
        assert_allclose(scorer.score_samples(new), best, atol=1e-10)
        return
    columns = [scorer.score_samples(new, np.full(80, c)) for c in range(4)]
    assert_allclose(scorer.score_samples(new), np.max(columns, 0), atol=1e-10)


def test_labels_not_seen_are_left_out_of_the_mean(seed):
    X, y = embeddings(seed)
    scorer = fitted(X, y)
    more, labels = np.concatenate([X, X[:3]]), np.append(y, [7, 8, 9])
    with pytest.warns(LowSupportWarning, match="3 of 110 samples"):
        assert scorer.score(more, labels) == pytest.approx(scorer.score(X, y))


def test_probabilities_and_likely_labels_of_training_samples(seed):
    X, y = embeddings(seed, apart=3)
    words = np.array(["ham", "jam", "spam"])[y]
    words[3] = "spam"
    scorer = fitted(X, words)
    assert_array_equal(scorer.probability_, np.exp(scorer.scores_))
    assert scorer.scores_.max() <= 0
    assert scorer.scores_.argmin() == 3
    assert scorer.likely_labels_[3] == "ham"
    surely = scorer.probability_ > 0.5
    assert_array_equal(scorer.likely_labels_[surely], words[surely])
    assert not {"probability_", "likely_labels_"} & vars(by_slices(X, words)).keys()


@POOLED
def test_classes_of_one_score_by_their_share(seed, pooled):
    X, y = embeddings(seed, (40, 30, 1, 1))
    scorer = fitted(X, y)
    assert_allclose(scorer.scores_[-2:], np.log(1 / 72))
    alone = fitted(X[-2:], y[-2:], pooled=pooled)
    assert np.isfinite([*alone.scores_, *alone.score_samples(X, y * 0 + 2)]).all()
    if pooled:
        assert_allclose(alone.scores_, np.log(0.5))


@POOLED
@pytest.mark.parametrize(
    ("sizes", "n_features"),
    [((30, 20), 1), ((6, 5, 4), 80), ((3,) * 300, 20), ((50, 2), 5)],
    ids=["one feature", "n < d", "300 classes", "a rare class"],
)
def test_odd_shapes(seed, sizes, n_features, pooled):
    X, y = embeddings(seed, sizes, n_features)
    scorer = fitted(X, y, pooled=pooled)
    told = [scorer.scores_, scorer.psmi_, scorer.scores_std_, scorer.score_samples(X)]
    assert all(np.isfinite(values).all() for values in told)
    assert_allclose(scorer.predict_proba(X).sum(1), 1)
    if n_features == 1:
        assert scorer.n_slices_ == scorer.reliability_ == 1
    if pooled:
        by_chance = np.log(scorer.class_prior_)[y].mean()
        assert scorer.scores_.mean() > by_chance - 1e-6


@POOLED
def test_block_size_changes_nothing(seed, pooled):
    X, y = wide_and_narrow(seed, size=50)
    expected = fitted(X, y, pooled=pooled)
    for size in (1, 5, 64):
        blocks = fitted(X, y, block_size=size, pooled=pooled)
        assert_allclose(blocks.scores_, expected.scores_, atol=1e-6)
        assert blocks.reliability_ == pytest.approx(expected.reliability_, abs=1e-4)


def test_same_seed_same_bytes_and_the_global_stream_is_left_alone(seed):
    X, y = embeddings(seed)
    np.random.seed(1)  # noqa: NPY002
    first = fitted(X, y, random_state=seed).psmi_
    fitted(X, y, random_state=None)
    following = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert following == np.random.random()  # noqa: NPY002
    assert_array_equal(fitted(X, y, random_state=seed).psmi_, first)
    assert not np.array_equal(fitted(X, y, random_state=seed + 1).psmi_, first)


def test_offset_predict_and_decision(seed):
    X, y = embeddings(seed)
    assert fitted(X, y).offset_ == np.log(0.5)
    assert by_slices(X, y).offset_ == 0
    shared = SlicedMIScorer(64, contamination=0.1, random_state=0)
    flags = shared.fit_predict(X, y)
    assert shared.offset_ == np.quantile(shared.scores_, 0.1)
    assert (flags == -1).sum() == 11
    assert_array_equal(flags == -1, shared.scores_ < shared.offset_)
    decision = shared.decision_function(X, y)
    assert_allclose(decision, shared.score_samples(X, y) - shared.offset_)
    assert_array_equal(shared.predict(X, y), np.where(decision < 0, -1, 1))


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
    assert_array_equal(table["risk"], -scorer.scores_)
    for column, values in (
        ("probability", scorer.probability_),
        ("psmi", scorer.psmi_),
        ("std", scorer.scores_std_),
        ("most_likely_label", scorer.likely_labels_),
        ("label", y),
    ):
        assert_array_equal(table[column], values)
    alone = by_slices(X, y).to_table().columns
    assert not {"most_likely_label", "probability"} & set(alone)
    with pytest.raises(InvalidInputError, match="80"):
        scorer.to_table(texts=["text"] * 5)


def test_errors_say_what_to_do(seed):
    X, y = embeddings(seed)
    with pytest.raises(
        InvalidInputError, match=r"2 classes or more.*got 1 class: 'ham'"
    ):
        fitted(X, np.full(len(y), "ham"))
    with pytest.raises(InvalidInputError, match="between 1e-100 and 1e100"):
        fitted(1e101 * X, y)
    with pytest.raises(InvalidInputError, match=r"not seen in fit: \[7\]"):
        fitted(X, y).score_samples(X[:2], [7, 0])
    with pytest.raises(ValueError, match="continuous"):
        fitted(X, X[:, 0])
    for wrong in ({"n_slices": 0}, {"pooled": "yes"}, {"outliers": 0.5}):
        with pytest.raises(ValueError, match=f"'{next(iter(wrong))}' parameter"):
            fitted(X, y, **wrong)


def test_small_data_are_scored_in_double_precision(seed):
    X, y = embeddings(seed)
    small = fitted(X, y)
    assert_array_equal(small.scores_, fitted(X, y, dtype="float64").scores_)
    assert not np.array_equal(small.psmi_, fitted(X, y, dtype="float32").psmi_)
    assert_allclose(fitted(X, y, dtype="float32").scores_, small.scores_, atol=1e-4)


@POOLED
def test_nothing_of_an_earlier_fit_stays(seed, pooled):
    X, y = embeddings(seed, (40, 30, 20), 20)
    scorer = fitted(X, np.eye(3, dtype=int)[y], n_slices=8)
    scorer.fit(X, y).partial_fit(X, y, classes=[0, 1, 2])
    scorer.set_params(contamination="permutation").fit(X, y)
    scorer.set_params(contamination=None, pooled=pooled).fit(X[:, :9], y)
    fresh = fitted(X[:, :9], y, pooled=pooled, n_slices=8)
    assert vars(scorer).keys() == vars(fresh).keys()
    assert_allclose(scorer.scores_, fresh.scores_)


def test_auto_stops_when_the_ranking_settles(seed):
    X, y = embeddings(seed, n_features=4)
    scorer = fitted(X, y, n_slices="auto")
    assert scorer.reliability_ >= 0.95
    assert scorer.n_slices_ in (256, 512, 1024, 2048, 4096)
    assert len(scorer.directions_) == scorer.n_slices_
    other = fitted(X, y, n_slices="auto", random_state=seed + 1)
    assert spearmanr(scorer.psmi_, other.psmi_).statistic > 0.9


def test_auto_says_so_when_it_runs_out_of_slices(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(300, 200)), rng.integers(0, 3, 300)
    message = "20 slices, below 0.95. Raise max_slices=20,"
    with pytest.warns(ReliabilityWarning, match=message):
        scorer = fitted(X, y, n_slices="auto", max_slices=20)
    assert scorer.n_slices_ == 20
    assert scorer.reliability_ < 0.95


def test_reliability_foretells_the_agreement_of_seeds(seed):
    """Predicted and observed rank agreement of two runs, within 0.1."""
    X, y = embeddings(seed, sizes=(150, 90, 60), n_features=48, apart=0.3)
    for n_slices in (48, 96, 192):
        runs = [by_slices(X, y, n_slices=n_slices, random_state=s) for s in range(6)]
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
        options = {"orthogonal": orthogonal}
        runs = [by_slices(X, y, random_state=s, **options) for s in seeds]
        return np.var([run.scores_ for run in runs], axis=0).mean()

    assert spread(True) < 0.7 * spread(False)


def test_verbose_shows_slices(seed, capsys, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    X, y = embeddings(seed)
    fitted(X, y, verbose=1)
    assert "slices" in capsys.readouterr().err
    fitted(X, y, verbose=0)
    assert "slices" not in capsys.readouterr().err
