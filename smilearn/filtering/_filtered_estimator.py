"""Fit an estimator without the samples at risk."""

from typing import ClassVar

from sklearn.base import clone
from sklearn.utils.validation import _num_samples

from smilearn.exceptions import InvalidInputError
from smilearn.filtering._meta import MetaEstimator
from smilearn.filtering._pipelines import refuse_private
from smilearn.utils._indexing import check_aligned, is_aligned, take_samples
from smilearn.utils._sklearn_compat import HasMethods, fit_context


class FilteredEstimator(MetaEstimator):
    """Fit an estimator without the samples at risk.

    For pipelines of scikit-learn, whose steps cannot drop samples, and where weights,
    groups or other metadata must go with them. Samples are dropped in :meth:`fit` only;
    everything else is what the fitted estimator answers.

    Parameters
    ----------
    estimator : estimator
        What is fitted to the samples that are kept. May be a pipeline or a search.

    filter : sampler, default=None
        A `RiskFilter`, or another sampler that sets `sample_indices_`. None is
        ``RiskFilter()``.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator.

    filter_ : sampler
        The fitted filter: which samples were kept says its `support_`.

    classes_ : ndarray of shape (n_classes,)
        Class labels of the fitted estimator.

    n_features_in_, feature_names_in_ : int, ndarray of shape (n_features,)
        Features of the fitted estimator, and their names, where there are any.

    Notes
    -----
    Without metadata routing all that is handed to :meth:`fit` goes to the estimator,
    cut where it holds a value for each sample. With it, the estimator gets what it
    requests, and the scorer of the filter what that requests.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> from smilearn import FilteredEstimator, RiskFilter, SlicedMIScorer
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 50)
    >>> X = rng.normal(size=(100, 8)) + 2.0 * y[:, None]
    >>> cleaner = RiskFilter(SlicedMIScorer(64, random_state=0), share=0.1)
    >>> model = FilteredEstimator(LogisticRegression(), cleaner)
    >>> int(model.fit(X, y, sample_weight=np.ones(100)).filter_.support_.sum())
    90
    >>> cross_val_score(model, X, y).shape
    (5,)
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods("fit")],
        "filter": [HasMethods("fit_resample"), None],
    }

    def __init__(self, estimator, filter=None):
        self.estimator = estimator
        self.filter = filter

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, **params):
        """Choose the samples to keep, and fit the estimator to them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or sequence of str
            What both the filter and the estimator take.

        y : array-like of shape (n_samples,)
            Class labels.

        **params : dict
            For ``fit`` of the estimator; what holds a value for each sample is cut.

        Returns
        -------
        self : FilteredEstimator
            The fitted estimator.

        Raises
        ------
        InvalidInputError
            If the filter does not say which samples it kept, or refuses the samples.
        """
        refuse_private(self.estimator)
        wanted, of_filter = self._requested(params)
        along = ("sample_weight", "groups")
        check_aligned(
            X, {n: wanted[n] for n in wanted if n.rpartition("__")[2] in along}
        )
        cleaner = clone(self._filter())
        X_kept, y_kept, *_ = cleaner.fit_resample(X, y, **of_filter)
        if not hasattr(cleaner, "sample_indices_"):
            raise InvalidInputError(
                "filter must set sample_indices_, so that weights are cut as the "
                f"samples are; {type(cleaner).__name__} does not."
            )
        kept, n_samples = cleaner.sample_indices_, _num_samples(X)
        wanted = {
            name: take_samples(each, kept) if is_aligned(each, n_samples) else each
            for name, each in wanted.items()
        }
        self.filter_ = cleaner
        self.estimator_ = clone(self.estimator).fit(X_kept, y_kept, **wanted)
        return self
