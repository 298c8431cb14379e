"""Several rankings measured on the same resamples, with intervals."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.utils import column_or_1d

from smilearn import metrics
from smilearn.audit._resampling import FPR, TOP, TPR, Resamples, drawn_counts, top_size
from smilearn.exceptions import InvalidInputError

_METRICS = {
    "auc": True,
    f"fpr_at_tpr_{TPR}": False,
    f"tpr_at_fpr_{FPR}": True,
    f"precision_in_top_{TOP}": True,
    "rank_correlation": True,
}  # name: whether higher is better
_GRADED = list(_METRICS).index("rank_correlation")
_CELLS = 2**21  # of counts that are worked on at once
_LEVELS = [0.025, 0.975]


@dataclass
class Truth:
    """What is memorized, and how it is known."""

    memorized: np.ndarray
    lira: np.ndarray | None
    of_models: Callable | None = None
    n_models: int | None = None
    fixed: bool = False

    def values(self, risk):
        """Measure a ranking, (n_metrics,)."""
        values = [
            metrics.auc(self.memorized, risk),
            metrics.fpr_at_tpr(self.memorized, risk, TPR),
            metrics.tpr_at_fpr(self.memorized, risk, FPR),
            metrics.precision_at_k(self.memorized, risk, top_size(len(risk))),
        ]
        if self.lira is not None:
            values.append(metrics.rank_correlation(self.lira, risk))
        return np.array(values)

    def draws(self, risks, n_bootstrap, rng):
        """Measure rankings on the same resamples."""
        parts, size = [], max(1, _CELLS // len(self.memorized))
        for begin in range(0, n_bootstrap, size):
            resamples = self._resamples(min(size, n_bootstrap - begin), rng)
            parts.append([resamples.measures(risk) for risk in risks])
        draws = np.concatenate(parts, axis=-1)
        if self.of_models is not None:
            values = np.array([self.values(risk) for risk in risks])
            shift = (values - draws.mean(-1))[..., None]
            moved = slice(_GRADED, None) if self.fixed else slice(None)
            draws[:, moved] += shift[:, moved]
        return draws

    def _resamples(self, n_draws, rng):
        memorized, lira = self.memorized, self.lira
        if self.of_models is None:
            memorized = np.broadcast_to(memorized, (n_draws, len(memorized)))
        else:
            lira = np.stack([self._half(rng) for _ in range(n_draws)])
            each = (
                memorized if self.fixed else most(one, memorized.sum()) for one in lira
            )
            memorized = np.stack(list(each))
        return Resamples(drawn_counts(memorized, rng), memorized, lira)

    def _half(self, rng):
        """Truth from half of the models, (n_samples,)."""
        size = self.n_models // 2
        models = np.sort(rng.choice(self.n_models, size, replace=False))
        lira = checked("lira by truth(models)", self.of_models(models))
        if len(lira) != len(self.memorized):
            raise InvalidInputError(
                f"truth must give one value for each of the {len(self.memorized)} "
                f"samples; got {len(lira)}."
            )
        return lira


def most(lira, n_memorized):
    """Mark the samples that are memorized most, (n_samples,) of bool; ties by lot."""
    lot = np.random.default_rng(0).random(len(lira))
    memorized = np.zeros(len(lira), bool)
    memorized[np.lexsort((lot, -lira))[:n_memorized]] = True
    return memorized


def checked(name, values):
    """Refuse what is not one finite number for each sample."""
    values = np.asarray(column_or_1d(np.asarray(values)), dtype=np.float64)
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise InvalidInputError(
            f"{name} must be finite; {wrong.sum()} of {len(values)} are NaN or "
            f"infinite, the first in row {wrong.argmax()}. Rows are not dropped: give "
            "each sample a score, or leave it out of all scores and of the truth."
        )
    return values


def interval_columns(names, values, draws, reference):
    """Put values, intervals and differences into columns."""
    kinds = list(_METRICS)[: values.shape[1]]
    least = [-1 if kind == "rank_correlation" else 0 for kind in kinds]
    low, high = np.clip(np.quantile(draws, _LEVELS, axis=-1), least, 1)
    columns = {
        "scorer": np.repeat(np.array(names), len(kinds)),
        "metric": np.tile(np.array(kinds), len(names)),
        "value": values,
        "low": low,
        "high": high,
    }
    if reference is not None:
        place = names.index(reference)
        low, high = np.quantile(draws - draws[place], _LEVELS, axis=-1)
        columns["difference"] = values - values[place]
        columns |= {"difference_low": low, "difference_high": high}
        sign = np.array([1 if _METRICS[kind] else -1 for kind in kinds])
        direction = sign * ((low > 0) * 1 - (high < 0) * 1)
        columns["verdict"] = np.array(["worse", "even", "better"])[direction + 1]
    return {name: column.ravel() for name, column in columns.items()}
