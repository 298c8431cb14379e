"""Scorers compared with the ground truth of an audit, with intervals."""

from typing import ClassVar

import numpy as np
from sklearn.base import clone

from smilearn.audit._bootstrap import (
    METRICS,
    Truth,
    checked,
    checked_truth,
    most_memorized,
    top_size,
)
from smilearn.exceptions import InvalidInputError
from smilearn.filtering._pipelines import layers, scored
from smilearn.tables._risk_table import RiskTable
from smilearn.tables._table import WideTable
from smilearn.utils._random import generator_from


class ScorerComparison(WideTable):
    """One row a scorer and metric; shown with one row a scorer.

    Made by :func:`compare_scorers`.

    Parameters
    ----------
    frame : polars.DataFrame
        `scorer`, `metric`, its `value`, and the ends `low` and `high` of its 95 %
        interval; with a reference also the `difference` to it, `difference_low` and
        `difference_high`, and the `verdict`: "better" or "worse" where that interval
        excludes 0, else "even".

    reference : str, default=None
        Scorer that the others are compared with.

    over : str, default="samples"
        What the intervals are over.

    Attributes
    ----------
    frame : polars.DataFrame
        The columns.

    reference, over : str
        The same.

    Examples
    --------
    >>> from smilearn import compare_scorers
    >>> scores = {"loss": [-3.0, -0.2, -0.9, -0.1], "noise": [0.5, 0.5, 0.5, 0.5]}
    >>> table = compare_scorers(scores, [True, False, False, False], random_state=0)
    >>> table["metric"][:2].tolist(), table["value"][:2].tolist()
    (['auc', 'fpr_at_tpr_0.75'], [1.0, 0.0])
    """

    _down, _across = ("scorer",), "metric"
    _marks: ClassVar[dict] = {"better": ("+", "better"), "worse": ("-", "worse than")}

    def __init__(self, frame, reference=None, over="samples"):
        super().__init__(frame, reference, over)


def compare_scorers(
    scorers,
    memorized=None,
    *,
    audit=None,
    lira=None,
    share=0.1,
    X=None,
    y=None,
    reference="auto",
    n_bootstrap=1000,
    truth=None,
    n_models=None,
    random_state=None,
):
    """Compare how well scorers rank the memorized samples, with 95 % intervals.

    Parameters
    ----------
    scorers : dict of str to scorer
        By name: scores of the training samples, low = at risk, or a risk table of them;
        a fitted scorer, or a pipeline that ends in one, whose `scores_` are taken; one
        that is not fitted, and is fitted to `X` and `y`; or a function that takes `X`
        and `y` and gives scores. All in one order of the samples.

    memorized : array-like of shape (n_samples,), default=None
        Whether each sample is memorized. None: the top `share` by `lira` is, ties by
        lot.

    audit : ShadowAudit, default=None
        Stands for `lira`, `truth` and `n_models`: intervals are over its models too.
        Its `prior`, which would favour the scorer it is, is left out.

    lira : array-like of shape (n_samples,), default=None
        How much each sample is memorized, such as the log likelihood ratio of an audit;
        for the rank correlation, and where `memorized` is None.

    share : float in (0, 1), default=0.1
        Share of memorized samples, where they are taken from `lira`.

    X, y : object, default=None
        Samples and labels, for scorers that need them.

    reference : str or None, default="auto"
        Name of the scorer that all are compared with; None compares with none. "auto"
        is "loss" where there is one, else None.

    n_bootstrap : int, default=1000
        Resamples. They are the same for all scorers, so that differences are paired.

    truth : callable, default=None
        Gives `lira` from some models of the audit alone, whose numbers it takes, an
        array of int. Then intervals are over shadow models too.

    n_models : int, default=None
        Models of the audit, for `truth`.

    random_state : int, RandomState instance, Generator or None, default=None
        Seed of the resamples.

    Returns
    -------
    table : ScorerComparison
        One row a scorer and metric: AUC, FPR at a TPR of 0.75, TPR at an FPR of 0.01,
        precision in the riskiest tenth, and the rank correlation with `lira`.

    Raises
    ------
    InvalidInputError
        If scores or truth are not finite, are not of one length, or are of one kind;
        rows are never dropped. If there is no such reference.

    Notes
    -----
    Memorized and other samples are resampled by themselves. Intervals are percentiles
    of the resamples. They allow for noise of the truth that is independent from sample
    to sample, not for what all have in common by the models of the audit; `truth` does.

    With `truth`, each resample also draws half of the models, none of them twice, and
    takes the truth from these; those that `memorized` names stay what they are. A truth
    from fewer models agrees less with any scorer: intervals are moved by the mean of
    that effect, to stand around the value. Noise that is independent from sample to
    sample counts twice then: in simulations intervals were 1.2 to 1.5 times as wide as
    needed where there was no other, and 0.8 to 1 times where models had much in common.

    Intervals of single cells do not allow for how many there are: of many scorers that
    are no better than the reference, one in twenty is marked, in each metric.

    Examples
    --------
    >>> import numpy as np
    >>> from smilearn import compare_scorers
    >>> rng = np.random.default_rng(0)
    >>> lira = rng.normal(size=400)
    >>> scores = {"loss": -lira + 3 * rng.normal(size=400), "good": -lira}
    >>> table = compare_scorers(scores, lira=lira, random_state=0)
    >>> table["value"][table["scorer"] == "good"].tolist()
    [1.0, 0.0, 1.0, 1.0, 1.0]
    >>> set(table["verdict"][table["scorer"] == "good"].tolist())
    {'better'}
    """
    if reference == "auto":
        reference = "loss" if "loss" in scorers else None
    if reference is not None and reference not in scorers:
        raise InvalidInputError(
            f"reference must be one of the scorers {list(scorers)}, or None; got "
            f"{reference!r}."
        )
    if not scorers or n_bootstrap < 1:
        raise InvalidInputError(
            f"Give a scorer or more, and n_bootstrap of 1 or more; got {len(scorers)} "
            f"and {n_bootstrap}."
        )
    if audit is not None:
        if lira is not None or truth is not None:
            raise InvalidInputError("Give an audit, or lira and truth; not both.")
        if not hasattr(audit, "shadow_in_"):
            name = type(audit).__name__
            raise InvalidInputError(f"audit must be a fitted ShadowAudit; got {name}.")
        truth, n_models = audit.lira_of, len(audit.shadow_in_)
    ground = _truth(memorized, lira, share, truth, n_models)
    risks = []
    for name, scorer in scorers.items():
        scores = checked(f"scores of {name!r}", _scores_of(name, scorer, X, y))
        if len(scores) != len(ground.memorized):
            raise InvalidInputError(
                f"scores of {name!r} must be one for each of the "
                f"{len(ground.memorized)} samples; got {len(scores)}."
            )
        risks.append(-scores)
    values = np.array([ground.values(risk) for risk in risks])
    draws = ground.draws(risks, n_bootstrap, generator_from(random_state, "bootstrap"))
    columns = _columns(list(scorers), values, draws, reference)
    over = "samples" if truth is None else "samples and shadow models"
    return ScorerComparison(columns, reference, over)


def _truth(memorized, lira, share, of_models, n_models):
    """The ground truth, checked."""
    if of_models is not None:
        if n_models is None or n_models < 4:
            raise InvalidInputError(
                "truth needs n_models, the number of models of the audit, 4 or more, "
                f"as half of them are drawn at a time; got {n_models}."
            )
        lira = of_models(np.arange(n_models)) if lira is None else lira
    lira, fixed = None if lira is None else checked("lira", lira), memorized is not None
    if fixed:
        memorized = checked_truth(memorized)
        if lira is not None and len(lira) != len(memorized):
            raise InvalidInputError(
                f"memorized and lira must be of one length; got {len(memorized)} and "
                f"{len(lira)}."
            )
    elif lira is None:
        raise InvalidInputError("Give the ground truth: audit, memorized or lira.")
    elif not 0 < share < 1:
        raise InvalidInputError(f"share must be between 0 and 1; got {share}.")
    else:
        memorized = most_memorized(lira, top_size(len(lira), share))
    if memorized.all() or not memorized.any():
        raise InvalidInputError(
            "There must be memorized samples and others; got "
            f"{memorized.sum()} memorized ones of {len(memorized)}."
        )
    return Truth(memorized, lira, of_models, n_models, fixed)


def _scores_of(name, scorer, X, y):
    if isinstance(scorer, RiskTable):
        return 0.0 - scorer["risk"]
    if not hasattr(scorer, "fit") and not callable(scorer):
        return scorer
    fitted = hasattr(scorer, "fit") and hasattr(layers(scorer)[-1], "scores_")
    if not fitted and (X is None or y is None):
        raise InvalidInputError(
            f"{name!r} has no scores yet: give X and y, or a scorer that is fitted."
        )
    if not hasattr(scorer, "fit"):
        return scorer(X, y)
    return scored(scorer if fitted else clone(scorer).fit(X, y), repr(name)).scores_


def _columns(names, values, draws, reference):
    """Put values, intervals and differences into columns."""
    kinds, ends = list(METRICS)[: values.shape[1]], [0.025, 0.975]
    least = [-1 if kind == "rank_correlation" else 0 for kind in kinds]
    low, high = np.clip(np.quantile(draws, ends, axis=-1), least, 1)
    columns = {
        "scorer": np.repeat(np.array(names), len(kinds)),
        "metric": np.tile(np.array(kinds), len(names)),
        "value": values,
        "low": low,
        "high": high,
    }
    if reference is not None:
        place = names.index(reference)
        low, high = np.quantile(draws - draws[place], ends, axis=-1)
        columns["difference"] = values - values[place]
        columns |= {"difference_low": low, "difference_high": high}
        signs = np.array([METRICS[kind] for kind in kinds])
        direction = signs * ((low > 0) * 1 - (high < 0) * 1)
        columns["verdict"] = np.array(["worse", "even", "better"])[direction + 1]
    return {name: column.ravel() for name, column in columns.items()}
