"""Take samples at risk out of a training set (floor 10)."""

import warnings
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_consistent_length

from smilearn._compat import HasMethods, Interval, fit_context, take
from smilearn._documentation import Documented
from smilearn.exceptions import InvalidInputError, LowSupportWarning
from smilearn.risk_table import RiskTable
from smilearn.scorer import SlicedMIScorer


class RiskFilter(Documented, BaseEstimator):
    """Remove the training samples most at risk of being memorized.

    A sampler in the sense of imbalanced-learn: it acts when a pipeline of
    ``imblearn.pipeline`` is fitted and lets samples pass when it predicts. At most one
    of `share`, `threshold` and `n_remove` says how many go; with none of them, those
    below the `offset_` of the scorer do.

    Parameters
    ----------
    scorer : estimator or RiskTable, default=None
        Has `scores_` after ``fit(X, y)``, low = at risk, or is a pipeline that ends in
        one: then `X` may be texts. A table of the same samples stands for its scores.
        None is ``SlicedMIScorer()``.

    share : float in [0, 1), default=None
        Share of samples to remove, rounded down.

    threshold : float, default=None
        Remove samples whose risk (minus the score, in nats) is above it.

    n_remove : int, default=None
        Number of samples to remove.

    by_class : bool, default=False
        Whether `share` and `n_remove` hold for each class instead of over all.

    min_per_class : int, default=1
        Samples that each class keeps in any case, or all it has if it has fewer: its
        safest ones. Others are not removed in their place.

    Attributes
    ----------
    sample_indices_ : ndarray of shape (n_kept,)
        Indices of the samples that were kept, in order.

    support_ : ndarray of shape (n_samples,)
        Whether each sample was kept.

    scores_ : ndarray of shape (n_samples,)
        Score of each sample, low = at risk.

    scorer_ : estimator or RiskTable
        The fitted scorer, or the table.

    Examples
    --------
    >>> import numpy as np
    >>> from smilearn import RiskFilter, SlicedMIScorer
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 50)
    >>> X = rng.normal(size=(100, 8)) + 2.0 * y[:, None]
    >>> y[0] = 1  # a wrong label
    >>> cleaner = RiskFilter(SlicedMIScorer(64, random_state=0), n_remove=1)
    >>> X_kept, y_kept = cleaner.fit_resample(X, y)
    >>> X_kept.shape, bool(cleaner.support_[0])
    ((99, 8), False)
    """

    _parameter_constraints: ClassVar[dict] = {
        "scorer": [HasMethods("fit"), RiskTable, None],
        "share": [Interval(Real, 0, 1, closed="left"), None],
        "threshold": [Real, None],
        "n_remove": [Interval(Integral, 0, None, closed="left"), None],
        "by_class": ["boolean"],
        "min_per_class": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        scorer=None,
        *,
        share=None,
        threshold=None,
        n_remove=None,
        by_class=False,
        min_per_class=1,
    ):
        self.scorer = scorer
        self.share = share
        self.threshold = threshold
        self.n_remove = n_remove
        self.by_class = by_class
        self.min_per_class = min_per_class

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y):
        """Score the samples and choose those to keep.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or sequence of str
            What the scorer takes.

        y : array-like of shape (n_samples,)
            Class labels.

        Returns
        -------
        self : RiskFilter
            The fitted filter.

        Raises
        ------
        InvalidInputError
            If more than one rule is set, or a rule asks for more than there is.

        Warns
        -----
        LowSupportWarning
            If `min_per_class` keeps samples that the rule would have removed.
        """
        rules = {
            name: getattr(self, name) for name in ("share", "threshold", "n_remove")
        }
        given = {name: value for name, value in rules.items() if value is not None}
        if len(given) > 1:
            raise InvalidInputError(
                f"Set one of share, threshold and n_remove; got {given}."
            )
        offset = self._score(X, y)
        labels = column_or_1d(y)
        check_consistent_length(self.scores_, labels)
        remove = self._at_risk(offset, labels)
        self.support_ = ~self._spare(remove, labels)
        self.sample_indices_ = np.flatnonzero(self.support_)
        return self

    def fit_resample(self, X, y):
        """Score the samples, and give those that are kept.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or sequence of str
            What the scorer takes: array, sparse matrix, frame, list of texts.

        y : array-like of shape (n_samples,)
            Class labels.

        Returns
        -------
        X_kept : same type as X
            The samples that were kept, in order.

        y_kept : same type as y
            Their labels.
        """
        check_consistent_length(X, y)
        self.fit(X, y)
        return take(X, self.sample_indices_), take(y, self.sample_indices_)

    def _score(self, X, y):
        """Fit the scorer, keep the scores, and give its offset."""
        if isinstance(self.scorer, RiskTable):
            self._check_table(y)
            self.scorer_, self.scores_ = self.scorer, self.scorer["psmi"]
            return 0.0
        scorer = SlicedMIScorer() if self.scorer is None else clone(self.scorer)
        self.scorer_ = scorer.fit(X, y)
        last = scorer[-1] if hasattr(scorer, "steps") else scorer
        self.scores_ = np.asarray(last.scores_)
        return getattr(last, "offset_", 0.0)

    def _check_table(self, y):
        """The table must be of these very samples, in their order."""
        if not self.scorer.is_whole:
            raise InvalidInputError(
                "The risk table is a view made by take or riskiest; give the whole "
                "table, its rows in the order of the data."
            )
        labels = self.scorer["label"]
        if len(labels) != len(y) or (labels != column_or_1d(y)).any():
            raise InvalidInputError(
                "The labels of the risk table are not y; score this very data first."
            )

    def _at_risk(self, offset, labels):
        """Samples that the rule removes, before any floor; (n_samples,), bool."""
        if self.threshold is not None:
            return -self.scores_ > self.threshold
        if self.share is None and self.n_remove is None:
            return self.scores_ < offset
        groups = [np.arange(len(labels))]
        if self.by_class:
            groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        remove = np.zeros(len(labels), bool)
        for group in groups:
            n_remove = self.n_remove
            if n_remove is None:
                n_remove = int(self.share * len(group) + 1e-9)
            if n_remove > len(group):
                raise InvalidInputError(
                    f"n_remove={n_remove} is more than the {len(group)} samples of "
                    f"{'a class' if self.by_class else 'the data'}."
                )
            riskiest = np.argsort(self.scores_[group], kind="stable")[:n_remove]
            remove[group[riskiest]] = True
        return remove

    def _spare(self, remove, labels):
        """Take back removals that would leave a class with too few samples."""
        spared = remove.copy()
        short = []
        for label in np.unique(labels):
            group = np.flatnonzero(labels == label)
            missing = min(self.min_per_class, len(group)) - (~remove[group]).sum()
            if missing > 0:
                removed = group[remove[group]]
                safest = np.argsort(-self.scores_[removed], kind="stable")[:missing]
                spared[removed[safest]] = False
                short.append(label)
        if short:
            warnings.warn(
                f"min_per_class={self.min_per_class} kept samples at risk in the "
                f"class{'es' * (len(short) > 1)} {', '.join(map(str, short))}.",
                LowSupportWarning,
                stacklevel=4,
            )
        return spared

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
