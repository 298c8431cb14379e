"""The numbers of a report: what a page shows of a risk table, ready for JSON."""

import json
import math

import numpy as np
import polars as pl

from smilearn.exceptions import InvalidInputError
from smilearn.metrics import auc
from smilearn.report._nearest import nearest_rows
from smilearn.tables._columns import whole_numbers
from smilearn.utils._files import digest

LEAST = 0.05  # probability of a label below which a sample stands out, as in RiskFilter
RISKIEST = 0.1  # share of the table that counts as its riskiest samples
SHARES = [percent / 100 for percent in range(31)]  # places of the slider
_MOST_COLOURS, _MOST_CLASSES, _N_BINS = 6, 12, 48
_LARGEST = 1e300  # stands for infinity, which JSON does not have
_TEXTS, _NEAREST, _OWN = 1_000_000, 300_000, 250_000  # bytes in the page, all together
_TICKS = (0.999, 0.99, 0.95, 0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.01, 1e-3, 1e-4, 1e-6)


def summarize(table, *, columns=None, embeddings=None, n_rows=2000, texts=True):
    """Sum a risk table up: classes, histogram, confusions, cuts, riskiest rows."""
    if not len(table):
        raise InvalidInputError("A report needs at least one sample; got none.")
    order = np.argsort(table["rank"], kind="stable")
    frame = table.frame[order]
    names, codes, likely = _classes(frame)
    sizes = np.bincount(codes, minlength=len(names))
    risk = np.clip(frame["risk"].to_numpy(), -_LARGEST, _LARGEST)
    known = "probability" in frame.columns
    wrong = 1 - frame["probability"].to_numpy() if known else None
    place = np.empty(len(codes), np.int64)  # 1 for the riskiest of its class
    by_class = np.argsort(codes, kind="stable")
    place[by_class] = 1 + np.arange(len(codes)) - np.repeat(sizes.cumsum() - sizes, sizes)
    stand_out = _standing_out(risk, wrong, codes, likely)
    n_each = n_rows / 4 / len(names)
    shown = np.flatnonzero((np.arange(len(codes)) < n_rows * 3 / 4) | (place <= n_each))
    summary = {
        "key": digest(frame["id"].cast(pl.String), [*map(str, names)], risk),
        "n_samples": len(codes),
        "classes": names,
        "sizes": sizes.tolist(),
        "stand_out": {
            "n": int(stand_out.sum()),
            "expected": round(float(wrong[stand_out].sum()), 1) if known else None,
            "least": LEAST,
        },
        "by_class": _class_rows(codes, sizes, risk, wrong),
        "histogram": _histogram(codes, sizes, risk, wrong),
        "confusions": None if likely is None else _confusions(codes, likely, names),
        "cuts": _cuts(codes, sizes, place, wrong),
        "warnings": list(_warnings(table, frame, names, sizes, risk)),
    }
    own = None if columns is None else pl.DataFrame(columns)
    if own is not None and len(own) != len(table):
        raise InvalidInputError(
            f"columns must have a row a sample; got {len(own)} for {len(table)}."
        )
    rows = {
        "id": _as_text(frame["id"][shown]),
        "rank": frame["rank"][shown].to_list(),
        "order": (shown + 1).tolist(),
        "place": place[shown].tolist(),
        "risk": _rounded(risk[shown]),
        "probability": _rounded(1 - wrong[shown]) if known else None,
        "label": codes[shown].tolist(),
        "likely": None if likely is None else likely[shown].tolist(),
    }
    if texts and "text" in frame.columns:
        rows["text"], summary["cut"] = _fitting(frame["text"][shown].to_list(), _TEXTS)
        if embeddings is not None:
            X = _checked(embeddings, len(table))[order]
            near = nearest_rows(X, codes, codes if likely is None else likely, shown)
            pool, places = np.unique(near[near >= 0], return_inverse=True)
            near[near >= 0] = places
            rows["near"] = near.tolist()
            summary["pool"], _ = _fitting(frame["text"][pool].to_list(), _NEAREST, 300)
    if own is not None and own.width:
        cells = own[order[shown]]
        whole = [_plain(cells[name]) for name in cells.columns]
        rows["own"] = [_fitting(c, _OWN // own.width, 300)[0] for c in whole]
        summary["own"] = own.columns
    return summary | {"rows": {k: v for k, v in rows.items() if v is not None}}


def audited(table, audit):
    """Say how well the risk finds the tenth that an audit found most memorized."""
    frame = audit.frame if hasattr(audit, "frame") else pl.DataFrame(audit)
    frame = frame.filter(frame["audited"]) if "audited" in frame.columns else frame
    lira = pl.DataFrame({"id": _as_text(frame["id"]), "lira": frame["lira"]})
    risk = pl.DataFrame({"id": _as_text(table.frame["id"]), "risk": table.frame["risk"]})
    both = risk.join(lira.unique("id"), on="id").drop_nulls()
    n_top = math.ceil(RISKIEST * len(both))
    if len(both) < 2 or n_top == len(both):
        raise InvalidInputError(
            f"The audit shares {len(both)} ids with the risk table, which is too few; "
            "audit the same samples, with the same ids."
        )
    memorized = (-both["lira"]).rank("ordinal").to_numpy() <= n_top
    riskiest = (-both["risk"]).rank("ordinal").to_numpy() <= n_top
    area = auc(memorized, both["risk"].to_numpy())
    margin = 1.96 * _auc_error(area, n_top, len(both) - n_top)
    return {
        "n_samples": len(both),
        "n_top": n_top,
        "auc": round(area, 3),
        "low": round(max(area - margin, 0.0), 3),
        "high": round(min(area + margin, 1.0), 3),
        "n_found": int((memorized & riskiest).sum()),
    }


def _auc_error(area, n_memorized, n_others):
    """Standard error of an area under the curve, by Hanley and McNeil."""
    one, two = area / (2 - area) - area**2, 2 * area**2 / (1 + area) - area**2
    spread = area * (1 - area) + (n_memorized - 1) * one + (n_others - 1) * two
    return math.sqrt(max(spread, 0.0) / (n_memorized * n_others))


def _as_text(values):
    """Ids or labels as the text that files of any format have for them."""
    if values.dtype.is_float() and (values == values.round()).all():
        values = values.cast(pl.Int64)
    return values.cast(pl.String).to_list()


def _classes(frame):
    """Names of the classes, and codes of the given and of the likelier labels."""
    given = _as_text(frame["label"])
    names = [str(n) for n in _as_text(frame["label"].unique().sort())]
    likely = None
    if "most_likely_label" in frame.columns:
        likely = _as_text(frame["most_likely_label"])
        names += sorted({*likely} - {*names})
    code = {name: i for i, name in enumerate(names)}
    codes = np.array([code[n] for n in given])
    return names, codes, None if likely is None else np.array([code[n] for n in likely])


def _standing_out(risk, wrong, codes, likely):
    """Labels that the others find improbable; without probabilities, odd risks."""
    if wrong is not None:
        return (wrong > 1 - LEAST) & (True if likely is None else likely != codes)
    middle = np.median(risk)
    return risk - middle > 3 * 1.4826 * np.median(np.abs(risk - middle)) + 1e-12


def _class_rows(codes, sizes, risk, wrong):
    """Samples of each class, their medians, and their share of the riskiest."""
    n_top = math.ceil(RISKIEST * len(codes))
    top = np.bincount(codes[:n_top], minlength=len(sizes))
    for code in np.flatnonzero(sizes):
        own = codes == code
        share = float(top[code] / n_top)
        yield_row = {
            "label": int(code),
            "n": int(sizes[code]),
            "risk": _rounded(np.median(risk[own])),
            "n_top": int(top[code]),
            "share": round(share, 4),
            "ratio": round(share / (sizes[code] / len(codes)), 3),
        }
        if wrong is not None:
            yield_row["probability"] = _rounded(1 - np.median(wrong[own]))
        yield yield_row
