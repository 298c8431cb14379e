"""The score below which samples are flagged."""

import warnings

import numpy as np

from smilearn.exceptions import ReliabilityWarning
from smilearn.scoring._recipe import fixed_seed
from smilearn.utils._callbacks import silent_clone
from smilearn.utils._random import generator_from
from smilearn.utils._weights import weighted_quantile

# by whether the score is pooled: a probability of one half; a PSMI of 0
DEFAULT_OFFSET = {True: float(np.log(0.5)), False: 0.0}
_SHUFFLES = 4  # of labels; the last one checks the rate of the others


def set_threshold(scorer, refit, y, weight):
    """Set `offset_` of a fitted scorer; `refit` fits a clone of it to other labels."""
    if scorer.contamination is None:
        scorer.offset_ = DEFAULT_OFFSET[scorer.pooled]
    elif scorer.contamination == "permutation":
        *null, last = _shuffled_scores(scorer, refit, y, weight)
        times = None if weight is None else np.tile(weight, len(null))
        null = np.concatenate(null)
        scorer.offset_ = float(weighted_quantile(null, scorer.alpha, times))
        flags = last < scorer.offset_
        scorer.false_flag_rate_ = float(np.average(flags, weights=weight))
    else:
        share = scorer.contamination
        scorer.offset_ = float(weighted_quantile(scorer.scores_, share, weight))


def _shuffled_scores(scorer, refit, y, weight):
    """Scores of the same samples under labels that were shuffled, some times."""
    used = slice(None) if weight is None else weight > 0
    seed = fixed_seed(scorer.random_state)
    for repeat in range(_SHUFFLES):
        rng = generator_from(seed, f"shuffle {repeat}")
        null = silent_clone(scorer).set_params(
            contamination=None, random_state=int(rng.integers(2**32))
        )
        if scorer.n_slices == "auto" and hasattr(scorer, "n_slices_"):
            null.set_params(n_slices=scorer.n_slices_)  # noise is never reliable
        null._pool_of = getattr(scorer, "_model", None)  # only labels are to differ
        labels = y.copy()
        labels[used] = rng.permutation(y[used])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReliabilityWarning)
            yield refit(null, labels).scores_
