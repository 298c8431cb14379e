"""What a fitted scorer answers about samples, after some or all of its slices."""

import warnings

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_is_fitted, validate_data

from smilearn.exceptions import InvalidInputError, LowSupportWarning
from smilearn.metrics import label_contrast
from smilearn.scoring._engine import SliceTally, score_new, staged_new
from smilearn.scoring._families import joint_table, mixed, mixed_errors
from smilearn.scoring._moments import ClassMoments
from smilearn.scoring._reader import Settings
from smilearn.scoring._samples import SparsePoints
from smilearn.scoring._standardize import standardize
from smilearn.tables._risk_table import RiskTable
from smilearn.utils._devices import resolve_device, working_on
from smilearn.utils._indexing import as_tensor
from smilearn.utils._validation import (
    checked_labels,
    checked_tensor,
    is_tensor,
    read_column,
    with_number_type,
)
from smilearn.utils._weights import checked_weights


class SliceScoring:
    """Methods of a scorer whose slices are fitted; expects its fitted attributes."""

    def score_samples(self, X, y=None):
        """Score samples with the fitted slices; low = at risk.

        Training samples scored here are *not* left out of the moments: their own
        scores are in `scores_`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.

        y : array-like of shape (n_samples,), default=None
            Label of each sample, among `classes_`. None scores each sample under the
            label that fits it best: the largest column of :meth:`score_table`.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            PSMI in nats, at most ``-log(share of the class)`` but for a mixture.

        Raises
        ------
        ValueError
            If `y` holds a label that was not seen in :meth:`fit`.
        """
        check_is_fitted(self)
        if self._of_indicators:
            return self._indicator_table(X, y).mean(1)
        return self._score(*self._under_labels(X, y)).max(1)  # with y one column

    def score_table(self, X):
        """Score each sample under each label.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.

        Returns
        -------
        table : ndarray of shape (n_samples, n_classes)
            PSMI in nats, one column for each of `classes_`: where samples have several
            labels, as if each were present.
        """
        check_is_fitted(self)
        if self._of_indicators:
            X = self._validated(X)
            return self._indicator_table(X, np.ones((X.shape[0], len(self.classes_))))
        return self._score(*self._under_labels(X))

    def decision_function(self, X, target=None):
        """Score minus `offset_`; negative = at risk.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.

        target : array-like of shape (n_samples,), default=None
            Label of each sample; None as in :meth:`score_samples`. By this name a
            pipeline can hand it over through metadata routing.

        Returns
        -------
        decision : ndarray of shape (n_samples,)
            In nats.
        """
        return self.score_samples(X, target) - self.offset_

    def predict(self, X, target=None):
        """Tell the samples at risk from the others.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.

        target : array-like of shape (n_samples,), default=None
            Label of each sample; None as in :meth:`score_samples`.

        Returns
        -------
        flags : ndarray of shape (n_samples,)
            -1 for a sample at risk, +1 for the others.
        """
        return np.where(self.decision_function(X, target) < 0, -1, 1)

    def score(self, X, y, sample_weight=None):
        """Label contrast: how well the slices tell labels apart; needs no truth.

        The share of (sample, wrong label) pairs in which the sample's own label scores
        higher than the wrong one, ties counting half. On samples that were not fitted,
        it is a fair guide to the better setting.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings, best of samples that were not fitted.

        y : array-like of shape (n_samples,)
            Their labels, among `classes_`.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample; None weighs all alike.

        Returns
        -------
        contrast : float
            In [0, 1]; 0.5 is chance, higher is better.

        Raises
        ------
        ValueError
            If no sample has a label that was seen in :meth:`fit`.

        Warns
        -----
        LowSupportWarning
            If some samples have labels that were not seen, as happens to classes of
            one in cross-validation; they are left out.
        """
        check_is_fitted(self)
        if self._of_indicators:
            return self._indicator_contrast(X, y, sample_weight)
        X, codes, weight = self._to_compare(X, y, sample_weight)
        return label_contrast(self.score_table(X), codes, weight)

    def fit_predict(self, X, y, sample_weight=None):
        """Fit, and tell the training samples at risk from the others.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.

        y : array-like of shape (n_samples,)
            Class labels.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample, as in :meth:`fit`.

        Returns
        -------
        flags : ndarray of shape (n_samples,)
            -1 where `scores_` is below `offset_`, else +1.
        """
        self.fit(X, y, sample_weight)
        return np.where(self.scores_ < self.offset_, -1, 1)

    def to_table(self, X=None, *, texts=None, ids=None):
        """Put the scores of the training samples in a table, riskiest last to first.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), default=None
            The training embeddings. When given, the table also names the label that
            fits each sample best (but where samples have several labels).

        texts : sequence of str, default=None
            Text of each sample.

        ids : sequence, default=None
            Name of each sample. None takes the index of `texts` or of `X` where they
            are of pandas, and else numbers them from 0.

        Returns
        -------
        table : RiskTable
            One row a sample, in the order of the training data.
        """
        check_is_fitted(self)
        if not hasattr(self, "scores_"):
            raise InvalidInputError(
                "There are no scores_ to put in a table after partial_fit, which keeps "
                "no samples. Use score_training_samples(X, y) and RiskTable."
            )
        most_likely, labels = None, self.labels_
        ids = _pandas_index(texts, X) if ids is None else ids
        if self._of_indicators:
            X, labels = None, self._joined_names()
        if X is not None:
            columns = self.score_table(X)
            if len(columns) != len(self.scores_):
                raise InvalidInputError(
                    f"X must be the {len(self.scores_)} training samples; got "
                    f"{len(columns)}. For new samples use score_samples(X, y)."
                )
            own = np.searchsorted(self.classes_, self.labels_)
            columns[np.arange(len(own)), own] = self.scores_
            most_likely = self.classes_[columns.argmax(1)]
        return RiskTable(
            score=self.scores_,
            label=labels,
            probability=getattr(self, "probability_", None),
            psmi=getattr(self, "psmi_", None),
            std=self.scores_std_,
            most_likely_label=most_likely,
            text=texts,
            id=ids,
        )

    def staged_score_samples(self, X, y=None, at=None):
        """Score samples with the first slices, then with more; low = at risk.

        One pass over the slices, lazily: each array is made when it is asked for, and
        memory does not grow with the number of slices. After k slices the scores are
        those of a scorer that was fitted with ``n_slices=k`` and the same seed, up to
        rounding.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings. In a pipeline: transformed by the steps before, as in
            ``pipeline[-1].staged_score_samples(pipeline[:-1].transform(X))``.

        y : array-like of shape (n_samples,), default=None
            Label of each sample, among `classes_`. None scores each sample under the
            label that fits it best with the slices so far.

        at : array-like of int, default=None
            After how many slices to score: ascending, from 1 to `n_slices_`. None is
            after each one.

        Returns
        -------
        stages : generator of ndarray of shape (n_samples,)
            PSMI in nats, one array for each count of `at`. After all slices these are
            the scores of :meth:`score_samples`: to 1e-6 nats, or of scores beyond 1 nat
            to 2e-6 of their size, as sums are rounded in another order.

        Raises
        ------
        ValueError
            At once, if `at` is not as stated, `y` holds a label that was not seen in
            :meth:`fit`, or ``slicing="adaptive"``: a mixture has no order of slices,
            but each of its `members_` has. "joint" has one slice.

        Examples
        --------
        >>> import numpy as np
        >>> from smilearn import SlicedMIScorer
        >>> rng = np.random.default_rng(0)
        >>> y = np.repeat([0, 1], 50)
        >>> X = rng.normal(size=(100, 4)) + 2.0 * y[:, None]
        >>> scorer = SlicedMIScorer(16, slicing="isotropic", random_state=0).fit(X, y)
        >>> stages = scorer.staged_score_samples(X, y, at=[4, 16])
        >>> [scores.shape for scores in stages]
        [(100,), (100,)]
        """
        check_is_fitted(self)
        self._refuse_mixture()
        counts = self._slice_counts(at, "at")
        stages = self._stages(*self._under_labels(X, y), counts)
        return (scores.max(1) for scores in stages)  # with y there is one column

    @property
    def _one_direction(self):
        """Whether one slice is all there is."""
        return self.slicing == "joint" or self.directions_.shape[1] == 1

    @property
    def _block_length(self):
        """Slices in an orthonormal block."""
        alone = self._one_direction or not self.orthogonal
        return 1 if alone else self.directions_.shape[1]

    def _refuse_mixture(self):
        if hasattr(self, "label_scorers_"):
            raise InvalidInputError(
                "A scorer of several labels has no order of slices of its own. Look at "
                "one label, as in scorer.label_scorers_[0]."
            )
        if self.slicing == "adaptive":
            raise InvalidInputError(
                "slicing='adaptive' mixes families of slices, and has no order of "
                "slices of its own. Look at a member, as in "
                f"scorer.members_['isotropic']; there are {sorted(self.members_)}."
            )

    def _slice_counts(self, counts, name):
        """Check some counts of slices; None gives each from one to all."""
        if counts is None:
            return np.arange(1, self.n_slices_ + 1)
        values = np.asarray(counts)
        numbers = values.ndim == 1 and values.dtype.kind in "iu" and len(values)
        steps = np.diff(values.astype(np.int64), prepend=0) if numbers else [0]
        if np.min(steps) < 1 or values[-1] > self.n_slices_:
            raise InvalidInputError(
                f"{name} must be numbers of slices in ascending order, from 1 to the "
                f"{self.n_slices_} that are fitted; got {counts!r}."
            )
        return values.astype(np.int64)

    def _stages(self, X, columns, counts, tally=None):
        """Yield scores (n, n_columns) after some counts of slices; see `staged_new`."""
        settings = self._settings()
        stages = self._computed(X, columns, counts, tally, settings)
        while True:
            with working_on(settings.device):  # the caller's threads between stages
                scores = next(stages, None)
            if scores is None:
                return
            yield scores

    def _computed(self, X, columns, counts, tally, settings):
        points = self._points(X, settings)
        if self.slicing == "joint":
            yield self._score_points(points, columns, settings)
            return
        points = self._mapped(points, settings)
        yield from staged_new(points, columns, *self._slices(), settings, counts, tally)

    def _settings(self):
        size = None if self.block_size == "auto" else self.block_size
        device = resolve_device(self.device)
        dtype = "float32" if device.type == "mps" else self.dtype_
        return Settings(self.density, device, dtype, size)

    def _validated(self, X, *y, reset=False, least=None, sparse=True):
        """Check X, or X and y, by scikit-learn's rules; X floating."""
        X, *y = map(read_column, (X, *y))
        least = least or (2 if reset else 1)
        if is_tensor(X):
            X = checked_tensor(self, X, reset=reset, least=least)
            return (X, checked_labels(*y, X)) if y else X
        if hasattr(X, "iloc") and hasattr(X, "sparse"):
            X = X.sparse.to_dense()  # few columns: no family need be left out
        X, dtype = with_number_type(X)
        options = {"dtype": dtype, "ensure_min_samples": least}
        sparse = "csr" if sparse else False
        y = [labels.cpu() if is_tensor(labels) else labels for labels in y]
        checked = validate_data(
            self, X, *y, reset=reset, accept_sparse=sparse, **options
        )
        X = checked[0] if y else checked
        if issparse(X) and not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
        return (X, checked[1]) if y else X

    def _under_labels(self, X, y=None):
        """Samples and the codes to score them under: their own, or each in turn."""
        if y is not None:
            X, y = self._validated(X, y)
            return X, [self._encode(y)]
        X = self._validated(X)
        return X, [np.full(X.shape[0], code) for code in range(len(self.classes_))]

    def _encode(self, y):
        codes = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        unknown = np.unique(y[self.classes_[codes] != y])
        if len(unknown):
            raise InvalidInputError(
                f"y holds labels that were not seen in fit: {unknown[:5].tolist()}. "
                f"Known labels: {self.classes_[:10].tolist()}."
            )
        return codes

    def _to_compare(self, X, y, sample_weight=None):
        """Samples of known labels, their codes and weights; warn of the others."""
        X, y = self._validated(X, y)
        weight = checked_weights(sample_weight, X)
        known = np.isin(y, self.classes_)
        if known.any() and not known.all():
            warnings.warn(
                f"{(~known).sum()} of {len(y)} samples have labels that were not seen "
                "in fit; they are left out of the label contrast.",
                LowSupportWarning,
                stacklevel=3,
            )
            X, y = X[known], y[known]
            weight = weight if weight is None else weight[known]
        return X, self._encode(y), weight

    def _score(self, X, columns, left_out=False):
        settings = self._settings()
        with working_on(settings.device):
            points = self._points(X, settings)
            return self._score_points(points, columns, settings, left_out=left_out)

    def _points(self, X, settings):
        """Standardize samples, (n, d), where the work is done."""
        if issparse(X):
            dense = {"whitened", "discriminant", "joint"}
            if self.slicing in dense or dense & getattr(self, "members_", {}).keys():
                raise InvalidInputError(
                    "This scorer was fitted to dense embeddings, whose covariance it "
                    "uses; give it X.toarray(), or fit it to a sparse matrix."
                )
            return SparsePoints.of(X, self.centre_, self.inverse_scale_, settings)
        points = as_tensor(X, settings.device)
        scale = self.centre_, self.inverse_scale_
        points = standardize(points, *scale, settings.torch_dtype)
        return points.to(settings.device)

    def _scores_and_errors(self, X, codes):
        """Scores of samples that were not fitted, and their standard errors."""
        settings = self._settings()
        with working_on(settings.device):
            return self._measured(self._points(X, settings), codes, settings)

    def _measured(self, points, codes, settings):
        if self.slicing == "adaptive":
            both = {
                name: member._measured(points, codes, settings)
                for name, member in self.members_.items()
            }
            scores, errors = ({n: b[i] for n, b in both.items()} for i in range(2))
            shares = self.weights_, self.member_places_
            return mixed(scores, *shares), mixed_errors(errors, *shares)
        tally = SliceTally(len(points), 1)
        scores = self._score_points(points, [codes], settings, tally)[:, 0]
        if self.slicing == "joint":  # no slices, no error
            return scores, np.zeros(len(scores))
        return scores, tally.standard_error

    def _score_points(self, points, columns, settings, tally=None, left_out=False):
        """Score standardized samples (n, d) under some labels: (n, n_columns)."""
        if self.slicing == "adaptive":
            scores = {
                name: self.members_[name]._score_points(points, columns, settings)
                for name, weight in self.weights_.items()
                if weight > 0
            }
            return mixed(scores, self.weights_, self.member_places_)
        if self.slicing == "joint":
            table = joint_table(self.coef_, self.intercept_, self.class_prior_, points)
            return np.take_along_axis(table, np.stack(columns, 1), 1)
        points, fitted = self._mapped(points, settings), self._slices()
        return score_new(points, columns, *fitted, settings, tally, left_out)

    def _mapped(self, points, settings):
        """Standardized samples in the space of the slices."""
        if self.components_ is None:
            return points
        if isinstance(points, SparsePoints):
            return points.mapped(self.components_)
        return points @ settings.tensor(self.components_).T

    def _slices(self):
        """Fitted slices, their moments and their grid sizes."""
        total, n_classes = self.class_count_.sum(), len(self.classes_)
        if total < n_classes:  # only a stream can tell no sooner
            raise InvalidInputError(
                "sample_weight counts copies of a sample, so it must add up to at "
                f"least one a class before samples are scored; got {total:.3g} for "
                f"{n_classes} classes so far. Go on with partial_fit; or multiply "
                "weights that sum to 1 by the number of samples."
            )
        moments = ClassMoments(
            self.class_count_,
            self.slice_means_,
            self.slice_variances_,
            self.slice_reach_,
            *self.slice_range_,
        )
        return self.directions_, moments, self.slice_nodes_


def _pandas_index(*given):
    """Index of the first pandas object; None where there is none."""
    for each in given:
        if type(each).__module__.partition(".")[0] == "pandas":
            return each.index
    return None
