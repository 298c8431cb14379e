"""What a removal does to models whose memory is known."""

import numpy as np
import pytest
from shadow_models import Breaking, Lookup, X, Y
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from smilearn import FilteredEstimator, RiskFilter, ShadowAudit, audit_filter
from smilearn.audit._attacks import log_lira, mean_over_targets
from smilearn.exceptions import InvalidInputError

PLANTED = np.arange(60) < 6


def effect_of(removed=PLANTED, estimator=None, *, n_shadow=16, seed=0, **settings):
    estimator = Lookup(n_planted=6) if estimator is None else estimator
    audit = ShadowAudit(estimator, n_shadow=n_shadow, random_state=seed)
    return audit_filter(audit, removed, X, Y, n_bootstrap=50, **settings)


def row(effect, group, measure, arm):
    at = (effect["group"] == group) & (effect["measure"] == measure)
    (place,) = np.flatnonzero(at & (effect["arm"] == arm))
    return effect.frame.row(int(place), named=True)


class Onion(Lookup):
    """Knows samples by heart, but the outer layer shields the inner one.

    Samples 0 to 5 are known when they were trained on; samples 6 to 11 only by models
    that saw none of the outer ones.
    """

    def predict_proba(self, X):
        outer = any(number < 6 for number in self.known_)
        self.n_planted = 6 if outer else 12
        return super().predict_proba(X)


def test_removed_samples_are_exposed_before_and_not_after(seed):
    effect = effect_of(seed=seed)
    for measure, exposed, safe in (("auc", 0.95, 0.65), ("exposed", 1.0, 0.0)):
        at = {
            arm: row(effect, "removed", measure, arm)
            for arm in ("everything", "filtered", "random")
        }
        assert at["everything"]["value"] >= exposed
        assert at["random"]["value"] >= 0.8 * exposed
        assert at["filtered"]["value"] <= safe
        assert at["filtered"]["verdict"] == "lower"
    chance = row(effect, "removed", "auc", "filtered")
    assert chance["low"] <= 0.5 <= chance["high"]


def test_nothing_changes_for_those_that_never_were_exposed(seed):
    effect = effect_of(seed=seed)
    for measure in ("auc", "lira", "accuracy"):
        for arm in ("everything", "filtered"):
            assert row(effect, "kept", measure, arm)["verdict"] == "even"
    assert row(effect, "kept", "auc", "filtered")["low"] <= 0.5


def test_the_onion_effect_is_seen(seed):
    effect = effect_of(estimator=Onion(), seed=seed, share=0.1)
    newly = row(effect, "kept", "newly_exposed", "filtered")
    samples = effect.samples
    inner = (samples["group"] == "kept") & (np.arange(60) < 12)
    assert samples["newly_exposed"][inner].all()
    assert samples["newly_exposed"].sum() <= inner.sum() + 2
    assert newly["value"] > 0.05
    assert newly["difference"] > 0
    assert row(effect, "kept", "newly_exposed", "everything")["value"] == 0
    tpr = row(effect, "kept", "auc", "filtered")
    assert tpr["verdict"] == "higher"


def test_no_model_of_the_filtered_arm_sees_a_removed_sample():
    seen = []

    class Watched(Lookup):
        def fit(self, X, y, sample_weight=None):
            seen.append(set(X[:, 0].astype(int).tolist()))
            assert sample_weight.tolist() == (100.0 + X[:, 0]).tolist()
            return super().fit(X, y)

    effect = effect_of(
        estimator=Watched(), n_shadow=4, sample_weight=np.arange(100.0, 160.0)
    )
    B, gone = effect.audit.shadow_in_, set(range(6))
    assert seen[:4] == [set(np.flatnonzero(each).tolist()) for each in B]
    assert seen[4:8] == [each - gone for each in seen[:4]]
    drawn = set.union(*seen[:4]) - set.union(*seen[8:])
    assert seen[8:] == [each - drawn for each in seen[:4]]
    assert len(drawn) == 6
    assert sum(Y[list(drawn)] == "yes") == 3


def test_values_are_those_of_plain_audits():
    """Against models trained and compared by hand, without the control."""
    model = KNeighborsClassifier(3, weights="distance")
    rng = np.random.default_rng(0)
    P = rng.normal(size=(80, 2)) + 3.0 * (np.arange(80) < 40)[:, None]
    y = (np.arange(80) < 40).astype(int)
    y[:4] = 0
    audit = ShadowAudit(model, n_shadow=8, random_state=0).fit(P, y)
    effect = audit_filter(audit, np.arange(6), P, y, control=False, n_bootstrap=20)
    assert effect.audit is audit
    assert effect.reference == "everything"
    B, kept = audit.shadow_in_, np.arange(80) >= 6
    T, right = np.empty((8, 80)), np.empty((8, 80), bool)
    for m in range(8):
        fitted = clone(model).fit(P[B[m] & kept], y[B[m] & kept])
        right[m] = fitted.predict(P) == y
    for group, rows in (("all", kept | ~kept), ("kept", kept), ("removed", ~kept)):
        out = ~B[:, rows]
        expected = ((right[:, rows] & out).sum(0) / out.sum(0)).mean()
        told = row(effect, group, "accuracy", "filtered")
        assert told["value"] == pytest.approx(expected)
        assert told["low"] <= expected <= told["high"]
    again = ShadowAudit(model, n_shadow=8, random_state=0)
    T = again.fit(P, y).statistic_
    lira = mean_over_targets(log_lira(T, B), B)
    assert row(effect, "kept", "lira", "everything")["value"] == pytest.approx(
        lira[kept].mean()
    )
    bar = np.sort(lira)[-8]
    assert row(effect, "kept", "exposed", "everything")["value"] == pytest.approx(
        (lira[kept] >= bar).mean()
    )
    assert effect.samples["lira_everything"] == pytest.approx(lira)


@pytest.mark.parametrize("n_shadow", [4, 8, 32])
def test_few_models_give_wide_intervals_and_numbers(n_shadow):
    effect = effect_of(n_shadow=n_shadow)
    for values in map(effect.__getitem__, effect.columns):
        assert values.dtype.kind == "O" or np.isfinite(values).all()
    for name in ("value", "low", "high"):
        shares = effect[name][effect["measure"] != "lira"]
        assert shares.min() >= 0
        assert shares.max() <= 1
    assert (effect["low"] <= effect["value"]).all()
    assert (effect["difference_low"] <= effect["difference"]).all()
    reference = effect["arm"] == "random"
    assert (effect["difference"][reference] == 0).all()
    assert set(effect["verdict"][reference]) == {"even"}


def test_intervals_shrink_with_models():
    widths = []
    for n_shadow in (4, 8, 64):
        told = row(effect_of(n_shadow=n_shadow), "kept", "lira", "filtered")
        widths.append(told["high"] - told["low"])
    assert widths[0] > widths[1] > widths[2]


def test_differences_hold_no_effect_where_there_is_none(seed):
    """Of a removal at random, one difference in twenty may exclude 0, not more."""
    rng, apart = np.random.default_rng(seed), []
    for draw in range(4):
        removed = rng.permutation(60)[:6]
        effect = effect_of(removed, Lookup(), seed=10 * seed + draw, n_shadow=8)
        rows = (effect["arm"] == "filtered") & (effect["measure"] != "exposed")
        apart += (effect["verdict"][rows] != "even").tolist()
    assert np.mean(apart) <= 0.1


def test_a_killed_run_goes_on(tmp_path):
    def run(limit):
        model = Breaking(str(tmp_path / "count"), limit, n_planted=6)
        audit = ShadowAudit(
            model, n_shadow=8, random_state=0, checkpoint_folder=tmp_path / "run"
        )
        return audit_filter(audit, PLANTED, X, Y, n_bootstrap=20)

    # a limit is part of what is trained, so it stays, and the count is put back
    with pytest.raises(RuntimeError, match="went down"):
        run(13)
    (tmp_path / "count").write_text("100")
    effect = run(13)
    assert (tmp_path / "count").read_text() == "111"  # 24 fits less 13
    plain = effect_of(n_shadow=8)
    assert effect["value"].tolist() != []
    assert effect.samples["lira_filtered"] == pytest.approx(
        plain.samples["lira_filtered"]
    )


@pytest.mark.parametrize("removed", [[7], [0, 9]])
@pytest.mark.parametrize("n_shadow", [4, 8])
def test_a_sample_or_two_give_numbers_too(removed, n_shadow):
    effect = effect_of(removed, n_shadow=n_shadow, control=False)
    for name in ("value", "low", "high", "difference_low", "difference_high"):
        assert np.isfinite(effect[name]).all()


def test_what_is_exposed_in_all_is_what_is_still_trained_on():
    effect = effect_of(control=False)
    before = row(effect, "all", "exposed", "everything")
    after = row(effect, "all", "exposed", "filtered")
    assert before["value"] == pytest.approx(0.1)
    assert after["value"] == 0
    assert row(effect_of(estimator=Onion()), "all", "exposed", "filtered")["value"] > 0


def test_the_reference_can_be_chosen():
    effect = effect_of(reference="everything")
    assert effect.reference == "everything"
    assert row(effect, "removed", "auc", "everything")["difference"] == 0
    assert row(effect, "removed", "auc", "filtered")["verdict"] == "lower"
    for settings in ({"reference": "filtered"}, {"reference": "random"}):
        with pytest.raises(InvalidInputError, match="reference must be one of"):
            effect_of(n_shadow=4, control=False, **settings)


def test_filters_say_what_goes():
    P = np.random.default_rng(0).normal(size=(60, 2)) + 2.0 * (Y == "yes")[:, None]
    cleaner = RiskFilter(n_remove=5).fit(P, Y)
    model = FilteredEstimator(LogisticRegression(), filter=RiskFilter(n_remove=5))
    audit = ShadowAudit(LogisticRegression(), n_shadow=4, random_state=0)
    run = {"X": P, "y": Y, "control": False, "n_bootstrap": 5}
    one = audit_filter(audit, cleaner, **run)
    other = audit_filter(audit, model.fit(P, Y), **run)
    indices = audit_filter(audit, np.flatnonzero(~cleaner.support_), **run)
    gone = one.samples["group"] == "removed"
    assert (gone == ~cleaner.support_).all()
    assert one["value"].tolist() == other["value"].tolist() == indices["value"].tolist()
    with pytest.raises(InvalidInputError, match="RiskFilter must be fitted"):
        audit_filter(audit, RiskFilter(), **run)


def test_tables_to_read():
    effect = effect_of(n_shadow=4)
    lines = repr(effect).splitlines()
    names = ["group", "n_samples", "measure", "everything", "filtered", "random"]
    assert lines[0].split() == names
    assert len(lines) == 1 + 16 + 1
    assert "below random" in lines[-1]
    assert "<table>" in effect._repr_html_()
    assert len(effect.to_pandas()) == 48
    assert repr(effect.head(2)).count("\n") == 2
    names = [*effect.samples.columns]
    assert names[:3] == ["id", "label", "group"]
    assert "group" in repr(effect.samples)
    counts = np.unique(effect.samples["group"], return_counts=True)
    counts = dict(zip(*counts, strict=True))
    assert counts["removed"] + counts.get("both", 0) == 6
    assert counts["random"] + counts.get("both", 0) == 6
    assert row(effect, "removed", "auc", "filtered")["n_samples"] == counts["removed"]
