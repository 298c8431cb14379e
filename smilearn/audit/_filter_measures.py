"""What taking samples out of the training set changes, on plain arrays."""

from dataclasses import dataclass

import numpy as np

from smilearn.audit._lira import log_lira, mean_over_targets
from smilearn.audit._membership import attack_draws, half_width
from smilearn.utils._ranks import ranks_of

FPR = (0.001, 0.01)
_ATTACK = ("auc", *(f"tpr_at_fpr_{rate}" for rate in FPR))
_SHARES = ("exposed", "newly_exposed", "no_longer_exposed")
MEASURES = {
    "all": ("accuracy", "exposed"),
    "kept": ("accuracy", *_ATTACK, "lira", *_SHARES),
    "removed": ("accuracy", *_ATTACK, "lira", "exposed"),
}  # group of samples: what is told of it


@dataclass
class Arm:
    """Models of one design, trained on all of their samples or without some."""

    statistic: np.ndarray
    correct: np.ndarray
    withheld: np.ndarray

    def ratios(self, B, models=slice(None), **how):
        """Log likelihood ratios, (n_models, n_samples)."""
        ratios = np.empty(self.statistic[models].shape)
        for columns in (~self.withheld, self.withheld):
            if columns.any():
                T, members = self.statistic[models], B[models]
                ratios[:, columns] = log_lira(T[:, columns], members[:, columns], **how)
        return ratios

    def lira(self, B, models=slice(None)):
        """Mean ratio of each sample over the models that it is IN, (n_samples,)."""
        return mean_over_targets(self.ratios(B, models), B[models])

    def accuracy(self, B, models=slice(None)):
        """Share of the models OUT that are right about each sample, (n_samples,)."""
        out = ~B[models]
        return (self.correct[models] & out).sum(0) / out.sum(0)


def sample_measures(arms, B, share, models=slice(None)):
    """Measure each sample in each arm."""
    lira = np.array([arm.lira(B, models) for arm in arms])
    n_exposed = max(round(share * lira.shape[1]), 1)
    bar = lira[0][ranks_of(-lira[0]) <= n_exposed].min()
    exposed = (lira >= bar) & ~np.array([arm.withheld for arm in arms])
    return {
        "accuracy": np.array([arm.accuracy(B, models) for arm in arms]),
        "lira": lira,
        "exposed": exposed,
        "newly_exposed": exposed & ~exposed[0],
        "no_longer_exposed": ~exposed & exposed[0],
    }


def group_measures(arms, B, groups, share, n_bootstrap, rng):
    """Measure groups of samples in each arm, and how sure that is."""
    n_models = len(B)
    every = sample_measures(arms, B, share)
    without = [
        sample_measures(arms, B, share, np.delete(np.arange(n_models), j))
        for j in range(n_models)
    ]
    attacks = [arm.ratios(B, equal_counts=True) for arm in arms]
    found = {}
    for group, rows in groups.items():
        for measure in MEASURES[group]:
            if measure in every:
                again = [each[measure][:, rows] for each in without]
                told = _mean(every[measure][:, rows], again)
                found[group, measure] = told
                if measure != "lira":  # a share: none of n samples is not none at all
                    told[1].flat[:: len(arms) + 1] += (rows.sum() + 2.0) ** -2
        if _ATTACK[0] in MEASURES[group]:
            ratios = [each[:, rows] for each in attacks]
            told = attack_draws(ratios, B[:, rows], FPR, n_bootstrap, rng)
            for k, measure in enumerate(_ATTACK):
                found[group, measure] = told[0][:, k], told[1][k]
    return found


def effect_columns(found, arms, reference, n_models, sizes):
    """Put values, intervals and differences into columns."""
    place, rows = arms.index(reference), []
    for group, names in MEASURES.items():
        for measure in names:
            values, covariance = found[group, measure]
            variance = np.diag(covariance)
            wide = half_width(variance, n_models)
            least = -np.inf if measure == "lira" else 0.0
            low, high = np.clip(
                [values - wide, values + wide], least, 1 if least == 0 else np.inf
            )
            apart = values - values[place]
            wide = half_width(
                variance + variance[place] - 2 * covariance[place], n_models
            )
            wide[place] = 0.0
            for a, arm in enumerate(arms):
                ends = apart[a] - wide[a], apart[a] + wide[a]
                verdict = (
                    "higher" if ends[0] > 0 else "lower" if ends[1] < 0 else "even"
                )
                told = (values[a], low[a], high[a], apart[a], *ends, verdict)
                rows.append((group, sizes[group], measure, arm, *told))
    names = ("group", "n_samples", "measure", "arm", "value", "low", "high")
    names += ("difference", "difference_low", "difference_high", "verdict")
    columns = zip(names, zip(*rows, strict=True), strict=True)
    return {name: np.array(values) for name, values in columns}


def _mean(values, without):
    """Mean over samples in each arm, and its covariance between the arms."""
    n_samples, n_models = values.shape[1], len(without)
    off = values - values.mean(1, keepdims=True)
    by_samples = off @ off.T / n_samples / max(n_samples - 1, 1)
    means = np.array([each.mean(1) for each in without])
    off = means - means.mean(0)
    by_models = off.T @ off * (n_models - 1) / n_models
    return values.mean(1), by_samples + by_models
