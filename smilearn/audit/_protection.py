"""What protection of some samples does, to them and to others."""

from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import polars as pl
from sklearn.base import clone

from smilearn.audit._audit import AuditTable, ShadowAudit
from smilearn.audit._membership import MEASURES as ATTACK
from smilearn.audit._membership import attack_draws, half_width
from smilearn.audit._shadow_models import check_classes_seen
from smilearn.exceptions import InvalidInputError
from smilearn.tables._table import WideTable
from smilearn.utils._indexing import check_aligned
from smilearn.utils._labels import one_label_each
from smilearn.utils._ranks import ranks_of

NOTHING, DROP, RANDOM = "nothing", "drop", "random"
_SHARES = ("accuracy", "exposed", "newly_exposed", "no_longer_exposed")
_CHANGES = ("newly_exposed", "no_longer_exposed")
_EXPOSURE = (*ATTACK, "lira", "exposed")
MEASURES = {
    "all": ("accuracy", *ATTACK, "exposed", "seconds"),
    "others": ("accuracy", *_EXPOSURE, *_CHANGES),
    "risky": ("accuracy", *_EXPOSURE, *_CHANGES),
}  # group of samples: what is measured of it


class ProtectionAudit(WideTable):
    """One row a group of samples, measure and arm; shown with a column for each arm.

    Made by :func:`audit_protection`.

    Parameters
    ----------
    measures : dict
        Of each group and measure: values by arms, and their covariance.

    arms : list of str
        Names of the arms.

    sizes : dict
        Samples of each group.

    n_models : int
        Shadow models of each arm.

    samples : table
        One row a sample.

    audit : ShadowAudit
        The audit of all samples, without protection.

    reference : str, default="nothing"
        Arm that the others are compared with.

    Attributes
    ----------
    frame : polars.DataFrame
        `group` ("all", "others" or "risky"), its `n_samples`, the `measure`, `arm`,
        `value`, and the ends `low` and `high` of its 95 % interval; `difference` to the
        reference, `difference_low` and `difference_high`, paired over samples and
        models, and the `verdict`: "higher" or "lower" where that interval excludes 0,
        else "even".

    reference, samples, audit : object
        The same. `samples` holds `id`, `label`, `group` ("others", "risky"; "random"
        for those that the control drops, "both" if they are risky too), and for each
        arm `lira_<arm>` in nats, high = memorized, and, but for "nothing",
        `newly_exposed_<arm>` and `no_longer_exposed_<arm>`: so many are named by chance
        in the arm "random". Ratios of samples that an arm drops are noise.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from smilearn import ShadowAudit, audit_protection
    >>> y = np.arange(40) % 2
    >>> X = np.random.default_rng(0).normal(size=(40, 2)) + 4.0 * y[:, None]
    >>> audit = ShadowAudit(KNeighborsClassifier(3), n_shadow=4, random_state=0)
    >>> effect = audit_protection(audit, [0, 1], X, y, control=False, n_bootstrap=5)
    >>> effect.reference, effect.arms, len(effect.samples)
    ('nothing', ['nothing', 'drop'], 40)
    >>> effect.against("drop").reference
    'drop'
    """

    _down, _across = ("group", "n_samples", "measure"), "arm"
    _marks: ClassVar[dict] = {"higher": ("+", "above"), "lower": ("-", "below")}

    def __init__(
        self, measures, arms, sizes, n_models, samples, audit, reference=NOTHING
    ):
        rows = effect_rows(measures, arms, reference, n_models, sizes)
        super().__init__(pl.DataFrame(rows), reference, "samples and shadow models")
        self.arms, self.samples, self.audit = arms, samples, audit
        self._made_of = measures, arms, sizes, n_models, samples, audit

    def against(self, reference):
        """Compare the arms with another one, as with the random control.

        Parameters
        ----------
        reference : str
            Name of an arm.

        Returns
        -------
        effect : ProtectionAudit
            The same values; differences and verdicts are to this arm.

        Raises
        ------
        InvalidInputError
            If no arm has that name.
        """
        if reference not in self.arms:
            raise InvalidInputError(
                f"reference must be one of {self.arms}; got {reference!r}."
            )
        return type(self)(*self._made_of, reference)

    def to_html(self, path, risk, **options):
        """Write the report of a risk table, with this audit as its evidence.

        Parameters
        ----------
        path : path-like
            Where to, ending in .html, .md or .json.

        risk : RiskTable
            Scores of the samples.

        **options : dict
            As those of :func:`smilearn.report.write_report`.

        Returns
        -------
        path : Path
            Where the report is.

        Raises
        ------
        InvalidInputError
            As by :func:`smilearn.report.write_report`.
        """
        against = [self, *[self.against(RANDOM)] * (RANDOM in self.arms)]
        tables = {f"Protection, against {each.reference}": each for each in against}
        tables |= options.pop("evidence", None) or {}
        return risk.to_html(path, evidence=tables, **options)

    def _html_note(self):
        """Also say of whom the rows do not speak by themselves."""
        n_others = int((self.samples["group"] == "random").sum())
        more = f"; {n_others} that the control took out are in all" if n_others else ""
        return f"{super()._html_note()}{more}"


def audit_protection(
    audit,
    risky,
    X,
    y,
    *,
    protections=None,
    drop=True,
    control=True,
    share=0.1,
    n_bootstrap=500,
    **params,
):
    """Train with and without protection, and tell what that did to all samples.

    The shadow models of an audit are trained again: without the risky samples, without
    as many of the same classes drawn at random, and by other estimators that protect
    in a way of their own. Whether samples are less exposed, or newly exposed, is then
    read from what differs between these arms.

    Parameters
    ----------
    audit : ShadowAudit
        Names the estimator, the number of models and the folder. One that is fitted to
        the same samples stands for the arm "nothing", and is not fitted again.

    risky : array-like or fitted filter
        Which samples are to be protected: a mask, their indices, or a `RiskFilter`,
        `FilteredEstimator` or `RiskReweighter` that was fitted to the same samples in
        the same order. Not what this audit itself found to be memorized, partly by its
        noise: choose that by an audit with another seed.

    X : array-like of shape (n_samples, n_features) or sequence of str
        All samples, as the estimator takes them.

    y : array-like of shape (n_samples,)
        Class labels.

    protections : dict of str to estimator, default=None
        Name of an arm -> what is trained in it, such as a `RiskReweighter` around the
        estimator, or a `FineTunedClassifier` with `privacy`. A filter inside is fitted
        to the half of each model; a risk table serves all halves where `X` is of pandas
        with the ids as its index (``RiskFilter(table, match="index")``).

    drop : bool, default=True
        Whether to train the arm "drop", without the risky samples.

    control : bool, default=True
        Whether to train the arm "random", which drops as many samples of the same
        classes at random: fewer samples alone change much.

    share : float in (0, 1), default=0.1
        Share of all samples that count as exposed, those with the highest ratio in the
        arm "nothing". The lowest of these ratios is the bar in all arms.

    n_bootstrap : int, default=500
        Resamples of models and samples for the intervals of attacks.

    **params : dict
        For ``fit`` of the estimators; what holds a value for each sample is cut.

    Returns
    -------
    effect : ProtectionAudit
        For groups of samples in each arm: `accuracy` of models that have not seen them,
        on the labels as given, wrong ones included; `auc`, `tpr_at_fpr_0.001` and
        `tpr_at_fpr_0.01` of the likelihood ratio attack; mean `lira` in nats; the
        shares that are `exposed`, `newly_exposed` (not so in the arm "nothing") and
        `no_longer_exposed`; and `seconds` to train a model. Samples that an arm drops
        are exposed in none of its models.

    Raises
    ------
    InvalidInputError
        If no sample or every sample is risky, a class is left too small for all models
        to see it, samples are IN or OUT of fewer than 2 models, or the audit was fitted
        to other samples, or with other settings than it has now.

    Notes
    -----
    All arms share the seeds of the models and who is IN which of them, so that they
    differ in the protection alone; the attacker knows it, as their models have it too.
    "risky" are the risky ones that the control does not drop, "others" those that no
    arm drops.

    No model of the arm "drop" has seen a risky sample: its row there shows the noise of
    the measure, around chance. Dropping them can expose others, the onion effect [1]_.
    Who can tell which samples were dropped, or kept, may still learn of them. All this
    holds for attacks by the ratio; a guarantee against all attacks has differential
    privacy alone.

    Random samples are drawn once; how much another draw would change is not in the
    intervals. Models are trained on `share` of the samples of the audit each, so what
    is said of a protection is said of a training set of that size.

    References
    ----------
    .. [1] N. Carlini et al., "The privacy onion effect: memorization is relative",
       NeurIPS, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from smilearn import ShadowAudit, audit_protection
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 40)
    >>> X = rng.normal(size=(80, 2)) + 4.0 * y[:, None]
    >>> y[:4] = 1  # wrong labels
    >>> nearest = KNeighborsClassifier(3, weights="distance")
    >>> audit = ShadowAudit(nearest, n_shadow=16, random_state=0)
    >>> smooth = {"more neighbours": KNeighborsClassifier(9)}
    >>> effect = audit_protection(
    ...     audit, [0, 1, 2, 3], X, y, protections=smooth, n_bootstrap=50
    ... )
    >>> rows = (effect["group"] == "risky") & (effect["measure"] == "exposed")
    >>> dict(zip(effect["arm"][rows].tolist(), effect["value"][rows].tolist()))
    {'nothing': 1.0, 'drop': 0.0, 'more neighbours': 0.0, 'random': 1.0}
    """
    labels = one_label_each(y, "audit_protection")
    check_aligned(X, {"y": labels})
    gone = risky_samples(risky, len(labels))
    numbers = isinstance(share, Real) and isinstance(n_bootstrap, Integral)
    if not numbers or not 0 < share < 1 or n_bootstrap < 2:
        raise InvalidInputError(
            "share must be between 0 and 1, and n_bootstrap 2 or more; got "
            f"{share!r} and {n_bootstrap!r}."
        )
    protections = _checked(protections or {})
    audit, run = _fitted(audit, X, labels, params)
    nothing, rng = audit._answers, np.random.default_rng([audit._seed, 3])
    members = nothing.members
    if min(members.sum(0).min(), (~members).sum(0).min()) < 2:
        raise InvalidInputError(
            "audit_protection leaves out a model at a time, so each sample must be IN "
            f"2 or more and OUT of 2 or more; got n_shadow={audit.n_shadow} and "
            f"share={audit.share}."
        )
    withheld = {DROP: gone} if drop else {}
    if control:
        withheld[RANDOM] = as_many(gone, labels, rng)
    for arm, rows in withheld.items():
        try:
            check_classes_seen(members[:, ~rows], run.codes[~rows], run.classes)
        except InvalidInputError as error:
            raise InvalidInputError(
                f"Without the samples of the arm {arm!r}: {error} Or give "
                f"{'control' if arm == RANDOM else 'drop'}=False."
            ) from error
    drawn = withheld.get(RANDOM, np.zeros(len(gone), bool))
    groups = {
        "all": np.ones(len(gone), bool),
        "others": ~gone & ~drawn,
        "risky": gone & ~drawn,
    }
    for name, rows in groups.items():
        if not rows.any():
            raise InvalidInputError(
                f"No sample is left of the {name}, as those drawn at random for the "
                "control took them all. Give control=False."
            )
    arms = {NOTHING: nothing}
    for arm in (*withheld, *protections):
        own = run if arm in withheld else run.of(protections[arm])
        answers = own.answers(members, withheld.get(arm))
        arms[arm] = replace(answers, prior=nothing.prior)
    if control:
        arms[RANDOM] = arms.pop(RANDOM)  # last
    measures = group_measures(list(arms.values()), groups, share, n_bootstrap, rng)
    sizes = {name: int(rows.sum()) for name, rows in groups.items()}
    by_sample = sample_measures(list(arms.values()), share)
    samples = _samples(labels, gone, drawn, arms, by_sample)
    return ProtectionAudit(measures, list(arms), sizes, len(members), samples, audit)


def _checked(protections):
    """Estimators of the arms, or what is wrong with them."""
    if not isinstance(protections, Mapping):
        raise InvalidInputError(
            "protections must be a dict of names and estimators; got "
            f"{type(protections).__name__}."
        )
    for name, estimator in protections.items():
        if name in (NOTHING, DROP, RANDOM) or not isinstance(name, str):
            raise InvalidInputError(
                f"protections must name arms by other strings than {NOTHING!r}, "
                f"{DROP!r} and {RANDOM!r}; got {name!r}."
            )
        if not all(hasattr(estimator, each) for each in ("fit", "predict_proba")):
            raise InvalidInputError(
                f"protections must be estimators with fit and predict_proba; "
                f"{name!r} is {type(estimator).__name__}."
            )
    return protections


def _fitted(audit, X, labels, params):
    """The audit of all samples, as it is or fitted now, and its run of models."""
    if not isinstance(audit, ShadowAudit):
        name = type(audit).__name__
        raise InvalidInputError(
            f"audit must be a ShadowAudit, fitted or not; got {name}. A classifier is "
            f"audited by ShadowAudit({name}(...))."
        )
    if not hasattr(audit, "lira_"):
        audit = clone(audit).fit(X, labels, **params)
        return audit, audit._run(X, labels, params, audit._seed)
    if not np.array_equal(audit.labels_, labels):
        raise InvalidInputError(
            f"The audit is fitted to other samples: {len(audit.labels_)} labels, not "
            f"the {len(labels)} given, in this order. Give one that is not fitted."
        )
    run = audit._run(X, labels, params, audit._seed)
    if run.facts and audit._facts:
        now, then = run.facts, audit._facts
        changed = sorted(name for name in now if now[name] != then.get(name))
        if changed:
            raise InvalidInputError(
                f"The audit is fitted with other {', '.join(changed)}. Give the same "
                "as then, or one that is not fitted: clone(audit)."
            )
    return audit, run


def risky_samples(risky, n_samples):
    """Mask of the risky samples, checked."""
    fitted = getattr(risky, "filter_", risky)
    if hasattr(fitted, "support_"):
        gone = ~np.asarray(fitted.support_, bool)
    elif hasattr(fitted, "fit"):
        raise InvalidInputError(
            f"{type(risky).__name__} must be fitted to the samples first, so that it "
            "says which of them are risky."
        )
    else:
        gone = np.asarray(risky)
    if gone.dtype != bool:
        if gone.ndim != 1 or (gone.dtype.kind not in "iu" and gone.size):
            raise InvalidInputError(
                "risky must be a mask or indices of samples, or a fitted filter; got "
                f"{gone.dtype} of shape {gone.shape}."
            )
        wrong = (gone < 0) | (gone >= n_samples)
        if wrong.any():
            raise InvalidInputError(
                f"risky must be indices from 0 to {n_samples - 1}; got "
                f"{gone[wrong][:5].tolist()}."
            )
        if len(np.unique(gone)) < len(gone):
            raise InvalidInputError(
                "risky must name each sample once; got repeated indices. Give a mask "
                "as booleans, not as 0 and 1."
            )
        gone = np.isin(np.arange(n_samples), gone)
    if gone.shape != (n_samples,):
        raise InvalidInputError(
            f"risky must say of each of the {n_samples} samples whether it is; got "
            f"shape {gone.shape}."
        )
    if gone.all() or not gone.any():
        raise InvalidInputError(
            f"Some samples must be risky and some not; {gone.sum()} of {n_samples} are."
        )
    return gone


def as_many(gone, labels, rng):
    """Draw as many samples of each class at random, from all."""
    drawn = np.zeros(len(gone), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        drawn[rng.choice(members, gone[members].sum(), replace=False)] = True
    return drawn


def sample_measures(arms, share):
    """Measure each sample in each arm, (n_arms, n_samples); the first has all."""
    lira = np.array([arm.lira() for arm in arms])
    n_exposed = max(round(share * lira.shape[1]), 1)
    bar = lira[0][ranks_of(-lira[0]) <= n_exposed].min()
    exposed = lira >= bar
    for place, arm in enumerate(arms):
        if arm.withheld is not None:
            exposed[place] &= ~arm.withheld
    return {
        "accuracy": np.array([arm.accuracy() for arm in arms]),
        "lira": lira,
        "exposed": exposed,
        "newly_exposed": exposed & ~exposed[0],
        "no_longer_exposed": ~exposed & exposed[0],
    }


def group_measures(arms, groups, share, n_bootstrap, rng):
    """Measure groups of samples in each arm: means and their covariance by arms."""
    members = arms[0].members
    models = np.arange(len(members))
    whole = sample_measures(arms, share)
    parts = [sample_measures([a.of(models != j) for a in arms], share) for j in models]
    attacks = [arm.log_lira(equal_counts=True) for arm in arms]
    measures = {}
    for group, rows in groups.items():
        for measure in whole.keys() & set(MEASURES[group]):
            part_means = [part[measure][:, rows].mean(1) for part in parts]
            mean, covariance = _mean(whole[measure][:, rows], np.array(part_means))
            if measure in _SHARES:  # none of n samples is not none at all
                covariance += np.eye(len(arms)) * (rows.sum() + 2.0) ** -2
            measures[group, measure] = mean, covariance
        part = [ratios[:, rows] for ratios in attacks]
        values, covariance = attack_draws(part, members[:, rows], n_bootstrap, rng)
        for k, measure in enumerate(ATTACK):
            measures[group, measure] = values[:, k], covariance[k]
    seconds = np.array([arm.seconds for arm in arms])
    measures["all", "seconds"] = (
        seconds.mean(1),
        np.atleast_2d(np.cov(seconds)) / len(members),
    )
    return measures


def _mean(values, part_means):
    """Mean over samples in each arm, and its covariance over samples and models."""
    n_samples, n_models = values.shape[1], len(part_means)
    off = values - values.mean(1, keepdims=True)
    by_samples = off @ off.T / n_samples / max(n_samples - 1, 1)
    off = part_means - part_means.mean(0)
    by_models = off.T @ off * (n_models - 1) / n_models
    return values.mean(1), by_samples + by_models


def effect_rows(measures, arms, reference, n_models, sizes):
    """Value, interval and difference of each group, measure and arm."""
    place, rows = arms.index(reference), []
    for group, measure in ((g, m) for g, names in MEASURES.items() for m in names):
        values, covariance = measures[group, measure]
        variance = np.diag(covariance)
        width = half_width(variance, n_models)
        low, high = values - width, values + width
        if measure not in ("lira", "seconds"):  # a rate
            low, high = np.clip([low, high], 0, 1)
        difference = values - values[place]
        shared = variance[place] - 2 * covariance[place]
        width = half_width(variance + shared, n_models)
        width[place] = 0.0
        lowest, highest = difference - width, difference + width
        verdict = np.select([lowest > 0, highest < 0], ["higher", "lower"], "even")
        for a, arm in enumerate(arms):
            rows.append(
                {
                    "group": group,
                    "n_samples": sizes[group],
                    "measure": measure,
                    "arm": arm,
                    "value": values[a],
                    "low": low[a],
                    "high": high[a],
                    "difference": difference[a],
                    "difference_low": lowest[a],
                    "difference_high": highest[a],
                    "verdict": str(verdict[a]),
                }
            )
    return rows


def _samples(labels, gone, drawn, arms, measures):
    kinds = {"both": gone & drawn, "risky": gone, "random": drawn}
    group = np.select(list(kinds.values()), list(kinds), "others")
    columns = {"id": np.arange(len(labels)), "label": labels, "group": group}
    for place, (arm, answers) in enumerate(arms.items()):
        columns[f"lira_{arm}"] = measures["lira"][place]
        left = answers.withheld
        trained = np.ones(len(labels), bool) if left is None else ~left
        for name in _CHANGES * (arm != NOTHING):
            columns[f"{name}_{arm}"] = measures[name][place] & trained
    return AuditTable(columns)
