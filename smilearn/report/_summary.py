"""The numbers of a report: what a page shows of a risk table, ready for JSON."""

import json
import math

import numpy as np
import polars as pl

from smilearn.exceptions import InvalidInputError
from smilearn.metrics import auc
from smilearn.report._nearest import nearest_rows
from smilearn.tables._improbable import LEAST_PROBABILITY, improbable
from smilearn.utils._files import digest

RISKIEST = 0.1  # share of the table that counts as its riskiest samples
SHARES = [percent / 100 for percent in range(31)]  # places of the slider
_MOST_COLOURS, _MOST_CLASSES, _N_BINS = 6, 10, 48
_MOST_COUNTED = 500  # classes that are counted one by one in the page
_LARGEST = 1e300  # stands for infinity, which JSON does not have
_WHOLE = 2**53  # whole numbers up to here are exact in JavaScript
_TEXTS, _NEAREST, _OWN = 900_000, 300_000, 250_000  # bytes in the page, all together
_TICKS = (0.999, 0.99, 0.95, 0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.01, 1e-3, 1e-4, 1e-6)


def summarize(table, *, columns=None, embeddings=None, n_rows=2000, texts=True):
    """Sum a risk table up: classes, histogram, confusions, cuts, riskiest rows."""
    if not len(table):
        raise InvalidInputError("A report needs at least one sample; got none.")
    order = np.argsort(table["rank"], kind="stable")
    frame = table.frame[order]
    twice = frame["id"].filter(frame["id"].is_duplicated())
    if len(twice):
        raise InvalidInputError(
            f"Ids must differ, as a review is by id; got {twice[0]!r} more than once."
        )
    names, codes, likely = _classes(frame)
    sizes = np.bincount(codes, minlength=len(names))
    risk = np.clip(frame["risk"].to_numpy(), -_LARGEST, _LARGEST)
    known = "probability" in frame.columns
    wrong = 1 - frame["probability"].to_numpy() if known else None
    place = np.empty(len(codes), np.int64)  # 1 for the riskiest of its class
    by_class = np.argsort(codes, kind="stable")
    place[by_class] = (
        1 + np.arange(len(codes)) - np.repeat(sizes.cumsum() - sizes, sizes)
    )
    stand_out = improbable(frame) if known else _odd(risk)
    shown = np.arange(len(codes))
    if len(shown) > n_rows:  # some of each class, and else the riskiest of all
        of_class = place <= n_rows // (4 * np.count_nonzero(sizes))
        n_others = n_rows - int(of_class.sum())
        shown = np.flatnonzero(of_class | (np.cumsum(~of_class) <= n_others))
    summary = {
        "n_samples": len(codes),
        "n_classes": int(np.count_nonzero(sizes)),
        "stand_out": {
            "n": int(stand_out.sum()),
            "expected": round(float(wrong[stand_out].sum()), 1) if known else None,
            "least": LEAST_PROBABILITY,
        },
        "by_class": _class_rows(codes, sizes, risk, wrong, stand_out),
        "histogram": _histogram(codes, sizes, risk, wrong, stand_out),
        "confusions": None if likely is None else _confusions(codes, likely, names),
        "warnings": list(_warnings(table, frame, names, sizes, risk)),
    }
    counted = np.arange(len(names))
    if len(names) > _MOST_COUNTED:
        del summary["by_class"][_MOST_COUNTED:]
        counted = np.array([row["label"] for row in summary["by_class"]])
    summary["cuts"] = _cuts(codes, sizes, place, wrong, counted)
    own = pl.DataFrame(columns)
    if own.width and len(own) != len(table):
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
    if own.width:
        cells = own[order[shown]]
        whole = [_plain(column) for column in cells]
        rows["own"] = [_fitting(c, _OWN // own.width, 300)[0] for c in whole]
        summary["own"] = own.columns
    summary["rows"] = {k: v for k, v in rows.items() if v is not None}
    kept = _numbered_anew(summary) if len(names) > _MOST_COUNTED else range(len(names))
    summary["classes"] = [names[code] for code in kept]
    summary["sizes"] = [int(sizes[code]) for code in kept]
    ids = frame["id"].cast(pl.String)
    summary["key"] = digest(ids, [*map(str, summary["classes"])], risk)
    return summary


def shortened(name, most=100):
    """A name of so many characters at most, cut in the middle."""
    name, half = str(name), most // 2
    return name if len(name) <= most else f"{name[:half]}…{name[half + 1 - most :]}"


def _numbered_anew(summary):
    """Codes of the classes that a page needs; in it they are 0, 1 and so on."""
    rows, cuts = summary["rows"], summary["cuts"]
    lists = [rows["label"], rows.get("likely", []), cuts["labels"]]
    lists += [summary["histogram"]["labels"]]
    confusions = summary["confusions"] or {"labels": [], "cells": []}
    lists += [confusions["labels"]]
    kept = sorted(set().union(*lists))
    new = {code: i for i, code in enumerate(kept)}
    for codes in lists:
        codes[:] = [new[code] for code in codes]
    for row in summary["by_class"]:
        row["label"] = new[row["label"]]
    for cell in confusions["cells"]:
        cell[:2] = new[cell[0]], new[cell[1]]
    return kept


def audited(table, audit):
    """Say how well the risk finds the tenth that an audit found most memorized."""
    frame = audit.frame if hasattr(audit, "frame") else pl.DataFrame(audit)
    if "audited" in frame.columns:
        frame = frame.filter(frame["audited"].cast(pl.String) == "true")
    lira = pl.DataFrame(
        {"id": _as_text(frame["id"]), "lira": frame["lira"].cast(float)}
    )
    risk = pl.DataFrame(
        {"id": _as_text(table.frame["id"]), "risk": table.frame["risk"]}
    )
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


def _odd(risk):
    """Risks that stand out where there are no probabilities."""
    middle = np.median(risk)
    return risk - middle > 3 * 1.4826 * np.median(np.abs(risk - middle)) + 1e-12


def _class_rows(codes, sizes, risk, wrong, stand_out):
    """Samples of each class, their medians, and their share of the riskiest."""
    n_top = math.ceil(RISKIEST * len(codes))
    top = np.bincount(codes[:n_top], minlength=len(sizes))
    out = np.bincount(codes[stand_out], minlength=len(sizes))
    of_class = np.split(np.argsort(codes, kind="stable"), sizes.cumsum()[:-1])
    rows = []
    for code in np.flatnonzero(sizes):
        own, share = of_class[code], top[code] / n_top
        row = {"label": int(code), "n": int(sizes[code]), "n_top": int(top[code])}
        row["n_out"] = int(out[code])
        row["risk"] = _rounded(np.median(risk[own]))
        if wrong is not None:
            row["probability"] = _rounded(1 - np.median(wrong[own]))
        row["share"] = round(float(share), 4)
        row["ratio"] = round(float(share / sizes[code] * len(codes)), 3)
        chance = n_top * sizes[code] / len(codes)
        many = top[code] > chance + 2 * math.sqrt(chance)
        row["high"] = bool(many and sizes[code] >= 10)
        rows.append(row)
    return sorted(rows, key=lambda row: (-row["n_out"], -row["ratio"], row["label"]))


def _histogram(codes, sizes, risk, wrong, stand_out):
    """Samples by risk and class; what lies far out is in the first or last bin."""
    # where risk is minus the log of the probability, the axis says the probability
    same = wrong is not None and np.allclose(
        np.exp(np.minimum(-risk, 1.0)), 1 - wrong, atol=1e-3
    )
    finite = risk[np.abs(risk) < _LARGEST]
    finite = finite if len(finite) else np.zeros(1)
    low, high = np.quantile(finite, [0.005, 0.995])
    middle, spread = np.median(finite), np.subtract(*np.quantile(finite, [0.75, 0.25]))
    if spread > 0:  # a few far samples must not squeeze all others
        low, high = max(low, middle - 8 * spread), min(high, middle + 8 * spread)
    if same and stand_out.any():  # nor must those that the page is about be hidden
        high = max(high, min(-math.log(LEAST_PROBABILITY), finite.max()))
    if not high > low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _N_BINS + 1)
    groups, n_named = codes, len(sizes)
    if np.count_nonzero(sizes) > _MOST_COLOURS:
        n_named = _MOST_COLOURS - 1
        named = np.argsort(-sizes, kind="stable")[:n_named]
        groups = np.full(len(sizes), n_named)
        groups[named] = np.arange(n_named)
        groups = groups[codes]
    else:
        named = np.flatnonzero(sizes)
        groups = np.searchsorted(named, codes)
    bins = np.clip(np.searchsorted(edges, risk, "right") - 1, 0, _N_BINS - 1)
    counts = np.zeros((groups.max() + 1, _N_BINS), np.int64)
    np.add.at(counts, (groups, bins), 1)
    ticks = [[-math.log(p), f"{p:.10g}"] for p in _TICKS]
    return {
        "edges": _rounded(edges),
        "labels": named.tolist(),
        "counts": counts.tolist(),
        "below": int((risk < low).sum()),
        "above": int((risk > high).sum()),
        "ticks": [[x, float(p)] for x, p in ticks if low <= x <= high]
        if same
        else None,
    }


def _confusions(codes, likely, names):
    """How often each label looks like each other: `[given, likelier, samples]`."""
    pairs, counts = np.unique(np.stack([codes, likely]), axis=1, return_counts=True)
    weight = np.zeros(len(names), np.int64)
    other = pairs[0] != pairs[1]
    for side in pairs:
        np.add.at(weight, side[other], counts[other])
    shown = np.sort(np.argsort(-weight, kind="stable")[:_MOST_CLASSES])
    cells = np.isin(pairs, shown).all(axis=0)
    return {
        "labels": shown.tolist(),
        "cells": np.vstack([pairs, counts])[:, cells].T.tolist(),
        "n_other": int(counts[other].sum()),
    }


def _cuts(codes, sizes, place, wrong, counted):
    """What goes at each share, over all and in each class; one a class stays."""
    spared = place == sizes[codes]
    cuts = {"shares": SHARES, "labels": counted.tolist()}
    for name in ("overall", "by_class"):
        totals, counts, expected = [], [], []
        for share in SHARES:
            if name == "overall":
                goes = np.arange(len(codes)) < int(share * len(codes) + 1e-9)
            else:
                goes = place <= (share * sizes + 1e-9).astype(int)[codes]
            goes &= ~spared
            gone = np.bincount(codes[goes], minlength=len(sizes))
            totals.append(int(gone.sum()))
            counts.append(gone[counted].tolist())
            if wrong is not None:
                expected.append(round(float(wrong[goes].sum()), 1))
        cuts[name] = {"n": totals, "counts": counts, "expected": expected}
    return cuts


def _warnings(table, frame, names, sizes, risk):
    """What to know of the data before the risks are believed."""
    if not table.is_whole:
        yield "These are some rows of a larger table: ranks are those of the whole."
    names, there = [*map(shortened, names)], np.flatnonzero(sizes)
    large, small = there[sizes[there].argmax()], there[sizes[there].argmin()]
    ratio = sizes[large] / sizes[small]
    if ratio >= 3:
        yield (
            f"Classes differ {ratio:.0f}-fold: {names[large]} has {sizes[large]:,} "
            f"samples, {names[small]} {sizes[small]:,}. Look at the riskiest of each "
            "class, too."
        )
    few = [names[code] for code in there if sizes[code] < 10]
    if few:
        more = f" and {len(few) - 5} more" if len(few) > 5 else ""
        yield (
            f"Fewer than 10 samples: {', '.join(few[:5])}{more}. So few say little "
            "about their class."
        )
    if "text" in frame.columns:
        texts = frame.group_by("text").agg(pl.col("label").n_unique())
        n_twice = int((texts["label"] > 1).sum())
        if n_twice:
            yield (
                f"{n_twice:,} {'texts have' if n_twice > 1 else 'text has'} two labels "
                "or more: at most one of them can be right."
            )
    n_infinite = int((np.abs(risk) >= _LARGEST).sum())
    if n_infinite:
        yield f"Samples with an infinite risk: {n_infinite:,}."


def _rounded(values):
    """Numbers with five significant digits, as JSON has them."""
    if np.ndim(values) == 0:
        return float(f"{values:.5g}")
    return [float(f"{value:.5g}") for value in np.asarray(values).tolist()]


def _plain(values):
    """A column of the user's as numbers or text."""
    kind = values.dtype
    if kind.is_integer():
        ends = [values.min() or 0, values.max() or 0]
        if max(map(abs, ends)) <= _WHOLE:
            return values.to_list()
    if kind.is_float():
        finite = values.fill_nan(None).replace([math.inf, -math.inf], [None, None])
        n_digits = 12 if kind == pl.Float64 else 7
        return [None if v is None else _decimal(v, n_digits) for v in finite.to_list()]
    if kind.is_nested():
        return ["" if v is None else _as_json(v) for v in values.to_list()]
    try:
        return values.cast(pl.String).fill_null("").to_list()
    except pl.exceptions.PolarsError as error:
        raise InvalidInputError(
            f"The column {values.name!r} of {kind} is no text and no numbers; leave it "
            "out."
        ) from error


def _decimal(value, n_digits):
    """A number without the digits that are only noise of its type."""
    return value if value.is_integer() else float(f"{value:.{n_digits}g}")


def _as_json(value):
    return json.dumps(value, ensure_ascii=False, default=str)


def _fitting(values, budget, limit=None):
    """Texts cut so that together they need so many bytes, and after what length."""
    texts, n_rows = list(values), max(len(values), 1)

    def cut(limit):
        return [
            f"{v[: limit - 1]}…" if isinstance(v, str) and len(v) > limit else v
            for v in texts
        ]

    limit = limit or max((len(v) for v in texts if isinstance(v, str)), default=0)
    longest, shown = limit, cut(limit)
    while limit > 8 and len(as_script(shown).encode()) > budget:
        limit = max(8, min(int(limit * 0.8), 8 * budget // n_rows))
        shown = cut(limit)
    return shown, limit if limit < longest else None


def as_script(value):
    """JSON that can stand in a page: nothing in it ends a script or begins a tag."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _checked(embeddings, n_samples):
    """Embeddings as one row a sample."""
    X = np.asarray(embeddings)
    if X.ndim != 2 or len(X) != n_samples or X.dtype.kind not in "fiu":
        raise InvalidInputError(
            f"embeddings must be {n_samples} rows of numbers; got shape {X.shape} of "
            f"{X.dtype}."
        )
    return X
