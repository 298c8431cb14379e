"""Scores put together by their ranks."""

import numpy as np
from scipy.stats import rankdata
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.validation import check_consistent_length

from smilearn.exceptions import InvalidInputError
from smilearn.utils._inputs import as_numpy


def rank_mean(*scores):
    """Mean rank of each sample over several scores; low = at risk.

    Ranks know no units, so that nats may be put beside logits. PSMI with minus the loss
    is the usual pair.

    Parameters
    ----------
    *scores : array-like of shape (n_samples,)
        Two scores or more, each low = at risk.

    Returns
    -------
    scores : ndarray of shape (n_samples,)
        Mean of the ranks, divided by n_samples: in (0, 1]. Ties share their mean rank.

    Raises
    ------
    InvalidInputError
        If there is only one score, or none.

    Examples
    --------
    >>> from smilearn.baselines import rank_mean
    >>> rank_mean([-0.5, 0.1, 0.2, 0.3], [-9.0, -1.0, -2.0, -0.1])
    array([0.25 , 0.625, 0.625, 1.   ])
    """
    if len(scores) < 2:
        raise InvalidInputError(f"Give 2 scores or more to fuse; got {len(scores)}.")
    checked = [
        column_or_1d(check_array(as_numpy(each), dtype=np.float64, ensure_2d=False))
        for each in scores
    ]
    check_consistent_length(*checked)
    return np.mean([rankdata(each) for each in checked], axis=0) / len(checked[0])
