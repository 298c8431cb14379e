"""What a fitted audit answers."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from smilearn.audit._audit_table import AttackTable, audit_table
from smilearn.audit._lira import (
    difference_of_sides,
    jackknife_std,
    log_lira,
    mean_over_targets,
)
from smilearn.audit._membership import attack_summary, rmia_scores, smoothed_difference
from smilearn.exceptions import InvalidInputError

_FPR = (0.001, 0.01)


class AuditAnswers:
    """Expects what `ShadowAudit` sets in `fit`, `target` and `n_shadow`."""

    def memorized(self, share=None, *, threshold=None):
        """Say which samples are memorized, by their share or by a ratio.

        Parameters
        ----------
        share : float in (0, 1], default=None
            So many of the audited samples, those with the highest `lira_`. None is 0.1,
            where there is no threshold.

        threshold : float, default=None
            Log likelihood ratio from which on a sample is memorized, in nats; 4 is
            usual.

        Returns
        -------
        memorized : ndarray of bool of shape (n_samples,)
            True for memorized ones. With a share one at least.

        Raises
        ------
        InvalidInputError
            If both are given, or the share is not in (0, 1].
        """
        check_is_fitted(self)
        if threshold is not None:
            if share is not None:
                raise InvalidInputError(
                    "Give a share or a threshold, not both; got "
                    f"share={share}, threshold={threshold}."
                )
            return self.audited_ & (self.lira_ >= threshold)
        share = 0.1 if share is None else share
        if not 0 < share <= 1:
            raise InvalidInputError(
                f"share must be above 0 and at most 1; got {share}."
            )
        rank = self._ranks()
        return self.audited_ & (rank <= max(round(share * self.audited_.sum()), 1))

    def lira_of(self, models):
        """Compute the ratios from some of the models alone.

        Parameters
        ----------
        models : array-like of int
            Which, 0 to ``n_shadow - 1``, each once.

        Returns
        -------
        lira : ndarray of shape (n_samples,)
            As `lira_` over all targets; 0 for a sample that none of them was trained
            on, which they tell nothing of.

        Raises
        ------
        InvalidInputError
            If they are not models of this audit, each named once.
        """
        check_is_fitted(self)
        models = np.atleast_1d(models)
        known = np.isin(models, np.arange(len(self.shadow_in_)))
        if models.ndim > 1 or len(np.unique(models)) < len(models) or not known.all():
            raise InvalidInputError(
                f"models must be numbers from 0 to {len(self.shadow_in_) - 1}, each "
                f"once; got {models.tolist()}."
            )
        T, B = self.statistic_[models], self.shadow_in_[models]
        lira = mean_over_targets(log_lira(T, B), B)
        return np.where(B.any(0), lira, 0.0)

    def rmia(self, gamma=1.0):
        """Compute the relative membership attack (RMIA), which needs few models.

        How often the label of a sample has gained more in probability under the target,
        against the mean of the other models, than those of samples that the target has
        not seen.

        Parameters
        ----------
        gamma : float, default=1.0
            How many times as much it must have gained.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            In [0, 1], high = memorized: a mean over targets, as `lira_` is.

        Raises
        ------
        InvalidInputError
            If gamma is not above 0.
        """
        return mean_over_targets(self._rmia(gamma), self.shadow_in_, self._target())

    def attack(self, score="lira", *, gamma=1.0, n_bootstrap=500):
        """Tell how well an attack tells the samples of a model from the others.

        Over all pairs of a model and a sample, each model the target once.

        Parameters
        ----------
        score : {"lira", "rmia"}, default="lira"
            The attack. For "lira" one model of the other side is left out with the
            target: else the number of models that are left gives membership away, and
            attacks on models that memorize nothing come out worse than chance.

        gamma : float, default=1.0
            For "rmia".

        n_bootstrap : int, default=500
            How often models and samples are drawn with replacement, for the
            intervals.

        Returns
        -------
        table : table
            A row each for `auc` (0.5 is chance) and the true-positive rates at
            false-positive rates of 0.1 % and 1 %: `measure`, `value`, and `low` and
            `high`, an interval of 95 % or more by bootstrap over models and samples.

        Raises
        ------
        InvalidInputError
            If there is no such score, or a number is out of its range.
        """
        check_is_fitted(self)
        if score not in ("lira", "rmia") or n_bootstrap < 1:
            raise InvalidInputError(
                'score must be "lira" or "rmia", and n_bootstrap 1 or more; got '
                f"{score!r} and {n_bootstrap!r}."
            )
        masks = self.shadow_in_
        if score == "rmia":
            scores = self._rmia(gamma)
        else:
            scores = log_lira(self.statistic_, masks, equal_counts=True)
        rng = np.random.default_rng([self._seed, 2])
        found = attack_summary(scores, masks, _FPR, n_bootstrap, rng)
        names = np.array(["auc", *(f"tpr_at_fpr_{rate}" for rate in _FPR)])
        return AttackTable(
            dict(zip(("measure", "value", "low", "high"), (names, *found), strict=True))
        )

    def to_table(self, *, texts=None, ids=None):
        """Put what was found in a table, one row a sample.

        Parameters
        ----------
        texts : sequence of str, default=None
            Text of each sample.

        ids : sequence, default=None
            Names of the samples; None numbers them from 0.

        Returns
        -------
        table : table
            `id`, `label`, `text` (if given), `lira`, `lira_std`, `counterfactual`,
            `counterfactual_std`, `memorized`, `audited` and `rank`, 1 for the highest
            `lira`; those that are not audited are last. To
            be shown, cut, given to pandas, polars or Arrow, or written, as a RiskTable.

        Raises
        ------
        InvalidInputError
            If texts or ids are not one a sample.
        """
        check_is_fitted(self)
        names = (
            "lira",
            "lira_std",
            "counterfactual",
            "counterfactual_std",
            "memorized",
            "audited",
        )
        found = {"label": self.labels_} | {n: getattr(self, f"{n}_") for n in names}
        return audit_table(found | {"rank": self._ranks()}, texts, ids)

    def _ranks(self):
        """Ranks by `lira_`, 1 for the highest; ties by lot, the not audited last."""
        lot = np.random.default_rng([self._seed, 4]).random(len(self.lira_))
        order = np.lexsort((lot, -self.lira_, ~self.audited_))
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(1, len(order) + 1)
        return ranks

    def _compare(self, answers, target):
        """Fill in what follows from the answers of all models."""
        T, B = answers["statistic"], self.shadow_in_
        self.statistic_, self.log_proba_ = T, answers["log_p"]
        self.correct_, self.n_infinite_ = answers["correct"], answers["n_infinite"]
        self.log_lira_ = log_lira(T, B)
        self.lira_ = mean_over_targets(self.log_lira_, B, target)
        self.lira_std_ = jackknife_std(T, B, target)
        self.audited_ = B.any(0) if target is None else B[target]
        difference = smoothed_difference(self.correct_, B)
        self.counterfactual_, self.counterfactual_std_ = difference
        self.counterfactual_gap_, self.counterfactual_gap_std_ = difference_of_sides(
            T, B
        )
        self.memorized_ = self.memorized()
        return self

    def _rmia(self, gamma):
        check_is_fitted(self)
        if not gamma > 0:
            raise InvalidInputError(f"gamma must be above 0; got {gamma!r}.")
        return rmia_scores(self.log_proba_, self.shadow_in_, gamma)

    def _target(self):
        """The only target, or None for all."""
        if isinstance(self.target, str):
            return None
        if self.target >= self.n_shadow:
            raise InvalidInputError(
                'target must be "all" or one of the models, 0 to '
                f"{self.n_shadow - 1}; got {self.target}."
            )
        return int(self.target)
