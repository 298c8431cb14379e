"""Pictures of a risk table."""

import numpy as np
import polars as pl

from smilearn.exceptions import InvalidInputError
from smilearn.utils._escapes import printable
from smilearn.utils._optional import require

_MOST_BINS, _MOST_CLASSES, _MOST_DOTS = 100, 30, 10_000
_AXIS = "risk (nats, high = at risk)"


def plot_risk(table, kind, ax):
    """Draw a risk table."""
    if kind not in _KINDS:
        raise InvalidInputError(
            f"kind must be one of {', '.join(map(repr, _KINDS))}; got {kind!r}."
        )
    require("matplotlib", extra="plot", caller="RiskTable.plot")
    finite = np.isfinite(table["risk"])
    if not finite.any():
        raise InvalidInputError("There is no sample with a finite risk to draw.")
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(layout="constrained")
    _KINDS[kind](ax, table.take(finite))
    n_left_out = len(finite) - int(finite.sum())
    ax.set_title(
        f"{len(table)} samples"
        + (f", {n_left_out} of infinite risk left out" if n_left_out else "")
    )
    return ax


def _histogram(ax, table):
    ax.hist(table["risk"], bins=int(np.clip(np.sqrt(len(table)), 1, _MOST_BINS)))
    ax.set(xlabel=_AXIS, ylabel="samples")


def _boxes(ax, table):
    """A box a class, the riskiest class on top."""
    classes = table.frame.group_by("label").agg("risk", mean=pl.mean("risk"))
    classes = classes.sort("mean", "label", descending=[True, False])
    shown = classes.head(_MOST_CLASSES)
    risks = [values.to_numpy() for values in shown["risk"]]
    ax.boxplot(
        risks,
        orientation="horizontal",
        whis=(5, 95),
        showfliers=len(table) <= _MOST_DOTS,
    )
    names = [
        f"{plain(label)} ({len(risk)})"
        for label, risk in zip(shown["label"], risks, strict=True)
    ]
    ax.set_yticks(np.arange(1, len(shown) + 1), names)
    ax.invert_yaxis()
    more = len(classes) > len(shown)
    of_all = f", the {len(shown)} riskiest of {len(classes)}" if more else ""
    ax.set(xlabel=_AXIS, ylabel=f"label (samples){of_all}")


def _curve(ax, table):
    frame = table.riskiest().frame
    ax.plot(frame["rank"], frame["risk"], marker="." * (len(frame) == 1))
    ax.set(xlabel="rank (1 = riskiest)", ylabel=_AXIS)


def plain(label):
    """A label as text that is no formula to matplotlib."""
    return printable(label, 30).replace("$", r"\$")


_KINDS = {"hist": _histogram, "by_class": _boxes, "rank": _curve}
