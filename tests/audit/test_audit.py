"""ShadowAudit on classifiers whose memory is known."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from shadow_models import Lookup, X, Y, audited, same
from sklearn import config_context
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from smilearn import ShadowAudit, SlicedMIScorer
from smilearn.audit._lira import log_lira
from smilearn.exceptions import InvalidInputError


@pytest.mark.parametrize("n_shadow", [4, 8, 16, 64])
def test_samples_known_by_heart_are_on_top(n_shadow, seed):
    audit = audited(n_shadow=n_shadow, seed=seed)
    planted = np.arange(60) < 6
    assert (audit.memorized_ == planted).all()
    assert audit.lira_[planted].min() > audit.lira_[~planted].max()
    assert audit.counterfactual_gap_[planted].min() > 3
    assert (audit.rmia()[planted] > 0.8).all()
    assert np.isfinite(audit.lira_std_).all()


@pytest.mark.parametrize(
    ("score", "prior", "n_shadow"),
    [(score, None, n) for score in ("lira", "rmia") for n in (4, 8, 16, 32)]
    + [("lira", SlicedMIScorer(16, random_state=0), n) for n in (2, 4, 8)],
)
def test_a_model_that_memorizes_nothing_is_at_chance(score, prior, n_shadow, seed):
    held = []
    for draw in range(5):
        audit = audited(Lookup(), n_shadow=n_shadow, seed=10 * seed + draw, prior=prior)
        table = audit.attack(score, n_bootstrap=100)
        assert table["measure"].tolist()[0] == "auc"
        held.append(table["low"][0] <= 0.5 <= table["high"][0])
        assert table["value"][1] <= 0.05
    assert sum(held) >= 4


def test_noise_is_not_memorized_by_more_than_its_error(seed):
    audit = audited(Lookup(), n_shadow=32, seed=seed)
    assert audit.memorized(threshold=4.0).sum() == 0
    assert np.abs(audit.lira_).max() < 2
    beyond = np.abs(audit.counterfactual_gap_) > 2 * audit.counterfactual_gap_std_
    assert beyond.mean() < 0.15


def test_one_target():
    every, one = audited(), audited(target=3)
    assert (one.log_lira_ == every.log_lira_).all()
    assert (one.lira_ == every.log_lira_[3]).all()
    assert (one.audited_ == one.shadow_in_[3]).all()
    assert every.audited_.all()
    assert one.memorized_.sum() == 3
    assert not (one.memorized_ & ~one.audited_).any()
    assert not (one.memorized(threshold=-100.0) & ~one.audited_).any()
    assert np.isfinite(one.lira_std_).all()
    table = one.to_table()
    assert table["rank"][table["audited"]].max() == 30
    assert (one.rmia() != every.rmia()).any()


def test_the_truth_is_the_mean_over_targets_of_all_or_some_models():
    audit = audited()
    ratios = log_lira(audit.statistic_, audit.shadow_in_)
    assert (audit.log_lira_ == ratios).all()
    means = [ratios[audit.shadow_in_[:, i], i].mean() for i in range(60)]
    np.testing.assert_allclose(audit.lira_, means)
    assert (audit.lira_of(range(8)) == audit.lira_).all()
    T, B = audit.statistic_[[5, 1, 2]], audit.shadow_in_[[5, 1, 2]]
    seen, ratios, part = B.any(0), log_lira(T, B), audit.lira_of([5, 1, 2])
    assert 0 < (~seen).sum() < 30 and (part[~seen] == 0).all()
    means = [ratios[B[:, i], i].mean() for i in np.flatnonzero(seen)]
    np.testing.assert_allclose(part[seen], means)
    assert np.isfinite(audit.lira_of([3])).all()
    for models in ([8], [0, 0], [-1], [[0, 1]]):
        with pytest.raises(InvalidInputError, match="numbers from 0 to 7, each once"):
            audit.lira_of(models)


def test_ties_do_not_go_by_the_order_of_the_samples():
    audit = audited(Lookup(noise=0.0), seed=1)
    assert (audit.lira_ == audit.lira_[0]).all()
    rows = np.flatnonzero(audit.memorized(0.25))
    assert len(rows) == 15
    assert 15 < rows.mean() < 44
    assert (audit.memorized_ == audit.memorized(0.1)).all()


def test_memorized_by_share_and_by_threshold():
    audit = audited()
    assert audit.memorized(0.25).sum() == 15
    assert audit.memorized(1e-6).sum() == 1
    assert (audit.memorized(threshold=2.0) == (audit.lira_ >= 2)).all()
    for arguments in ({"share": 0.0}, {"share": 1.5}, {"share": 0.1, "threshold": 4}):
        with pytest.raises(InvalidInputError, match="share"):
            audit.memorized(**arguments)


TEXTS = [f"{word} film number {i}" for i in range(20) for word in ("good", "bad")]


@pytest.mark.parametrize(
    "container", [list, tuple, np.array, pd.Series, pl.Series], ids=lambda c: c.__name__
)
def test_texts_in_any_container(container, tmp_path):
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    y = container(["up", "down"] * 20)
    run = {"n_shadow": 4, "random_state": 0}
    audit = ShadowAudit(model, checkpoint_folder=tmp_path / "run", **run)
    audit.fit(container(TEXTS), y)
    plain = ShadowAudit(model, **run).fit(TEXTS, ["up", "down"] * 20)
    assert same(audit, plain)
    assert audit.classes_.tolist() == ["down", "up"]
    table = audit.to_table(texts=TEXTS, ids=[f"t{i}" for i in range(40)])
    names = ["id", "label", "text", "lira", "lira_std", "counterfactual"]
    more = ["counterfactual_std", "memorized", "audited", "rank"]
    assert [*table.columns] == [*names, *more]
    assert table["lira"].tolist() == audit.lira_.tolist()
    assert table["lira"][table["rank"].argmin()] == audit.lira_.max()
    assert table.to_pandas()["memorized"].sum() == 4
    assert "40 samples" in table._repr_html_()


@pytest.mark.parametrize(
    ("settings", "y", "message"),
    [
        ({"n_shadow": 7}, Y, r"n_shadow \* share must be a whole number"),
        ({"target": 8}, Y, "one of the models, 0 to 7; got 8"),
        ({}, Y[:50], "one value for each of the 60 samples; got 50"),
        ({}, ["yes"] * 60, "2 classes or more; got 1"),
        ({}, ["odd", *Y[1:]], "every class; class 'odd' has 1 samples"),
        ({"share": 1.0}, Y, "'share' parameter"),
        ({"target": "none"}, Y, "'target' parameter"),
        ({"n_shadow": 1}, Y, "'n_shadow' parameter"),
        ({"estimator": RidgeClassifier()}, Y, "'estimator' parameter"),
    ],
)
def test_mistakes(settings, y, message):
    with pytest.raises(ValueError, match=message):
        audited(y=y, **settings)


def test_mistakes_in_questions():
    audit = audited()
    with pytest.raises(InvalidInputError, match='"lira" or "rmia"'):
        audit.attack("loss")
    with pytest.raises(InvalidInputError, match="gamma must be above 0"):
        audit.rmia(0)
    with pytest.raises(InvalidInputError, match="texts must be one for each of the 60"):
        audit.to_table(texts=["a"])
    with pytest.raises(ValueError, match="not fitted"):
        ShadowAudit(Lookup()).attack()


def test_the_same_seed_gives_the_same_audit_and_leaves_the_estimator_alone():
    estimator = Lookup(n_planted=6, random_state=1)
    audit = ShadowAudit(estimator, n_shadow=8, random_state=0)
    assert same(clone(audit).fit(X, Y), audit.fit(X, Y))
    assert same(audit, clone(audit).fit(X, Y))
    assert not same(audit, audited(estimator, seed=1))
    assert not hasattr(estimator, "classes_")
    assert estimator.random_state == 1
    assert get_tags(audit).target_tags.required


@pytest.mark.parametrize("n_shadow", [4, 6])
def test_metadata_is_routed_and_cut(n_shadow):
    """Routing hands on what the estimator requests, and nothing else."""
    weights = 100.0 + X[:, 0]
    with config_context(enable_metadata_routing=True):
        asking = Weighted().set_fit_request(sample_weight=True)
        ShadowAudit(asking, n_shadow=n_shadow, random_state=0).fit(
            X, Y, sample_weight=weights
        )
        with pytest.raises(TypeError, match="unexpected argument"):
            ShadowAudit(asking, n_shadow=4).fit(X, Y, group=weights)


class Weighted(Lookup):
    """Insists on the weights of its own samples."""

    def fit(self, X, y, sample_weight=None):
        assert sample_weight.tolist() == (100.0 + X[:, 0]).tolist()
        return super().fit(X, y)
