"""The decision threshold between samples at risk and the others."""

import warnings

import numpy as np

from smilearn.exceptions import ReliabilityWarning
from smilearn.scoring._mixture import mixed
from smilearn.utils._callbacks import silent_clone
from smilearn.utils._random import generator_from
from smilearn.utils._weights import weighted_quantile

_SHUFFLES = 4  # of labels; the last one checks the rate of the others


class ThresholdSetting:
    """The choice of `offset_`; expects the scores of a scorer."""

    def _set_offset(self, refit, y, weight=None):
        """Set `offset_`, the score below which samples are flagged."""
        if self.contamination == "permutation":
            used = slice(None) if weight is None else weight > 0
            *null, last = (
                self._shuffled_scores(refit, y, used, i) for i in range(_SHUFFLES)
            )
            null = np.concatenate(null)
            times = None if weight is None else np.tile(weight, _SHUFFLES - 1)
            self.offset_ = float(weighted_quantile(null, self.alpha, times))
            flags = last < self.offset_
            self.false_flag_rate_ = float(np.average(flags, weights=weight))
            return
        self.offset_ = 0.0
        if self.contamination is not None:
            share = self.contamination
            self.offset_ = float(weighted_quantile(self.scores_, share, weight))

    def _shuffled_scores(self, refit, y, used, repeat):
        """Scores of the same samples with shuffled labels, in the unit of this fit."""
        rng = generator_from(self._fixed_seed(), f"shuffle {repeat}")
        parameters = {"contamination": None, "random_state": int(rng.integers(2**32))}
        if self.n_slices == "auto" and self.slicing in ("isotropic", "principal"):
            parameters["n_slices"] = self.n_slices_  # noise never gets reliable
        null = silent_clone(self).set_params(**parameters)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReliabilityWarning)
            labels = y.copy()
            labels[used] = rng.permutation(y[used])
            refit(null, labels)
        if not hasattr(null, "members_"):
            return null.scores_
        scores = {name: member.scores_ for name, member in null.members_.items()}
        return mixed(scores, self.weights_, self.member_places_)
