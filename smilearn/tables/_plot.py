"""Pictures of a risk table."""

import numpy as np

from smilearn.exceptions import InvalidInputError
from smilearn.tables._columns import coded
from smilearn.utils._escapes import printable
from smilearn.utils._optional import require
from smilearn.utils._ranks import order_of

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
    distinct, codes = coded(table["label"])
    by_class = table["risk"][np.argsort(codes, kind="stable")]
    risks = np.split(by_class, np.cumsum(np.bincount(codes))[:-1])
    order = np.argsort([-risk.mean() for risk in risks], kind="stable")
    shown = order[:_MOST_CLASSES]
    ax.boxplot(
        [risks[i] for i in shown],
        orientation="horizontal",
        whis=(5, 95),
        showfliers=len(table) <= _MOST_DOTS,
    )
    names = [f"{_plain(distinct[i])} ({len(risks[i])})" for i in shown]
    ax.set_yticks(np.arange(1, len(shown) + 1), names)
    ax.invert_yaxis()
    more = len(order) - len(shown)
    of_all = f", the {len(shown)} riskiest of {len(order)}" if more else ""
    ax.set(xlabel=_AXIS, ylabel=f"label (samples){of_all}")


def _curve(ax, table):
    order = order_of(table["rank"])
    ax.plot(table["rank"][order], table["risk"][order], marker="." * (len(order) == 1))
    ax.axhline(0, color="gray", linewidth=0.8, linestyle=":")
    ax.set(xlabel="rank (1 = riskiest)", ylabel=_AXIS)


def _plain(label):
    """A label as text that is no formula to matplotlib."""
    return printable(label, 30).replace("$", r"\$")


_KINDS = {"hist": _histogram, "by_class": _boxes, "rank": _curve}
