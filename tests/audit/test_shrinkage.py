"""Few models shrunk towards a score: against direct statements and known truth."""

import numpy as np
import pytest
from shadow_models import Breaking, Lookup, X, Y, audited, same
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilearn import ShadowAudit, SlicedMIScorer, audit_protection
from smilearn.audit._lira import _Side, log_lira
from smilearn.audit._shadow_answers import ShadowAnswers
from smilearn.audit._shadow_models import paired_members
from smilearn.audit._shrinkage import Shrinkage, score_columns
from smilearn.exceptions import InvalidInputError

DRAWS = 12
CODES = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [41, 17, 5]))


def simulated(n_shadow, seed, effect=1.0, n_samples=400):
    """Gaps of samples of which the score tells half; the hard ones are memorized.

    Returns the statistic, who is IN, the score and the member effect.
    """
    rng = np.random.default_rng(seed)
    B = paired_members(np.arange(n_samples) % 2, n_shadow, rng)
    score = rng.normal(size=n_samples)
    easy = score + 0.7 * rng.normal(size=n_samples)
    gain = effect * np.exp(-easy)
    T = easy + B * gain + 3.0 * rng.normal(size=B.shape)
    return T, B, score, gain


def wrong(score, gain):
    """The score, but that the samples with the highest effect are the safest."""
    safest = np.quantile(score, np.linspace(0.9, 1, len(score)))
    return np.where(gain >= np.quantile(gain, 0.9), safest, score)


def recovered(n_shadow, prior, effect=1.0):
    """Mean AUC over draws of the tenth with the highest member effect."""
    found = []
    for draw in range(DRAWS):
        T, B, score, gain = simulated(n_shadow, draw, effect)
        rng = np.random.default_rng([draw, 1])
        given = {
            "none": None,
            "score": score,
            "reversed": -score,
            "random": rng.normal(size=len(score)),
            "wrong": wrong(score, gain),
        }[prior]
        truth = gain >= np.quantile(gain, 0.9)
        found.append(roc_auc_score(truth, ShadowAnswers(B, T, prior=given).lira()))
    return np.array(found)


@pytest.mark.parametrize("n_models", [(1, 1), (2, 2), (1, 3), (0, 4)])
def test_the_posterior_is_the_best_linear_prediction(n_models, seed):
    """Values IN and OUT and all single statistics as one normal vector, conditioned."""
    rng = np.random.default_rng(seed)
    n, n_shadow = 200, sum(n_models) + 2
    B = np.zeros((n_shadow, n), bool)
    B[: n_models[0] + 1] = True
    T = rng.normal(size=n) + rng.normal(size=B.shape) + rng.normal(size=n) * B
    sides = [_Side(T, B), _Side(T, ~B)]
    model = Shrinkage(sides, score_columns(rng.normal(size=n)))
    counts = [np.full(n, n_models[0]), np.full(n, n_models[1])]
    kept = [T[: n_models[0]], T[-n_models[1] :]]
    known = [x.sum(0) / max(len(x), 1) for x in kept]
    means, variances, shared = model.posterior(counts, known)
    one, two = model.sides
    for i in range(5):
        C = np.array([[one.between[i], model.shared[i]], [0, two.between[i]]])
        C[1, 0] = C[0, 1]
        Z = np.repeat(np.eye(2), n_models, axis=0)
        noise = np.repeat([one.within[i], two.within[i]], n_models)
        gain = C @ Z.T @ np.linalg.inv(Z @ C @ Z.T + np.diag(noise))
        fit = np.array([one.fit[i], two.fit[i]])
        x = np.concatenate([part[:, i] for part in kept])
        np.testing.assert_allclose([m[i] for m in means], fit + gain @ (x - Z @ fit))
        V = C - gain @ Z @ C
        told = [[variances[0][i], shared[i]], [shared[i], variances[1][i]]]
        np.testing.assert_allclose(told, V, atol=1e-12)


def test_fit_and_variances_are_those_of_the_other_samples():
    T, B, score, _ = simulated(6, 1, n_samples=80)
    columns = score_columns(score)
    side = Shrinkage([_Side(T, B), _Side(T, ~B)], columns).sides[0]
    means = np.where(B, T, 0).sum(0) / 3
    variances = np.array([T[B[:, i], i].var(ddof=1) for i in range(80)])
    for i in range(5):
        others = np.arange(80) != i
        A = columns[others]
        beta = np.linalg.lstsq(A, means[others])[0]
        np.testing.assert_allclose(side.fit[i], columns[i] @ beta)
        within = variances[others].mean()
        np.testing.assert_allclose(side.within[i], within)
        total = ((means[others] - A @ beta) ** 2).sum() / (79 - 2)
        np.testing.assert_allclose(side.between[i], total - within / 3)


def test_variances_are_found_again():
    rng = np.random.default_rng(0)
    score, n = np.log(rng.random(20_000)), 20_000
    B = paired_members(np.zeros(n, int), 4, rng)
    value = rng.multivariate_normal([0, 0], [[2, 0.5], [0.5, 1]], n)
    T = 3 * score + np.where(B, *value.T[:, None]) + 2 * rng.normal(size=B.shape)
    model = Shrinkage([_Side(T, B), _Side(T, ~B)], score_columns(score))
    found = [model.sides[0].between, model.sides[1].between, model.shared]
    np.testing.assert_allclose(np.mean(found, 1), [2, 1, 0.5], atol=0.15)
    np.testing.assert_allclose([s.within.mean() for s in model.sides], 4, rtol=0.05)


def test_four_with_a_prior_do_what_six_do_without():
    few = {n: recovered(n, "score").mean() for n in (2, 4)}
    alone = {n: recovered(n, "none").mean() for n in (4, 6)}
    assert few[4] >= alone[6]
    assert few[2] >= alone[4] - 0.01


@pytest.mark.parametrize("n_shadow", [2, 4, 6])
def test_a_prior_that_says_nothing_does_no_harm(n_shadow):
    difference = recovered(n_shadow, "random") - recovered(n_shadow, "none")
    assert difference.mean() > -2 * difference.std() / DRAWS**0.5


def test_what_counts_is_what_the_score_foretells_not_its_sign():
    with_reversed = recovered(4, "reversed").mean()
    assert with_reversed > (recovered(4, "score") + recovered(4, "none")).mean() / 2


def test_a_prior_that_is_wrong_on_purpose_fades():
    lost = {
        n: (recovered(n, "none") - recovered(n, "wrong")).mean() for n in (4, 8, 128)
    }
    assert max(lost.values()) < 0.01
    assert lost[128] < 0.002
    T, B, score, gain = simulated(128, 0)
    shrunk = ShadowAnswers(B, T, prior=wrong(score, gain))
    gaps = ShadowAnswers(B, T).memorization_gap()[0], shrunk.memorization_gap()[0]
    assert np.corrcoef(gaps)[0, 1] > 0.99


@pytest.mark.parametrize("n_shadow", [2, 4, 8])
@pytest.mark.parametrize("kind", ["noise", "of the samples"])
def test_what_memorizes_nothing_is_at_chance(n_shadow, kind, seed):
    """Whatever the score tells of the samples, it tells nothing of membership."""
    found = []
    for draw in range(30):
        T, B, score, _ = simulated(n_shadow, [seed, draw], 0.0, n_samples=101)
        if kind == "noise":
            T = np.random.default_rng([seed, draw, 1]).normal(size=T.shape)
        ratios = log_lira(T, B, score_columns(score), equal_counts=True)
        found.append(roc_auc_score(B.ravel(), ratios.ravel()))
    assert abs(np.mean(found) - 0.5) < 4 * np.std(found) / 30**0.5


@pytest.mark.parametrize("n_shadow", [2, 4, 8])
def test_planted_samples_are_on_top_and_their_errors_are_finite(n_shadow, seed):
    prior = np.random.default_rng(seed).normal(size=60)
    audit = audited(n_shadow=n_shadow, seed=seed, prior=prior)
    planted = np.arange(60) < 6
    assert roc_auc_score(planted, audit.lira_) > 0.99
    assert np.isfinite(audit.lira_std_).all()
    assert (np.abs(audit.counterfactual_) <= 1).all()
    assert (audit.counterfactual_std_ > 0).all()
    gap = audit.counterfactual_gap_
    assert gap[planted].min() > gap[~planted].max()


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("n_shadow", [2, 4])
def test_errors_are_about_as_large_as_they_say(n_shadow, is_told):
    """Of the same samples, with other models each time."""
    found, told = [], []
    _, _, score, gain = simulated(n_shadow, 0)
    rng = np.random.default_rng(5)
    easy, noise = score + 0.7 * rng.normal(size=400), rng.normal(size=400)
    for _ in range(60):
        B = paired_members(np.arange(400) % 2, n_shadow, rng)
        T = easy + B * gain + 3.0 * rng.normal(size=B.shape)
        prior = score if is_told else noise
        answers = ShadowAnswers(B, T, prior=prior)
        found.append([answers.lira(), answers.memorization_gap()[0]])
        told.append([answers.lira_std(), answers.memorization_gap()[1]])
    for k in range(2):
        true = np.std([f[k] for f in found], axis=0).mean()
        ratio = np.mean([t[k] for t in told]) / true
        assert 0.5 < ratio < 2.5, k


@pytest.mark.parametrize("noise", [0.3, 3.0])
@pytest.mark.parametrize("n_shadow", [2, 4, 8])
def test_intervals_hold_the_truth_where_samples_differ_and_the_score_is_useless(
    n_shadow, noise, seed
):
    rng = np.random.default_rng(seed)
    B = paired_members(np.arange(400) % 2, n_shadow, rng)
    gain = rng.exponential(size=400)
    T = 4 * rng.normal(size=400) + B * gain + noise * rng.normal(size=B.shape)
    answers = ShadowAnswers(B, T, prior=rng.normal(size=400))
    found, error = answers.memorization_gap()
    assert 0.9 < (np.abs(found - gain) < 2 * error).mean() < 0.99


@pytest.mark.parametrize("size", [1e3, 1e9, 1e100])
def test_one_sample_does_not_set_the_unit_of_the_others(size, seed):
    T, B, score, _ = simulated(8, seed)
    wild = np.where(np.arange(400) == 0, size * T, T)
    plain, other = (ShadowAnswers(B, t, prior=score).lira()[1:] for t in (T, wild))
    assert np.corrcoef(plain, other)[0, 1] > 0.99
    assert 0.8 < other.std() / plain.std() < 1.25


def test_how_far_out_a_score_is_does_not_matter():
    T, B, score, _ = simulated(4, 0)
    lowest = np.arange(400) == score.argmin()
    far = ShadowAnswers(B, T, prior=np.where(lowest, -700, score)).lira()
    np.testing.assert_array_equal(ShadowAnswers(B, T, prior=score).lira(), far)


def test_the_error_of_one_target_is_that_of_its_ratio():
    T, B, score, _ = simulated(8, 0)
    answers = ShadowAnswers(B, T, prior=score)
    others = [answers.of(np.arange(8) != j).lira(2) for j in range(8) if j > 2]
    others += [answers.of(np.arange(8) != j).lira(1) for j in range(2)]
    expected = np.std(others, axis=0) * np.sqrt(6)
    np.testing.assert_allclose(answers.lira_std(2), expected)


def test_no_rate_is_known_for_certain():
    T, B, score, _ = simulated(4, 0)
    always = ShadowAnswers(B, T, correct=np.ones(T.shape, bool), prior=score)
    difference, error = always.memorization()
    assert (difference == 0).all()
    np.testing.assert_allclose(error, np.sqrt(1 / T.size))  # 2 models on each side


@pytest.mark.parametrize(
    "settings", [{"share": 0.25}, {"target": 3}, {"statistic": "loss"}], ids=str
)
def test_other_settings_subsets_of_models_and_filters(settings):
    prior = np.random.default_rng(0).normal(size=60)
    audit = audited(n_shadow=8, prior=prior, **settings)
    planted = audit.audited_ & (np.arange(60) < 6)
    assert roc_auc_score(planted[audit.audited_], audit.lira_[audit.audited_]) > 0.99
    for models in ([3], [0, 1, 2], [0, 2, 4, 6]):
        assert np.isfinite(audit.lira_of(models)).all()
    effect = audit_protection(audit, [0, 1, 20], X, Y, control=False, n_bootstrap=10)
    assert np.isfinite(effect["value"]).all()


@pytest.mark.parametrize("kind", ["constant", "huge", "tiny", "one", "half"])
def test_never_nan(kind):
    for n_shadow, n_samples in ((2, 6), (4, 6), (4, 60)):
        T, B, score, _ = simulated(n_shadow, 0, n_samples=n_samples)
        T = {
            "constant": np.full(T.shape, 7.0),
            "huge": T * 1e300,
            "tiny": T * 1e-300,
            "one": np.where(np.arange(n_samples) == 0, 1e9, T),
            "half": np.where(np.arange(n_samples) % 2, T, 0.0),
        }[kind]
        for prior in (score, 0 * score, np.where(score > 0, 1e200, score)):
            answers = ShadowAnswers(B, T, correct=T > 0, prior=prior)
            numbers = [answers.lira(), answers.lira_std(), *answers.memorization()]
            assert np.isfinite([*numbers, *answers.memorization_gap()]).all()
            assert np.isfinite(answers.log_lira(equal_counts=True)).all()


@pytest.mark.parametrize("n_shadow", [2, 4, 64])
def test_pairs_are_complementary_balanced_and_the_start_of_more(n_shadow, seed):
    members = paired_members(CODES, n_shadow, np.random.default_rng(seed))
    assert (members[::2] ^ members[1::2]).all()
    assert np.ptp(members.sum(1)) <= 1
    for code in range(3):
        counts = members[:, code == CODES].sum(1)
        assert np.ptp(counts) <= 1
    more = paired_members(CODES, n_shadow + 6, np.random.default_rng(seed))
    assert (more[:n_shadow] == members).all()
    assert n_shadow == 2 or (members[0] != members[2]).any()


def test_a_run_that_is_cut_off_and_raised_gives_what_one_run_gives(tmp_path):
    prior, counter, run = X[:, 1], tmp_path / "counter", tmp_path / "run"
    settings = {"checkpoint_folder": run, "prior": prior}
    breaking = Breaking(str(counter), 2, n_planted=6)  # breaks down after two fits
    for n_shadow, n_kept in ((4, 2), (8, 6)):
        with pytest.raises(RuntimeError, match="went down"):
            audited(breaking, n_shadow=n_shadow, **settings)
        assert len([*run.glob("shadow-*")]) == n_kept
        counter.unlink()
        again = audited(breaking, n_shadow=n_shadow, **settings)
        assert counter.read_text() == "2"  # and none of those that were there
        assert same(again, audited(n_shadow=n_shadow, prior=prior))
        counter.unlink()
    assert same(
        audited(breaking, n_shadow=4, **settings), audited(prior=prior, n_shadow=4)
    )
    alone = audited(breaking, n_shadow=8, checkpoint_folder=run)
    assert same(alone, audited())  # without the prior, from the same folder
    assert not counter.exists()


def test_other_shares_keep_their_number_of_models(tmp_path):
    settings = {"share": 0.25, "checkpoint_folder": tmp_path / "run"}
    audited(n_shadow=4, **settings)
    with pytest.raises(InvalidInputError, match="a run with other n_shadow"):
        audited(n_shadow=8, **settings)


class Unscored(BaseEstimator):
    def fit(self, X, y):
        return self


def test_a_prior_may_be_a_scorer_fitted_or_not_a_pipeline_or_scores():
    scorer = SlicedMIScorer(16, random_state=0)
    fitted = clone(scorer).fit(X, Y)
    first = audited(n_shadow=4, prior=fitted)
    assert (first.prior_scores_ == fitted.scores_).all()
    for prior in (scorer, fitted.scores_, fitted.scores_.tolist()):
        assert same(first, audited(n_shadow=4, prior=prior))
    frozen = clone(ShadowAudit(Lookup(6), n_shadow=4, prior=FrozenEstimator(fitted)))
    assert same(first, frozen.set_params(random_state=0).fit(X, Y))
    assert not hasattr(scorer, "scores_")
    pipeline = make_pipeline(StandardScaler(), SlicedMIScorer(16))
    one, two = (audited(n_shadow=4, prior=pipeline) for _ in range(2))
    assert same(one, two)  # the seed of the audit stands in
    assert not same(one, first)
    assert audited(n_shadow=4).prior_scores_ is None


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (np.zeros(59), r"each of the 60 samples; got float64 of shape \(59,\)"),
        (np.zeros((60, 1)), r"got float64 of shape \(60, 1\)"),
        (["a"] * 60, "got <U1"),
        (np.where(np.arange(60), 0, np.nan), "must be finite; 1 are not"),
        (Unscored(), "Unscored has none"),
        (SlicedMIScorer(16).fit(X, Y[::-1]), "fitted to other labels"),
        (3, "'prior' parameter"),
    ],
)
def test_mistakes(prior, message):
    with pytest.raises(ValueError, match=message):
        audited(n_shadow=4, prior=prior)


def test_a_fitted_prior_goes_with_labels_in_any_form():
    rows, labels = np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 2
    prior = SlicedMIScorer(16, random_state=0).fit(rows, np.array(["a", "b"])[labels])
    audit = ShadowAudit(GaussianNB(), n_shadow=4, prior=prior, random_state=0)
    audit.fit(rows, np.eye(2, dtype=int)[labels])
    np.testing.assert_array_equal(audit.prior_scores_, prior.scores_)
    with pytest.raises(InvalidInputError, match="fitted to other labels"):
        audit.fit(rows, labels[::-1])
