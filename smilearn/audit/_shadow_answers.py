"""What shadow models answer about all samples, and what that says of membership."""

from dataclasses import dataclass

import numpy as np

from smilearn.audit._lira import difference_of_sides, log_lira, shrunk_lira
from smilearn.audit._membership import attack_summary, rmia_scores
from smilearn.audit._shrinkage import score_columns


@dataclass
class ShadowAnswers:
    """Answers of the models of one design; arrays of (n_models, n_samples)."""

    members: np.ndarray  # whether a sample is IN a model
    statistic: np.ndarray
    log_proba: np.ndarray = None
    correct: np.ndarray = None
    n_infinite: np.ndarray = None  # (n_models,)
    seconds: np.ndarray = None  # (n_models,): to train each
    withheld: np.ndarray = None  # (n_samples,): taken out of all models
    prior: np.ndarray = None  # (n_samples,): scores that few models are shrunk towards

    def of(self, models):
        """What these models alone say of lira and accuracy."""
        correct = None if self.correct is None else self.correct[models]
        part = self.members[models], self.statistic[models]
        more = {"withheld": self.withheld, "prior": self.prior}
        return ShadowAnswers(*part, correct=correct, **more)

    def log_lira(self, *, equal_counts=False):
        """Log likelihood ratios, each model the target once; in nats."""
        ratios = np.empty(self.members.shape)
        for rows, part in self._parts():
            ratios[:, rows] = log_lira(*part, equal_counts=equal_counts)
        return ratios

    def lira(self, target=None):
        """Mean ratio over the targets that a sample is IN, or what a prior expects."""
        if self.prior is None or target is not None:
            return self._over_targets(self.log_lira(), target)
        ratios = np.empty(self.members.shape[1])
        for rows, part in self._parts():
            ratios[rows] = shrunk_lira(*part)[0]
        return ratios

    def lira_std(self, target=None):
        """Standard error of `lira`, by leaving out each model, or of the posterior."""
        if self.prior is not None and target is None:
            return shrunk_lira(self.statistic, self.members, self._columns())[1]
        models = np.arange(len(self.members))
        left_out = models[models != target] if target is not None else models
        truths = []
        for j in left_out:
            place = None if target is None else target - (j < target)
            truths.append(self.of(models != j).lira(place))
        n = len(left_out)
        std = np.std(truths, axis=0) * np.sqrt(n - 1)
        return np.where(np.isnan(std) | (n < 2), np.inf, std)

    def rmia(self, gamma, target=None):
        """Score of the relative attack, over targets as `lira`."""
        scores = rmia_scores(self.log_proba, self.members, gamma)
        return self._over_targets(scores, target)

    def attack(self, score, gamma, n_bootstrap, rng):
        """Value and ends of the interval of each measure of an attack, (3, 3)."""
        if score == "rmia":
            scores = rmia_scores(self.log_proba, self.members, gamma)
        else:
            scores = self.log_lira(equal_counts=True)
        return attack_summary(scores, self.members, n_bootstrap, rng)

    def memorization(self):
        """Share of models IN that are right, minus that of models OUT; its error."""
        if self.prior is not None:
            part = self.correct.astype(np.float64), self.members, self._columns()
            difference, error = difference_of_sides(*part)
            count = self.members.sum(0)
            # as if one answer of all were another: none is known for certain
            floor = (1 / count + 1 / (len(self.members) - count)) / self.members.size
            return np.clip(difference, -1, 1), np.sqrt(error**2 + floor)
        shares, error = [], 0.0
        for members in (self.members, ~self.members):
            count, right = members.sum(0), (self.correct & members).sum(0)
            shares.append(right / count)
            smooth = (right + 1) / (count + 2)
            error = error + smooth * (1 - smooth) / (count + 2)
        return shares[0] - shares[1], np.sqrt(error)

    def memorization_gap(self):
        """Mean statistic of models IN, minus that of models OUT; its error."""
        return difference_of_sides(self.statistic, self.members, self._columns())

    def accuracy(self):
        """Share of the models OUT that are right about each sample, (n_samples,)."""
        out = ~self.members
        return (self.correct & out).sum(0) / out.sum(0)

    def _parts(self):
        """Samples that are compared with one another: those withheld by themselves."""
        whole, gone = slice(None), self.withheld
        for rows in [whole] if gone is None else [~gone, gone]:
            columns = self._columns(rows)
            yield rows, (self.statistic[:, rows], self.members[:, rows], columns)

    def _columns(self, rows=...):
        return None if self.prior is None else score_columns(self.prior[rows])

    def _over_targets(self, scores, target):
        if target is not None:
            return scores[target]
        counts = self.members.sum(0)
        total = np.where(self.members, scores, 0.0).sum(0)
        return np.where(counts, total, np.nan) / np.maximum(counts, 1)
