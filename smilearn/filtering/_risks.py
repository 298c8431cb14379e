"""The score of each training sample, from a scorer or a table."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.metadata_routing import process_routing

from smilearn.exceptions import InvalidInputError
from smilearn.filtering._pipelines import layers, score_samples
from smilearn.scoring._scorer import SlicedMIScorer
from smilearn.tables._risk_table import RiskTable
from smilearn.utils._containers import check_aligned, index_of
from smilearn.utils._sklearn_compat import routing_enabled


@dataclass
class Risks:
    """What is known of the training samples."""

    scorer: object
    scores: np.ndarray
    table: RiskTable
    offset: float = 0.0
    false_flag_rate: float | None = None


def default_scorer():
    """The scorer of who names none; it gets no metadata, with routing or without."""
    scorer = SlicedMIScorer()
    return scorer.set_fit_request(sample_weight=False) if routing_enabled() else scorer


def risks_of(cleaner, scorer, X, labels, params):
    """Ask what a filter asks: its table, or its scorer."""
    if params and not routing_enabled():
        raise InvalidInputError(
            f"fit of a filter takes X and y, and more only with metadata routing; got "
            f"{', '.join(params)}. fit_resample cuts what goes with the samples."
        )
    routed = process_routing(cleaner, "fit", **params) if params else None
    if not isinstance(scorer, RiskTable):
        requested = routed.scorer.fit if routed else {}
        return risks_of_scorer(scorer, X, labels, cleaner.alpha, requested)
    if cleaner.alpha is not None:
        raise InvalidInputError(
            "alpha shuffles labels and scores again; give the scorer instead of its "
            "risk table."
        )
    return risks_of_table(scorer, X, labels, cleaner.match)


def risks_of_scorer(scorer, X, labels, alpha=None, params=None):
    """Fit a scorer to the samples."""
    scorer = clone(scorer)
    if alpha is not None:
        _calibrate(scorer, alpha)
    scorer.fit(X, labels, **(params or {}))
    inside = layers(scorer)
    last, std = inside[-1], None
    if any(isinstance(each, FrozenEstimator) for each in inside):
        scores = score_samples(scorer, X, labels)
    elif hasattr(last, "scores_"):
        scores, std = last.scores_, getattr(last, "scores_std_", None)
    else:
        raise InvalidInputError(
            f"scorer must have scores_ after fit, one for each training sample; "
            f"{type(last).__name__} has none. Use SlicedMIScorer or a pipeline that "
            "ends in it."
        )
    scores, ids = np.asarray(scores, dtype=np.float64), index_of(X)
    named = None if ids is None else ids.to_numpy()
    table = RiskTable(scores, labels, std=std, id=named)
    offset = float(getattr(last, "offset_", 0.0))
    rate = getattr(last, "false_flag_rate_", None)
    return Risks(scorer, scores, table, offset, rate)


def risks_of_table(table, X, labels, match):
    """Find the samples in a table."""
    if X is not None:
        check_aligned(X, {"y": labels})
    if match == "index":
        table = table.take(_rows_by_id(table, index_of(X)))
    elif not table.is_whole:
        raise InvalidInputError(
            "The risk table is a view made by take or riskiest; give the whole "
            "table, its rows in the order of the data."
        )
    own = table["label"]
    if len(own) != len(labels) or (own != labels).any():
        raise InvalidInputError(
            "The labels of the risk table are not y; score this very data first."
        )
    return Risks(table, table["psmi"], table)


def _calibrate(scorer, alpha):
    """Ask a scorer for a line drawn by shuffled labels."""
    *around, scorer = layers(scorer)
    frozen = any(isinstance(each, FrozenEstimator) for each in around)
    known = {*getattr(scorer, "get_params", dict)()}
    if frozen or not {"contamination", "alpha"} <= known:
        raise InvalidInputError(
            f"alpha needs a scorer that draws a line by shuffled labels and is fitted "
            f"here, such as SlicedMIScorer; {type(scorer).__name__} does not."
        )
    scorer.set_params(contamination="permutation", alpha=alpha)


def _rows_by_id(table, index):
    """Row of the table that each sample has by its index."""
    if index is None:
        raise InvalidInputError(
            'match="index" needs X to be a pandas frame or series whose index holds '
            "the ids of the risk table."
        )
    ids = table["id"].tolist()
    rows = dict(zip(ids, range(len(ids)), strict=True))
    if len(rows) < len(ids):
        raise InvalidInputError(
            'match="index" needs ids that name one row each; the risk table has '
            f"{len(ids) - len(rows)} ids more than once."
        )
    found = [rows.get(name, -1) for name in index.tolist()]
    if -1 in found:
        raise InvalidInputError(
            f"{found.count(-1)} samples are not in the risk table, the first with the "
            f"index {index[found.index(-1)]!r}."
        )
    return found
