"""Log probability of the label by linear discriminant analysis."""

from numbers import Real
from typing import ClassVar

import numpy as np
import torch

from smilearn.baselines._base import COVARIANCE, LabelScorer
from smilearn.scoring._lda import SHRINKAGES, choose_lda, eigen_ldas
from smilearn.scoring._points import features_of, projection_for, residuals
from smilearn.scoring._pool import Pool
from smilearn.scoring._reader import Settings
from smilearn.scoring._sums import Sums
from smilearn.utils._indexing import as_tensor
from smilearn.utils._sklearn_compat import Interval, StrOptions

_SETTINGS = Settings("student", torch.device("cpu"), "float64")


class LDAScorer(LabelScorer):
    """Log probability of the label by left-out linear discriminant analysis, in nats.

    What :class:`~smilearn.SlicedMIScorer` is without its slices and outliers: LDA and
    the log prior, weighted by the mean left-out log probability of at most 2,048
    samples. X must be dense.

    Parameters
    ----------
    shrinkage : "auto" or float in (0, 1], default="auto"
        Shrinkage of the covariance; "auto" takes the one with the largest mean left-out
        log probability.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Of the training samples, each left out in closed form, in nats; low = at risk.
        A sample without others of its class has the log of its share.

    classes_ : ndarray of shape (n_classes,)
        Labels seen in :meth:`fit`, sorted.

    shrinkage_ : float
        Shrinkage of the covariance.

    n_features_in_, feature_names_in_ : int, ndarray of shape (n_features,)
        Features seen in :meth:`fit`, and their names, where all are strings.

    Examples
    --------
    >>> import numpy as np
    >>> from smilearn.baselines import LDAScorer
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["ham", "spam"], 50)
    >>> X = rng.normal(size=(100, 4)) + 2.0 * (y == "spam")[:, None]
    >>> y[0] = "spam"  # a wrong label
    >>> int(LDAScorer().fit(X, y).scores_.argmin())
    0
    """

    _parameter_constraints: ClassVar[dict] = {
        "shrinkage": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="right")],
    }

    _dense_since = COVARIANCE

    def __init__(self, *, shrinkage="auto"):
        self.shrinkage = shrinkage

    def _learn(self, X, codes):
        self._projection = projection_for(X.shape[1], 0)
        X = features_of(X, self._projection, "cpu")
        slices = np.eye(1, X.shape[1])  # sums are over slices too
        sums = Sums.of(X, codes, None, slices, _SETTINGS, pooled=True)
        self._scale = sums.centre, sums.inverse_scale
        auto = self.shrinkage == "auto"
        vectors, ldas = eigen_ldas(sums, SHRINKAGES if auto else (self.shrinkage,))
        sample = sums.sample[sums.count[sums.sample.labels] > 1]
        log_prior = np.log(sums.count / sums.count.sum())
        self._pool, lda = Pool({"lda": 0.0}, 1.0, log_prior), ldas[-1]
        if len(sample.labels):
            points = residuals(as_tensor(sample.X, "cpu"), *self._scale, torch.float64)
            points @= torch.as_tensor(vectors)
            copies, prior = np.ones(len(sample.labels)), (log_prior, sample.weight)
            asked = sample.labels, copies, *prior, _SETTINGS
            _, lda, self._pool, _ = choose_lda(ldas, points, *asked)
        self._lda, self.shrinkage_ = lda.along(vectors), lda.shrinkage

    def _points(self, X):
        X = features_of(X, self._projection, "cpu")
        return residuals(X, *self._scale, torch.float64)

    def _table(self, X):
        table = self._lda.table(self._points(X), _SETTINGS).numpy()
        return self._pool.log_posterior({"lda": table})

    def _training_table(self, X, codes):
        asked = torch.as_tensor(codes), np.ones(len(codes)), _SETTINGS
        table = self._lda.left_out(self._points(X), *asked).numpy()
        table = self._pool.log_posterior({"lda": table})
        table[self._lda.count[codes] <= 1] = self._pool.log_prior
        return table
