"""Pictures in scikit-learn's convention: made from an estimator or from numbers."""

import numpy as np

from smilearn.exceptions import InvalidInputError
from smilearn.utils._escapes import printable
from smilearn.utils._optional import require

_BLUE, _RED, _GREY = "#1f5fa8", "#b5482f", "#888888"
_ROBUST = 0.005, 0.995  # quantiles at which an axis of risk ends


def plain(label):
    """A label as text that is no formula to matplotlib."""
    return printable(label, 30).replace("$", r"\$")


class Display:
    """Base of the displays, which name `_draw(ax)`.

    After :meth:`plot`, `ax_` and `figure_` are the matplotlib axes and figure.
    """

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None makes a figure.

        Returns
        -------
        display : Display
            The display, with `ax_` and `figure_`.
        """
        caller = f"{type(self).__name__}.plot"
        pyplot = require("matplotlib.pyplot", extra="plot", caller=caller)
        if ax is None:
            _, ax = pyplot.subplots(layout="constrained")
        self._draw(ax)
        ax.spines[["top", "right"]].set_visible(False)
        self.ax_, self.figure_ = ax, ax.figure
        return self


class RiskDisplay(Display):
    """Distribution of risk by class, on an axis that outliers do not stretch.

    Parameters
    ----------
    risk : array-like of shape (n_samples,)
        Risk in nats, high = at risk.

    label : array-like of shape (n_samples,), default=None
        Label of each sample; None draws all as one.

    Examples
    --------
    >>> from smilearn.report import RiskDisplay
    >>> display = RiskDisplay.from_predictions([0.1, 2.3, 0.4], ["ham", "spam", "ham"])
    >>> display.ax_.get_xlabel()
    'risk (nats, high = at risk)'
    """

    def __init__(self, risk, label=None):
        self.risk = np.asarray(risk, float)
        self.label = np.repeat("", len(self.risk)) if label is None else label
        self.label = np.asarray(self.label)
        if len(self.label) != len(self.risk) or not np.isfinite(self.risk).any():
            raise InvalidInputError(
                "risk must hold a finite number, and label as many entries; got "
                f"{len(self.risk)} and {len(self.label)}."
            )

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Draw the risk of the training samples of a fitted scorer or a RiskTable."""
        if hasattr(estimator, "scores_"):
            return cls(-estimator.scores_, estimator.labels_).plot(ax)
        return cls(estimator["risk"], estimator["label"]).plot(ax)

    @classmethod
    def from_predictions(cls, risk, label=None, *, ax=None):
        """Draw risks that are at hand."""
        return cls(risk, label).plot(ax)

    def _draw(self, ax):
        low, high = np.quantile(self.risk[np.isfinite(self.risk)], _ROBUST)
        edges = np.linspace(low, high if high > low else low + 1, 41)
        shown = np.clip(self.risk, low, edges[-1])
        classes, count = np.unique(self.label, return_counts=True)
        most = classes[np.argsort(-count, kind="stable")][:8]
        parts = [shown[self.label == name] for name in most]
        names = [plain(name) for name in most]
        if len(most) < len(classes):
            parts.append(shown[~np.isin(self.label, most)])
            names.append(f"{len(classes) - len(most)} others")
        ax.hist(parts, edges, stacked=True, label=names)
        ax.set(xlabel="risk (nats, high = at risk)", ylabel="samples")
        if len(names) > 1:
            ax.legend(frameon=False)


class SliceConvergenceDisplay(Display):
    """Label contrast, reliability and seed agreement against the number of slices.

    Parameters
    ----------
    curve : SliceConvergence
        The curve.

    Examples
    --------
    >>> from smilearn import SliceConvergence
    >>> from smilearn.report import SliceConvergenceDisplay
    >>> curve = SliceConvergence([2, 4, 8], [0.6, 0.7, 0.7], [0.5, 0.7, 0.9], [0.4])
    >>> SliceConvergenceDisplay.from_estimator(curve).ax_.get_xlabel()
    'slices'
    """

    def __init__(self, curve):
        self.curve = curve

    @classmethod
    def from_estimator(cls, curve, *, ax=None):
        """Draw a `SliceConvergence`, which is itself made from an estimator."""
        return cls(curve).plot(ax)

    def _draw(self, ax):
        curve = self.curve
        for name in ("contrast", "reliability", "agreement"):
            values = getattr(curve, name)
            counts = curve.n_slices[: len(values)]
            ax.plot(counts, values, marker="o", label=name)
        ax.set(xscale="log", xlabel="slices", ylabel="contrast or correlation")
        ax.legend(frameon=False)


class EarlyPointDisplay(Display):
    """Fall of the median training loss, and the early point.

    Parameters
    ----------
    history : list of dict
        `epoch`, `median_loss` and `share_fitted` of each evaluation.

    loss_drop : float, default=0.5
        By what share the median loss has to fall.

    reached : bool, default=True
        Whether the early point was reached.

    Examples
    --------
    >>> from smilearn.report import EarlyPointDisplay
    >>> losses = {0.0: 0.7, 0.5: 0.5, 1.0: 0.3}
    >>> history = [{"epoch": e, "median_loss": loss} for e, loss in losses.items()]
    >>> EarlyPointDisplay.from_predictions(history).ax_.get_xlabel()
    'epoch'
    """

    def __init__(self, history, loss_drop=0.5, reached=True):
        if not history:
            raise InvalidInputError("history must hold an evaluation; got none.")
        self.history, self.loss_drop, self.reached = history, loss_drop, reached

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Draw the history of a fine-tuned estimator or of a callback."""
        drop = getattr(estimator, "loss_drop", "auto")
        drop = 0.5 if drop == "auto" else drop
        reached = getattr(estimator, "early_point_reached_", True)
        return cls(estimator.history_, drop, reached).plot(ax)

    @classmethod
    def from_predictions(cls, history, loss_drop=0.5, *, ax=None):
        """Draw a history that is at hand."""
        return cls(history, loss_drop).plot(ax)

    def _draw(self, ax):
        epochs = [entry["epoch"] for entry in self.history]
        losses = [entry["median_loss"] for entry in self.history]
        ax.plot(epochs, losses, marker="o", color=_BLUE)
        threshold = (1 - self.loss_drop) * losses[0]
        ax.axhline(threshold, color=_RED, linestyle="--")
        name = "early point" if self.reached else "early point, not reached"
        ax.annotate(name, (epochs[-1], threshold), va="bottom", ha="right", color=_RED)
        ax.set(xlabel="epoch", ylabel="median training loss (nats)")
        ax.set_ylim(bottom=0)


class IntervalDisplay(Display):
    """Values with intervals, one row a name: scorers compared, or a price list.

    Parameters
    ----------
    names : list of str
        Name of each row, best first or in the order that you want.

    value : array-like of shape (n_names,)
        What was measured.

    low, high : array-like of shape (n_names,), default=None
        Ends of its interval; None draws none.

    xlabel : str, default=""
        What it is.

    cost : array-like of shape (n_names,), default=None
        What each row costs: values are then drawn against it, on a log axis.

    Examples
    --------
    >>> from smilearn.report import IntervalDisplay
    >>> display = IntervalDisplay.from_predictions(
    ...     ["before", "early"], [0.90, 0.92], cost=[0.04, 0.08], xlabel="AUC"
    ... )
    >>> display.ax_.get_xscale()
    'log'
    """

    def __init__(self, names, value, low=None, high=None, *, xlabel="", cost=None):
        self.names, self.value = [plain(name) for name in names], value
        self.low, self.high, self.xlabel, self.cost = low, high, xlabel, cost
        for each in (value, low, high, cost):
            if each is not None and len(each) != len(self.names):
                raise InvalidInputError(
                    "names, value, low, high and cost must be of one length; got "
                    f"{len(self.names)} names and {len(each)} numbers."
                )

    @classmethod
    def from_estimator(cls, comparison, metric="auc", *, ax=None):
        """Draw a metric of a `ScorerComparison`, best first."""
        rows = comparison.frame.filter(comparison.frame["metric"] == metric)
        if not len(rows):
            known = sorted(set(comparison["metric"].tolist()))
            raise InvalidInputError(f"metric must be among {known}; got {metric!r}.")
        rows = rows.sort("value", descending=not metric.startswith("fpr"))
        columns = (rows[name].to_numpy() for name in ("value", "low", "high"))
        return cls(rows["scorer"].to_list(), *columns, xlabel=metric).plot(ax)

    @classmethod
    def from_predictions(cls, names, value, low=None, high=None, *, ax=None, **options):
        """Draw values that are at hand; `options` are `xlabel` and `cost`."""
        return cls(names, value, low, high, **options).plot(ax)

    def _draw(self, ax):
        value = np.asarray(self.value, float)
        spread = None
        if self.low is not None:
            spread = np.abs(np.stack([value - self.low, np.subtract(self.high, value)]))
        marks = {"fmt": "o", "color": _BLUE, "ecolor": _GREY, "capsize": 3}
        if self.cost is not None:
            ax.errorbar(self.cost, value, yerr=spread, **marks)
            for name, x, y in zip(self.names, self.cost, value, strict=True):
                place = {"xytext": (6, 4), "textcoords": "offset points"}
                ax.annotate(name, (x, y), **place)
            ax.set(xscale="log", xlabel="cost (trainings)", ylabel=self.xlabel)
            ax.margins(x=0.25)
            return
        rows = np.arange(len(value))
        ax.errorbar(value, rows, xerr=spread, **marks)
        ax.set_yticks(rows, self.names)
        ax.invert_yaxis()
        ax.set_xlabel(self.xlabel)
