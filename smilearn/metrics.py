"""Measures of a ranking, and the label contrast.

Throughout, `memorized` is the ground truth of an audit and `risk` is *high* for samples
at risk, such as minus the scores of a scorer.
"""

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.validation import check_consistent_length

from smilearn.exceptions import InvalidInputError

__all__ = [
    "auc",
    "fpr_at_tpr",
    "label_contrast",
    "precision_at_k",
    "rank_correlation",
    "tpr_at_fpr",
]


def auc(memorized, risk):
    """Area under the ROC curve: the chance that a memorized sample is riskier.

    Parameters
    ----------
    memorized : array-like of shape (n_samples,)
        Whether each sample is memorized, both kinds present.

    risk : array-like of shape (n_samples,)
        Score of each sample, high = at risk.

    Returns
    -------
    auc : float
        In [0, 1]; 0.5 is chance, higher is better. Ties count half.

    Raises
    ------
    InvalidInputError
        If `memorized` holds one kind of sample only.

    Examples
    --------
    >>> from smilearn.metrics import auc
    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    return float(roc_auc_score(*_both_kinds(memorized, risk)))


def rank_correlation(lira, risk):
    """Rank correlation (Spearman's rho) of risk with a graded truth.

    Parameters
    ----------
    lira : array-like of shape (n_samples,)
        How much each sample is memorized, such as its log likelihood ratio.

    risk : array-like of shape (n_samples,)
        Score of each sample, high = at risk.

    Returns
    -------
    correlation : float
        In [-1, 1]; higher is better. 0 where either is the same for all samples.

    Raises
    ------
    ValueError
        If a value is NaN, or lengths differ.

    Examples
    --------
    >>> from smilearn.metrics import rank_correlation
    >>> rank_correlation([0.1, 5.0, 2.0], [1, 3, 2])
    1.0
    """
    ranks = [
        rankdata(column_or_1d(check_array(each, ensure_2d=False, input_name=name)))
        for name, each in (("lira", lira), ("risk", risk))
    ]
    check_consistent_length(*ranks)
    first, second = (each - each.mean() for each in ranks)
    size = np.sqrt((first**2).sum() * (second**2).sum())
    return float(np.clip(first @ second / size, -1, 1)) if size else 0.0


def label_contrast(table, codes, sample_weight=None):
    """Share of (sample, wrong label) pairs in which the own label scores higher.

    Needs no ground truth, and follows how well a score finds memorized samples. Ties
    count half.

    Parameters
    ----------
    table : array-like of shape (n_samples, n_classes)
        Score of each sample under each label.

    codes : array-like of shape (n_samples,)
        Column of the own label of each sample.

    sample_weight : array-like of shape (n_samples,), default=None
        Weight of each sample; None weighs all alike.

    Returns
    -------
    contrast : float
        In [0, 1]; 0.5 is chance, higher is better.

    Raises
    ------
    InvalidInputError
        If a code is no column of `table`.

    Examples
    --------
    >>> from smilearn.metrics import label_contrast
    >>> label_contrast([[0.5, -1.0, 0.2], [0.3, 0.1, 0.1]], [0, 1])
    0.625
    """
    table, codes = check_array(table, ensure_min_features=2), column_or_1d(codes)
    check_consistent_length(table, codes)
    if codes.min() < 0 or codes.max() >= table.shape[1]:
        raise InvalidInputError(
            f"codes must be columns of the table, 0 to {table.shape[1] - 1}; "
            f"got {codes.min()} to {codes.max()}."
        )
    own = table[np.arange(len(codes)), codes][:, None]
    wins = (own > table).sum(1) + 0.5 * ((own == table).sum(1) - 1)
    return float(np.average(wins, weights=sample_weight) / (table.shape[1] - 1))


def tpr_at_fpr(memorized, risk, fpr=0.01):
    """True-positive rate at the last threshold whose false-positive rate is allowed.

    Parameters
    ----------
    memorized : array-like of shape (n_samples,)
        Whether each sample is memorized, both kinds present.

    risk : array-like of shape (n_samples,)
        Score of each sample, high = at risk.

    fpr : float, default=0.01
        Largest false-positive rate allowed.

    Returns
    -------
    tpr : float
        In [0, 1]; higher is better.

    Raises
    ------
    InvalidInputError
        If `memorized` holds one kind of sample only, or a rate is outside [0, 1].

    Examples
    --------
    >>> from smilearn.metrics import tpr_at_fpr
    >>> tpr_at_fpr([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], fpr=0.0)
    0.5
    """
    _check_rate("fpr", fpr)
    false_rate, true_rate = _rates(memorized, risk)
    return float(true_rate[false_rate <= fpr].max())


def fpr_at_tpr(memorized, risk, tpr=0.75):
    """False-positive rate at the first threshold that finds enough; lower is better.

    Parameters
    ----------
    memorized : array-like of shape (n_samples,)
        Whether each sample is memorized, both kinds present.

    risk : array-like of shape (n_samples,)
        Score of each sample, high = at risk.

    tpr : float, default=0.75
        True-positive rate to reach.

    Returns
    -------
    fpr : float
        In [0, 1]; lower is better.

    Raises
    ------
    InvalidInputError
        If `memorized` holds one kind of sample only, or a rate is outside [0, 1].

    Examples
    --------
    >>> from smilearn.metrics import fpr_at_tpr
    >>> fpr_at_tpr([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], tpr=0.75)
    0.5
    """
    _check_rate("tpr", tpr)
    false_rate, true_rate = _rates(memorized, risk)
    return float(false_rate[np.argmax(true_rate >= tpr)])


def precision_at_k(memorized, risk, k):
    """Share of memorized samples among the k riskiest; ties share evenly.

    Parameters
    ----------
    memorized : array-like of shape (n_samples,)
        Whether each sample is memorized.

    risk : array-like of shape (n_samples,)
        Score of each sample, high = at risk.

    k : int
        Length of the list, 1 to n_samples.

    Returns
    -------
    precision : float
        In [0, 1]; higher is better.

    Raises
    ------
    InvalidInputError
        If `k` is not between 1 and n_samples.

    Examples
    --------
    >>> from smilearn.metrics import precision_at_k
    >>> precision_at_k([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], k=1)
    1.0
    """
    memorized, risk = _checked(memorized, risk)
    if not 1 <= k <= len(risk):
        raise InvalidInputError(f"k must be between 1 and {len(risk)}; got {k}.")
    threshold = np.sort(risk)[-k]
    above, tied = risk > threshold, risk == threshold
    share = (k - above.sum()) / tied.sum()
    return float((memorized[above].sum() + share * memorized[tied].sum()) / k)


def _checked(memorized, risk):
    memorized = column_or_1d(memorized)
    if not np.isin(memorized, (0, 1)).all():
        raise InvalidInputError(
            f"memorized must be 0 or 1; got {np.unique(memorized)[:5].tolist()}."
        )
    risk = check_array(risk, ensure_2d=False, input_name="risk")
    check_consistent_length(memorized, risk)
    return memorized.astype(bool), column_or_1d(risk)


def _check_rate(name, rate):
    if not 0 <= rate <= 1:
        raise InvalidInputError(f"{name} must be a rate between 0 and 1; got {rate}.")


def _rates(memorized, risk):
    return roc_curve(*_both_kinds(memorized, risk), drop_intermediate=False)[:2]


def _both_kinds(memorized, risk):
    memorized, risk = _checked(memorized, risk)
    if memorized.all() or not memorized.any():
        kind = "memorized" if memorized.all() else "not memorized"
        raise InvalidInputError(
            "memorized must hold samples of both kinds; "
            f"got {len(memorized)} samples, all {kind}."
        )
    return memorized, risk
