"""Samples scored by classifiers that have not seen them, pooled with a prior."""

import pickle
from contextlib import nullcontext
from functools import partial

import numpy as np
import pandas as pd
import pytest
from finetuning_data import TEXTS, Y, make
from scipy.sparse import csr_array
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import smilearn
from smilearn import (
    FilteredEstimator,
    FineTunedClassifier,
    HeldOutScorer,
    HiddenStateEmbedder,
    RiskFilter,
    ShadowAudit,
    SlicedMIScorer,
    compare_scorers,
)
from smilearn.exceptions import CacheWarning, InvalidInputError, LowSupportWarning
from smilearn.finetuning._held_out_runs import fold_evidence

QUICK = SlicedMIScorer(32, random_state=0)


def samples(seed=0, n=300, n_classes=3, sep=3.0):
    """Groups of which some labels are wrong."""
    rng = np.random.default_rng(seed)
    clean = np.arange(n) % n_classes
    X = rng.normal(size=(n, 8)) + sep * np.eye(8)[clean]
    wrong = rng.random(n) < 0.08
    return X, np.where(wrong, (clean + 1) % n_classes, clean), wrong


X, LABELS, WRONG = samples()
NEW, NEW_LABELS, NEW_WRONG = samples(seed=1)


def scorer(estimator=None, **settings):
    settings = {"prior": QUICK, "random_state": 0} | settings
    return HeldOutScorer(estimator or LogisticRegression(), **settings)


def not_to_hold(estimator):
    name, why = "check_sample_weight_equivalence_on_{}_data", "copies part over folds"
    return {name.format(kind): why for kind in ("dense", "sparse")}


@pytest.mark.filterwarnings("ignore::smilearn.exceptions.SmilearnWarning")
@parametrize_with_checks(
    [scorer(prior="embeddings"), scorer(prior=None)],
    expected_failed_checks=not_to_hold,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("n_folds", [2, 5])
def test_wrong_labels_are_at_risk(n_folds):
    one = scorer(n_folds=n_folds, prior="embeddings").fit(X, LABELS)
    for scores in (one.scores_, one.margin_, one.probability_):
        assert roc_auc_score(WRONG, -scores) > 0.95
    assert (one.likely_labels_[WRONG] == np.arange(300)[WRONG] % 3).mean() > 0.8
    assert (one.fit_predict(X, LABELS)[WRONG] == -1).mean() > 0.8
    assert roc_auc_score(NEW_WRONG, -one.score_samples(NEW, NEW_LABELS)) > 0.95
    assert one.cost_ == pytest.approx(n_folds - 1)


def test_no_run_has_seen_what_it_scores():
    one = scorer(n_folds=3).fit(X, LABELS)
    counts = [np.bincount(LABELS[one.folds_ == fold]) for fold in range(3)]
    assert np.ptp(counts, axis=0).max() <= 1
    for fold in range(3):
        held = one.folds_ == fold
        model = LogisticRegression().fit(X[~held], LABELS[~held])
        expected = model.predict_log_proba(X[held])
        np.testing.assert_allclose(one.held_out_[held], expected, atol=1e-9)
    own = one.held_out_[np.arange(300), LABELS]
    others = np.where(np.eye(3)[LABELS] == 1, -np.inf, one.held_out_).max(1)
    np.testing.assert_allclose(one.margin_, own - others)


def test_scores_are_the_pool_of_its_evidence():
    one = scorer(prior=None).fit(X, LABELS)
    weights, log_prior = one.pool_["weights"], np.log(np.bincount(LABELS) / 300)
    evidence = weights["held_out"] * (one.held_out_ - log_prior)
    table = log_softmax(evidence + weights["prior"] * log_prior, axis=1)
    np.testing.assert_allclose(one.scores_, table[np.arange(300), LABELS])
    both = scorer().fit(X, LABELS)
    alone = clone(QUICK).fit(X, LABELS)
    np.testing.assert_array_equal(both.psmi_, alone.psmi_)
    assert not hasattr(both.set_params(prior=None).fit(X, LABELS), "psmi_")


def test_the_prior_alone_is_left_out():
    """With runs that say nothing, what is left is the prior scorer's own score."""
    one = scorer(DummyClassifier(), prior=QUICK).fit(X, LABELS)
    alone = clone(QUICK).fit(X, LABELS)
    weights = one.pool_["weights"]
    assert weights["held_out"] == 0
    np.testing.assert_allclose(one.scores_, alone.scores_, atol=0.05)
    new = one.score_samples(NEW, NEW_LABELS)
    np.testing.assert_allclose(new, alone.score_samples(NEW, NEW_LABELS), atol=0.05)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("useless", ["runs", "prior", "neither"])
def test_never_far_behind_its_better_part(seed, useless):
    X, y, wrong = samples(seed, sep=1.2)
    noise = make_pipeline(Noise(), QUICK)
    estimator = DummyClassifier() if useless == "runs" else LogisticRegression()
    prior = noise if useless == "prior" else QUICK
    one = scorer(estimator, prior=prior).fit(X, y)
    runs = scorer(estimator, prior=None).fit(X, y)
    alone = clone(prior).fit(X, y)
    alone = getattr(alone, "steps", [("", alone)])[-1][1]
    parts = [roc_auc_score(wrong, -each.scores_) for each in (runs, alone)]
    assert roc_auc_score(wrong, -one.scores_) > max(parts) - 0.02
    means = [each.scores_.mean() for each in (runs, alone)]
    assert one.scores_.mean() > max(means) - 0.01


class Noise:
    """A transformer that forgets its input; the same rows each time."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.random.default_rng(0).normal(size=(len(X), 6))

    def fit_transform(self, X, y=None):
        return self.transform(X)


def test_pure_noise_separates_nothing():
    rng = np.random.default_rng(3)
    y = rng.permutation(np.repeat([0, 1], 150))
    picked = np.arange(300) < 30
    one = scorer().fit(rng.normal(size=(300, 6)), y)
    assert np.abs(one.scores_ - np.log(0.5)).mean() < 0.15
    assert abs(roc_auc_score(picked, -one.scores_) - 0.5) < 0.15


@pytest.mark.parametrize("n_folds", [2, 4])
def test_a_lone_sample_scores_the_log_of_its_share(n_folds):
    y = np.where(np.arange(300) == 7, 9, LABELS)
    with pytest.warns(LowSupportWarning, match=r"one sample.*\[9\]"):
        one = scorer(GaussianNB(), n_folds=n_folds).fit(X, y)
    assert one.scores_[7] == pytest.approx(np.log(1 / 300))
    for values in (one.scores_, one.held_out_, one.margin_, one.score_samples(X, y)):
        assert np.isfinite(values).all()
    assert one.predict_proba(NEW).sum(1) == pytest.approx(1)


def test_two_samples_of_a_class_and_probabilities_of_0_are_bounded():
    y = np.where(np.isin(np.arange(300), [7, 8]), 9, LABELS)
    one = scorer(GaussianNB(), n_folds=2, prior=None).fit(X * 100, y)
    assert np.isfinite(one.held_out_).all()
    assert np.isfinite(one.scores_).all()
    assert len(set(one.folds_[[7, 8]])) == 2


@pytest.mark.parametrize(
    ("y", "n_folds", "message"),
    [
        ([0, 0, 0, 0], 2, "2 classes or more"),
        ([0, 0, 0, 1], 2, "1 class to a run.*two classes or more 2 each"),
        ([0, 0, 1, 1], 5, "at most the 4 samples that differ"),
    ],
)
def test_too_little_is_refused(y, n_folds, message):
    with pytest.raises(InvalidInputError, match=message):
        scorer(n_folds=n_folds).fit(X[:4], y)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prior": LogisticRegression()}, "prior must be a SlicedMIScorer"),
        ({"prior": make_pipeline(Noise(), GaussianNB())}, "ends in one"),
        ({"n_folds": 1}, "n_folds"),
        ({"prior": "nothing"}, "prior"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        scorer(**settings).fit(X, LABELS)
    with pytest.raises(ValueError, match="not seen in fit"):
        scorer().fit(X, LABELS).score_samples(X[:1], [7])


def test_weights_go_to_all_parts():
    weight = np.where(WRONG, 0.0, 1.0)
    one = scorer().fit(X, LABELS, sample_weight=weight)
    held = one.folds_ == 0
    model = LogisticRegression().fit(X[~held], LABELS[~held], weight[~held])
    expected = model.predict_log_proba(X[held])
    np.testing.assert_allclose(one.held_out_[held], expected, atol=1e-9)
    assert roc_auc_score(WRONG, -one.scores_) > 0.97
    pipeline = scorer(make_pipeline("passthrough", LogisticRegression()))
    pipeline.fit(X, LABELS, sample_weight=weight)
    np.testing.assert_array_equal(pipeline.held_out_, one.held_out_)
    plain = scorer().fit(X, LABELS, sample_weight=np.ones(300))
    np.testing.assert_allclose(plain.scores_, scorer().fit(X, LABELS).scores_)


def test_samples_without_weight_are_scored_and_not_trained_on():
    weight = np.where(np.arange(300) < 60, 0.0, 1.0)
    one = scorer(prior=None).fit(X, LABELS, sample_weight=weight)
    used = weight > 0
    for fold in range(2):
        held = one.folds_ == fold
        counts = np.bincount(LABELS[held & used])
        assert np.abs(counts - np.bincount(LABELS[~held & used])).max() <= 1
        model = LogisticRegression().fit(X[~held & used], LABELS[~held & used])
        expected = model.predict_log_proba(X[held])
        np.testing.assert_allclose(one.held_out_[held], expected, atol=1e-9)
    with pytest.raises(InvalidInputError, match=r"1 class to a run.*have weight"):
        scorer(prior=None).fit(X, LABELS > 0, np.arange(300) < 2)
    more, labels = np.vstack([X, X[:1]]), np.append(LABELS, 7)
    weighed = np.append(np.zeros(300), 1)
    with (
        pytest.warns(LowSupportWarning, match="not seen"),
        pytest.raises(InvalidInputError, match="weight above 0"),
    ):
        one.score(more, labels, weighed)


CONTAINERS = {
    "dense": np.asarray,
    "frame": pd.DataFrame,
    "sparse": csr_array,
    "texts": lambda X: [" ".join(map(str, row)) for row in X],
    "series": lambda X: pd.Series([" ".join(map(str, row)) for row in X]),
    "objects": lambda X: X.astype(object),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_equal_samples_share_a_fold(kind):
    X, y = np.arange(40) // 2 % 7 + np.zeros((3, 1)), np.arange(40) % 3
    given = CONTAINERS[kind](X.T)
    model = DummyClassifier()
    one = scorer(model, prior=None, n_folds=3).fit(given, y)
    for value in range(7):
        assert len(set(one.folds_[X[0] == value])) == 1
    assert sorted(set(one.folds_)) == [0, 1, 2]
    with pytest.raises(InvalidInputError, match="most the 7 samples that differ"):
        scorer(model, prior=None, n_folds=8).fit(given, y)


def test_rows_that_print_alike_are_not_equal():
    rows = np.zeros((40, 1200))
    rows[:, 600] = np.arange(40) / 1e12
    for given in (rows.astype(object), list(rows)):
        one = scorer(DummyClassifier(), prior=None, n_folds=40)
        assert len(set(one.fit(given, np.arange(40) % 2).folds_)) == 40


class Unsure(LogisticRegression):
    def predict_proba(self, X):
        return np.full((len(X), 3), 0.8)

    decision_function = predict_log_proba = property()


def test_probabilities_that_sum_to_more_than_1_are_refused():
    with pytest.raises(InvalidInputError, match=r"sum to 1 for each sample; got 2\.4"):
        scorer(Unsure(), prior=None).fit(X, LABELS)


def test_a_class_of_copies_of_one_sample_scores_the_log_of_its_share():
    rows, y = X.copy(), np.where(np.isin(np.arange(300), [7, 8]), 9, LABELS)
    rows[8] = rows[7]
    with pytest.warns(LowSupportWarning, match="copies of one"):
        one = scorer(n_folds=3).fit(rows, y)
    np.testing.assert_allclose(one.scores_[[7, 8]], np.log(2 / 300))


@pytest.mark.parametrize("prior", [None, QUICK])
def test_weights_that_cannot_be_used_are_refused_before_anything_is_fitted(prior):
    refused = "KNeighborsClassifier.fit takes no sample_weight"
    with pytest.raises(InvalidInputError, match=refused):
        scorer(KNeighborsClassifier(), prior=prior).fit(X, LABELS, np.full(300, 2.0))
    with pytest.raises(InvalidInputError, match="class 1 have weight 0"):
        scorer(prior=prior).fit(X, LABELS, np.where(LABELS == 1, 0.0, 1.0))
    with pytest.raises(ValueError, match="sample_weight"):
        scorer(prior=prior).fit(X, LABELS).score(X, LABELS, np.ones(301))


def reviews(n=200):
    rng = np.random.default_rng(0)
    words = {
        0: ["dull", "awful", "bad", "cold"],
        1: ["good", "great", "warm", "bright"],
    }
    y = np.arange(n) % 2
    texts = [" ".join(rng.choice([*words[c], "the", "film"], 6)) for c in y]
    wrong = rng.random(n) < 0.06
    return texts, np.array(["down", "up"])[np.where(wrong, 1 - y, y)], wrong


@pytest.mark.parametrize("as_series", [False, True])
def test_a_pipeline_on_texts(as_series):
    texts, y, wrong = reviews()
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression())
    given = pd.Series(texts, index=[f"t{i}" for i in range(200)])
    given = given if as_series else texts
    one = scorer(pipeline, prior=make_pipeline(TfidfVectorizer(), QUICK))
    one.fit(given, y)
    assert roc_auc_score(wrong, -one.scores_) > 0.95
    table = one.to_table(given, texts=texts)
    assert {"risk", "probability", "psmi", "most_likely_label"} <= {*table.columns}
    np.testing.assert_allclose(table["risk"], -one.scores_)
    assert table["id"][0] == ("t0" if as_series else 0)
    right = one.score_samples(["a good film", "an awful film"], ["up", "down"])
    assert (right > np.log(0.5)).all()
    with pytest.raises(InvalidInputError, match="reads numbers, or texts where"):
        scorer(pipeline, prior="embeddings").fit(texts, y)


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_runs_side_by_side_give_the_same(n_jobs):
    one, two = scorer(n_folds=3), scorer(n_folds=3, n_jobs=n_jobs)
    np.testing.assert_array_equal(
        one.fit(X, LABELS).scores_, two.fit(X, LABELS).scores_
    )
    np.testing.assert_array_equal(one.score_samples(NEW), two.score_samples(NEW))


def test_a_seed_gives_the_same_and_another_one_other_folds():
    first, again, other = (
        scorer(random_state=seed).fit(X, LABELS) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.scores_, again.scores_)
    assert (first.folds_ != other.folds_).any()
    again = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(first.predict_proba(NEW), again.predict_proba(NEW))


class Killed(LogisticRegression):
    """Counts its fits; is killed at one of them."""

    fits, dies_at = 0, None

    def fit(self, X, y):
        type(self).fits += 1
        if type(self).fits == self.dies_at:
            raise KeyboardInterrupt
        return super().fit(X, y)


@pytest.mark.parametrize("random_state", [0, None])
def test_a_killed_fit_goes_on(tmp_path, monkeypatch, random_state):
    monkeypatch.setattr(Killed, "fits", 0)
    monkeypatch.setattr(Killed, "dies_at", 3)
    settings = {"random_state": random_state, "checkpoint_folder": tmp_path / "x"}
    one, again = (scorer(Killed(), n_folds=4, **settings) for _ in range(2))
    with pytest.raises(KeyboardInterrupt):
        one.fit(X, LABELS)
    monkeypatch.setattr(Killed, "dies_at", None)
    one.fit(X, LABELS)
    assert Killed.fits == 5
    assert [each is None for each in one.estimators_] == [True, True, False, False]
    np.testing.assert_array_equal(again.fit(X, LABELS).scores_, one.scores_)
    assert Killed.fits == 5
    assert again.cost_ == pytest.approx(3)
    if random_state == 0:
        whole = scorer(Killed(), n_folds=4).fit(X, LABELS)
        np.testing.assert_array_equal(whole.scores_, one.scores_)
    with pytest.raises(InvalidInputError, match="read from checkpoint_folder"):
        one.score_samples(NEW)


def test_a_folder_of_another_run_is_refused_and_a_damaged_file_made_again(tmp_path):
    one = scorer(checkpoint_folder=tmp_path).fit(X, LABELS)
    with pytest.raises(InvalidInputError, match="a run with other estimator"):
        scorer(GaussianNB(), checkpoint_folder=tmp_path).fit(X, LABELS)
    with pytest.raises(InvalidInputError, match="a run with other y"):
        scorer(checkpoint_folder=tmp_path).fit(X, 1 - (LABELS > 0))
    file = tmp_path / "run-001.npz"
    with np.load(file) as arrays:
        arrays = dict(arrays)
    forged = [
        {"table": np.zeros_like(arrays["table"])},
        {"table": arrays["table"] * np.nan},
        {"table": arrays["table"].astype(object)},
        {"table": arrays["table"].astype(np.float32)},
        {"states": arrays["states"][:-1]},
        {"epochs": np.array(np.nan)},
    ]
    damages = [partial(np.savez, file, **arrays | each) for each in forged]
    damages.append(partial(np.savez_compressed, file, **arrays))
    damages.append(partial(file.write_bytes, b"PK"))
    for damage in damages:
        damage()
        with pytest.warns(CacheWarning, match=r"run-001\.npz is damaged"):
            again = scorer(checkpoint_folder=tmp_path).fit(X, LABELS)
        np.testing.assert_array_equal(again.scores_, one.scores_)


def test_one_bar_shows_the_runs(capsys):
    scorer(verbose=1).fit(X, LABELS)
    err = capsys.readouterr().err
    assert "held-out runs: 100%" in err
    assert "2/2" in err


def test_filters_comparisons_and_searches_take_it():
    keep = RiskFilter(scorer(), n_remove=20).fit(X, LABELS)
    assert WRONG[~keep.support_].mean() > 0.8
    cut = RiskFilter(scorer()).fit(X, LABELS)
    assert not cut.support_[cut.scorer_.scores_ < np.log(0.05)].any()
    assert cut.support_[cut.scorer_.scores_ > np.log(0.05)].all()
    model = FilteredEstimator(LogisticRegression(), RiskFilter(scorer(), share=0.1))
    assert model.fit(X, LABELS).score(NEW[~NEW_WRONG], NEW_LABELS[~NEW_WRONG]) > 0.9
    pipeline = make_pipeline(Same(), scorer()).fit(X, LABELS)
    expected = scorer().fit(X, LABELS).score_samples(NEW, NEW_LABELS)
    found = smilearn.score_samples(pipeline, NEW, NEW_LABELS)
    np.testing.assert_array_equal(found, expected)
    audit = ShadowAudit(LogisticRegression(C=100), n_shadow=8, random_state=0)
    table = compare_scorers(
        {"held-out": scorer(), "sliced": QUICK},
        audit=audit.fit(X, LABELS),
        X=X,
        y=LABELS,
        n_bootstrap=20,
        random_state=0,
    )
    assert set(table["scorer"].tolist()) == {"held-out", "sliced"}
    estimators = [DummyClassifier(), LogisticRegression()]
    grid = {"estimator": estimators, "n_folds": [2, 3]}
    search = GridSearchCV(scorer(prior=None), grid, cv=3).fit(X, LABELS)
    assert search.best_params_["estimator"] is estimators[1]
    assert search.best_score_ < 0


class Same(Noise):
    def transform(self, X):
        return X


@pytest.fixture(scope="module")
def tuned(tiny_encoder, one_thread):
    classifier = make(tiny_encoder, FineTunedClassifier, max_epochs=2)
    return HeldOutScorer(classifier, random_state=0).fit(TEXTS, Y)


def test_a_fine_tune_and_the_embeddings_of_its_base_model(tuned, tiny_encoder):
    assert tuned.cost_ == pytest.approx(2)
    assert [each.history_[-1]["epoch"] for each in tuned.estimators_] == [2, 2]
    X = HiddenStateEmbedder(tiny_encoder, layer="spread").fit_transform(TEXTS)
    seed = tuned.prior_scorer_[-1].random_state
    alone = SlicedMIScorer(random_state=seed).fit(X, Y)
    np.testing.assert_array_equal(alone.psmi_, tuned.psmi_)
    parts = {"held_out", "held_out_embeddings", "prior_scorer", "prior"}
    assert set(tuned.pool_["weights"]) == parts
    assert tuned.predict_proba(TEXTS[:5]).sum(1) == pytest.approx(1)


def test_embeddings_of_the_run_that_has_not_seen_them_are_evidence(tuned, tiny_encoder):
    """The pool of what is told of each fold, from the runs as they were kept."""
    log_prior = np.log(np.bincount(Y) / len(Y))
    seed = tuned.prior_scorer_[-1].random_state
    table = np.zeros(tuned.held_out_.shape)
    for fold, run in enumerate(tuned.estimators_):
        rows = np.flatnonzero(tuned.folds_ == fold)
        states = run._read([TEXTS[row] for row in rows])[0]
        alone = SlicedMIScorer(random_state=seed).fit(states, Y[rows])
        share = np.log(np.bincount(Y[rows]) / len(rows))
        share = share * alone.pool_["weights"]["prior"]
        table[rows, Y[rows]] = alone.scores_ - share[Y[rows]]
        other = np.log1p(-np.exp(alone.scores_))
        table[rows, 1 - Y[rows]] = other - share[1 - Y[rows]]
    one = HeldOutScorer(
        make(tiny_encoder, FineTunedClassifier, max_epochs=2),
        prior=None,
        random_state=0,
    ).fit(TEXTS, Y)
    weights = one.pool_["weights"]
    assert set(weights) == {"held_out", "held_out_embeddings", "prior"}
    logits = weights["prior"] * log_prior
    logits = logits + weights["held_out"] * (one.held_out_ - log_prior)
    logits = logits + weights["held_out_embeddings"] * table
    expected = log_softmax(logits, axis=1)[np.arange(len(Y)), Y]
    np.testing.assert_allclose(one.scores_, expected, atol=1e-4)


@pytest.mark.parametrize(("n_jobs", "damaged"), [(1, False), (2, False), (1, True)])
def test_a_killed_fine_tune_goes_on_from_its_checkpoint(
    tuned, tiny_encoder, tmp_path, monkeypatch, n_jobs, damaged
):
    from smilearn.finetuning import _training

    classifier = make(tiny_encoder, FineTunedClassifier, max_epochs=2)
    one = HeldOutScorer(classifier, random_state=0, checkpoint_folder=tmp_path)
    evaluate, calls = _training.Watcher.evaluate, []

    def dies(self, step, epoch):
        calls.append(epoch)
        if len(calls) == 6:  # the last evaluation of the second run
            raise KeyboardInterrupt
        evaluate(self, step, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(_training.Watcher, "evaluate", dies)
        with pytest.raises(KeyboardInterrupt):
            one.fit(TEXTS, Y)
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"run.json", "run-000.npz", "run-001"}
    one.set_params(n_jobs=n_jobs)
    if damaged:
        newest = max(tmp_path.glob("run-001/checkpoint-*/optimizer.pt"))
        newest.write_bytes(newest.read_bytes()[:-9])
    with (
        pytest.warns(CacheWarning, match=r"run-001.*optimizer.pt is damaged")
        if damaged
        else nullcontext()
    ):
        one.fit(TEXTS, Y)
    np.testing.assert_allclose(one.held_out_, tuned.held_out_, atol=1e-6)
    np.testing.assert_allclose(one.scores_, tuned.scores_, atol=1e-6)
    assert one.cost_ == tuned.cost_
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"run.json", "run-000.npz", "run-001.npz"}


def test_checkpoints_of_ones_own_are_refused(tiny_encoder, tmp_path):
    classifier = make(tiny_encoder, FineTunedClassifier, checkpoint_folder=tmp_path)
    with pytest.raises(InvalidInputError, match="give checkpoint_folder to the scorer"):
        HeldOutScorer(classifier).fit(TEXTS, Y)


def test_classes_without_others_in_a_fold_get_no_evidence():
    rows, y = X[:41], np.append(np.arange(40) % 2, 2)
    fitted, table = fold_evidence(rows, y, np.ones(41), np.arange(4), 0)
    assert fitted.classes_.tolist() == [0, 1, 2]
    assert table[40, 2] == 0
    assert (table[:, 3] == 0).all()
    assert (table[:40, :2] != 0).all()
    assert fold_evidence(rows, np.ones(41), np.ones(41), np.arange(2), 0)[0] is None
