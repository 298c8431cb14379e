"""What a fitted scorer answers after some of its slices."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from smilearn.exceptions import InvalidInputError
from smilearn.scoring._engine import staged_new
from smilearn.utils._devices import working_on


class SliceStaging:
    """Staged methods of a scorer; expects what it knows of samples and slices."""

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
        if y is None:
            X = self._validated(X)
            columns = [
                np.full(X.shape[0], label) for label in range(len(self.classes_))
            ]
        else:
            X, y = self._validated(X, y)
            columns = [self._encode(y)]
        stages = self._stages(X, columns, counts)
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
