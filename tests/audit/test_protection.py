"""What a removal does to models whose memory is known, and to simulated ones."""

from dataclasses import replace

import numpy as np
import pytest
from shadow_models import Breaking, Lookup, X, Y, audited
from sklearn.linear_model import LogisticRegression

from smilearn import (
    FilteredEstimator,
    RiskFilter,
    RiskTable,
    ShadowAudit,
    audit_protection,
)
from smilearn.audit._membership import attack_summary
from smilearn.audit._protection import (
    MEASURES,
    effect_rows,
    group_measures,
    sample_measures,
)
from smilearn.audit._shadow_answers import ShadowAnswers
from smilearn.audit._shadow_models import balanced_members
from smilearn.exceptions import InvalidInputError

PLANTED = np.arange(60) < 6


def effect_of(risky=PLANTED, estimator=None, *, n_shadow=16, seed=0, **settings):
    estimator = Lookup(n_planted=6) if estimator is None else estimator
    audit = ShadowAudit(estimator, n_shadow=n_shadow, random_state=seed)
    return audit_protection(audit, risky, X, Y, n_bootstrap=50, **settings)


def row(effect, group, measure, arm):
    at = (effect["group"] == group) & (effect["measure"] == measure)
    (place,) = np.flatnonzero(at & (effect["arm"] == arm))
    return effect.frame.row(int(place), named=True)


def values(effect):
    """All values but the seconds, which are never the same."""
    return effect["value"][effect["measure"] != "seconds"].tolist()


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
            arm: row(effect, "risky", measure, arm)
            for arm in ("nothing", "drop", "random")
        }
        assert at["nothing"]["value"] >= exposed
        assert at["random"]["value"] >= 0.8 * exposed
        assert at["drop"]["value"] <= safe
        assert at["drop"]["verdict"] == "lower"
    chance = row(effect, "risky", "auc", "drop")
    assert chance["low"] <= 0.5 <= chance["high"]


def test_the_onion_effect_is_seen(seed):
    effect = effect_of(estimator=Onion(), seed=seed, share=0.1)
    newly = row(effect, "others", "newly_exposed", "drop")
    samples = effect.samples
    inner = (samples["group"] == "others") & (np.arange(60) < 12)
    assert samples["newly_exposed_drop"][inner].all()
    assert samples["newly_exposed_drop"].sum() <= inner.sum() + 2
    assert newly["value"] > 0.05
    assert newly["difference"] > 0
    assert row(effect, "others", "newly_exposed", "nothing")["value"] == 0
    tpr = row(effect, "others", "auc", "drop")
    assert tpr["verdict"] == "higher"


def test_no_model_of_the_arm_drop_sees_a_risky_sample():
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


def test_any_arm_can_be_the_reference():
    effect = effect_of()
    assert effect.reference == "nothing"
    assert row(effect, "risky", "auc", "nothing")["difference"] == 0
    assert row(effect, "risky", "auc", "drop")["verdict"] == "lower"
    control = effect.against("random")
    assert control["value"].tolist() == effect["value"].tolist()
    assert row(control, "risky", "auc", "random")["difference"] == 0
    assert row(control, "risky", "auc", "drop")["verdict"] == "lower"
    gap = row(control, "risky", "auc", "drop")["difference"]
    arms = [row(effect, "risky", "auc", arm)["value"] for arm in ("drop", "random")]
    assert gap == pytest.approx(arms[0] - arms[1])
    with pytest.raises(InvalidInputError, match="reference must be one of"):
        effect.against("filtered")


def test_estimators_that_protect_have_arms_of_their_own(seed, tmp_path):
    """One that forgets protects; one that knows more by heart exposes."""
    protections = {"forgets": Lookup(), "knows more": Lookup(n_planted=12)}
    audit = ShadowAudit(
        Lookup(n_planted=6),
        n_shadow=16,
        random_state=seed,
        checkpoint_folder=tmp_path / "run",
    )
    run = {"protections": protections, "n_bootstrap": 50}
    effect = audit_protection(audit, PLANTED, X, Y, **run)
    assert effect.arms == ["nothing", "drop", "forgets", "knows more", "random"]
    at = {arm: row(effect, "risky", "auc", arm) for arm in effect.arms}
    assert at["forgets"]["verdict"] == "lower"
    assert at["forgets"]["low"] <= 0.5 <= at["forgets"]["high"]
    assert at["knows more"]["value"] == pytest.approx(at["nothing"]["value"])
    assert row(effect, "others", "auc", "knows more")["verdict"] == "higher"
    assert row(effect, "others", "newly_exposed", "knows more")["value"] > 0.05
    newly = effect.samples["newly_exposed_knows more"]
    assert newly[6:12].all()
    for arm in effect.arms:
        assert row(effect, "all", "seconds", arm)["value"] > 0
    again = audit_protection(audit, PLANTED, X, Y, **run)  # from the folder
    assert again["value"].tolist() == effect["value"].tolist()  # with the seconds
    no_drop = audit_protection(audit, PLANTED, X, Y, **run, drop=False, control=False)
    assert no_drop.arms == ["nothing", "forgets", "knows more"]


@pytest.mark.parametrize(
    ("protections", "message"),
    [
        ({"drop": Lookup()}, "name arms by other strings than"),
        ([Lookup()], "must be a dict of names and estimators; got list"),
        ({1: Lookup()}, "name arms by other strings than"),
        ({"none": RiskFilter()}, "fit and predict_proba; 'none' is RiskFilter"),
    ],
)
def test_protections_are_checked_before_any_training(protections, message):
    with pytest.raises(InvalidInputError, match=message):
        effect_of(estimator=Breaking("nowhere", 0), protections=protections)


def test_filters_say_what_goes():
    P = np.random.default_rng(0).normal(size=(60, 2)) + 2.0 * (Y == "yes")[:, None]
    cleaner = RiskFilter(n_remove=5).fit(P, Y)
    model = FilteredEstimator(LogisticRegression(), filter=RiskFilter(n_remove=5))
    audit = ShadowAudit(LogisticRegression(), n_shadow=4, random_state=0)
    run = {"X": P, "y": Y, "control": False, "n_bootstrap": 5}
    one = audit_protection(audit, cleaner, **run)
    other = audit_protection(audit, model.fit(P, Y), **run)
    indices = audit_protection(audit, np.flatnonzero(~cleaner.support_), **run)
    gone = one.samples["group"] == "risky"
    assert (gone == ~cleaner.support_).all()
    assert values(one) == values(other) == values(indices)
    with pytest.raises(InvalidInputError, match="RiskFilter must be fitted"):
        audit_protection(audit, RiskFilter(), **run)


NAMES = ["nothing", "drop", "random"]


def simulated(rng, *, shift=0.0, n_models=12, n_samples=60):
    """Arms that differ by chance, but for a shift of the kept ones IN if filtered."""
    B = balanced_members(np.zeros(n_samples, int), n_models, n_models // 2, rng)
    rows = np.arange(n_samples)
    withheld = [rows < 0, rows < 8, rows >= n_samples - 8]
    arms = []
    for place, gone in enumerate(withheld):
        memory = np.where(gone, 0.0, 1.0 + shift * (place == 1))
        T = rng.normal(size=B.shape) + memory * B + 0.3 * rng.normal(size=(n_models, 1))
        gone = gone if gone.any() else None
        arms.append(ShadowAnswers(B, T, correct=T > 0, withheld=gone))
    kept = ~withheld[1] & ~withheld[2]
    groups = {"all": rows >= 0, "others": kept, "risky": withheld[1]}
    return arms, B, groups


def measured(arms, B, groups, seed=0, reference="random"):
    arms = [replace(arm, seconds=np.arange(1.0, 1.0 + len(B))) for arm in arms]
    measures = group_measures(arms, groups, 0.1, 60, np.random.default_rng(seed))
    sizes = {name: rows.sum() for name, rows in groups.items()}
    rows = effect_rows(measures, NAMES, reference, len(B), sizes)
    return {(row["group"], row["measure"], row["arm"]): row for row in rows}


def test_each_measure_by_hand():
    arms, B, groups = simulated(np.random.default_rng(0))
    rows = measured(arms, B, groups)
    kept, filtered = groups["others"], arms[1]
    trained = ~filtered.withheld
    lira = arms[0].lira()
    bar = np.sort(lira)[-6]
    again = np.full(60, np.nan)
    part = filtered.statistic[:, trained], B[:, trained]
    again[trained] = ShadowAnswers(part[1], part[0]).lira()
    right = [filtered.correct[~B[:, i], i].mean() for i in np.flatnonzero(kept)]
    expected = {
        "accuracy": np.mean(right),
        "lira": again[kept].mean(),
        "exposed": (again[kept] >= bar).mean(),
        "newly_exposed": ((again >= bar) & (lira < bar))[kept].mean(),
        "no_longer_exposed": ((again < bar) & (lira >= bar))[kept].mean(),
    }
    for measure, value in expected.items():
        assert rows["others", measure, "drop"]["value"] == pytest.approx(value)
    ratios = filtered.log_lira(equal_counts=True)[:, kept]
    values, *_ = attack_summary(ratios, B[:, kept], 5, np.random.default_rng(0))
    assert rows["others", "auc", "drop"]["value"] == pytest.approx(values[0])
    assert len(rows) == 3 * sum(map(len, MEASURES.values()))


def test_exposed_is_a_share_of_the_first_arm_and_never_withheld():
    arms, *_ = simulated(np.random.default_rng(0))
    for share, n_exposed in ((0.25, 15), (0.9, 54)):
        measures = sample_measures(arms, share)
        now = measures["exposed"].astype(int)
        assert now[0].sum() == n_exposed
        change = measures["newly_exposed"].astype(int) - measures["no_longer_exposed"]
        assert (now - now[0] == change).all()
        for arm, exposed in zip(arms[1:], now[1:], strict=True):
            assert not exposed[arm.withheld].any()


def test_differences_are_found_as_often_as_they_should_be(seed):
    """Without a difference, intervals hold 0; a large one is told."""
    rng, holds, sees = np.random.default_rng(seed), [], []
    for draw in range(12):
        rows = measured(*simulated(rng), seed=draw)
        for measure in ("accuracy", "auc", "lira", "exposed"):
            row = rows["others", measure, "drop"]
            holds.append(row["difference_low"] <= 0 <= row["difference_high"])
        rows = measured(*simulated(rng, shift=2.0), seed=draw)
        for measure in ("auc", "lira", "newly_exposed"):
            sees.append(rows["others", measure, "drop"]["verdict"])
    assert np.mean(holds) >= 0.9
    assert set(sees) == {"higher"}


def test_what_cannot_be_removed_is_said_before_any_training(tmp_path):
    audit = audited(Breaking(str(tmp_path / "count"), 4), n_shadow=4)  # no fifth fit
    with pytest.raises(InvalidInputError, match="class 'yes' has 0"):
        audit_protection(audit, Y == "yes", X, Y)


@pytest.mark.parametrize(
    ("risky", "settings", "message"),
    [
        (np.zeros(60, bool), {}, "must be risky and some not; 0 of 60 are"),
        (np.ones(60, bool), {}, "60 of 60 are"),
        ([], {}, "0 of 60 are"),
        (np.ones(50, bool), {}, r"each of the 60 samples .* got shape \(50,\)"),
        ([60, -1], {}, r"indices from 0 to 59; got \[60, -1\]"),
        ((np.arange(60) < 6) * 1, {}, "name each sample once; .* as booleans"),
        ([0.5], {}, "a mask or indices of samples, or a fitted filter"),
        (Y == "yes", {}, "Without the samples of the arm 'drop': .*class 'yes' has 0"),
        (PLANTED, {"n_shadow": 2}, "IN 2 or more"),
        (PLANTED, {"share": 1.0}, "share must be between 0 and 1"),
        (PLANTED, {"share": "0.1"}, "share must be between 0 and 1"),
        (PLANTED, {"group": "x"}, "unexpected keyword"),
    ],
)
def test_mistakes(risky, settings, message):
    with pytest.raises((InvalidInputError, TypeError), match=message):
        effect_of(risky, **settings)


def test_tables_to_read():
    effect = effect_of(n_shadow=4)
    lines = repr(effect).splitlines()
    names = ["group", "n_samples", "measure", "nothing", "drop", "random"]
    assert lines[0].split() == names
    assert len(lines) == 1 + 22 + 1
    assert "below nothing" in lines[-1]
    assert "<table>" in effect._repr_html_()
    assert len(effect.to_pandas()) == 66
    assert "group" in repr(effect.samples)
    groups = effect.samples["group"].tolist()
    for name in ("risky", "random"):
        assert groups.count(name) + groups.count("both") == 6
    sizes = effect["n_samples"][effect["group"] == "risky"]
    assert set(sizes) == {groups.count("risky")}


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        ({"estimator__noise": 0.1}, {}, "fitted with other estimator"),
        ({"statistic": "loss"}, {}, "fitted with other statistic"),
        ({"n_shadow": 8}, {}, "fitted with other n_shadow"),
        ({}, {"X": X + 60}, "fitted with other X"),
        ({}, {"sample_weight": np.ones(60)}, "fitted with other fit_params"),
        ({}, {"X": X[:50], "y": Y[:50]}, "fitted to other samples: 60 labels"),
        ({}, {"y": Y[::-1]}, "in this order"),
    ],
)
def test_an_audit_of_another_run_is_refused(settings, arguments, message):
    audit = audited(Lookup(), n_shadow=4).set_params(**settings)
    with pytest.raises(InvalidInputError, match=message):
        audit_protection(audit, [0], **{"X": X, "y": Y} | arguments)


def test_what_has_no_name_in_another_process_is_audited_all_the_same():
    class Here(Lookup):
        """A local class."""

    audit = audited(Here(n_planted=6), n_shadow=4)
    assert len(audit_protection(audit, [0], X, Y, n_bootstrap=5)) == 66


def test_a_report_with_the_audit_as_evidence(tmp_path):
    effect = effect_of(n_shadow=4)
    risk = RiskTable(np.where(PLANTED, -5.0, 0.0), Y)
    more = {"More": effect.samples.head(3)}
    page = effect.to_html(tmp_path / "report.html", risk, evidence=more).read_text()
    for title in ("Protection, against nothing", "Protection, against random", "More"):
        assert title in page
    assert "newly_exposed" in page
