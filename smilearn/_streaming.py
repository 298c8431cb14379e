"""Fitting on more samples than memory holds, or batch after batch (floor 7)."""

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from smilearn._batches import Relabelled, pieces, repeatable, triple
from smilearn._compat import fit_context
from smilearn._directions import SliceDirections, generator_from
from smilearn._engine import extend_until
from smilearn._families import ENOUGH_RELIABILITY
from smilearn._stream import finished, merged
from smilearn._stream_pass import StreamPass, with_batch
from smilearn._tables import nodes_needed
from smilearn._threads import own_threads
from smilearn._weights import checked_weights
from smilearn.exceptions import InvalidInputError

_SLICES = 1024  # of partial_fit, for "auto": no ranking tells when to stop


class StreamLearning:
    """Methods that never see all samples at once; expects those of a scorer."""

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Fit the slices to one more batch of samples.

        Batches may be of any size and come in any order: up to rounding (1e-5 nats),
        what is learnt is what :meth:`fit` would learn from all of them at once. As no
        sample is kept, there are no `scores_`: when all batches have been fitted,
        go through them again with :meth:`score_training_samples`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.

        y : array-like of shape (n_samples,)
            Class labels.

        classes : array-like of shape (n_classes,), default=None
            On the first call: all labels that may come; others are an error. None
            takes labels as they come. `classes_` are those seen so far.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample, as in :meth:`fit`.

        Returns
        -------
        self : SlicedMIScorer
            The scorer, fitted to all batches so far.

        Raises
        ------
        ValueError
            If `slicing` is not "isotropic", or `contamination` is not None: these need
            all samples at once. If the scorer was fitted by :meth:`fit`, of which
            there are no sums to go on with.
        """
        self._check_can_stream()
        if self.contamination is not None:
            raise InvalidInputError(
                "partial_fit keeps no scores to draw a line by, so contamination must "
                f"be None; got {self.contamination!r}."
            )
        first = not hasattr(self, "stream_")
        if first and hasattr(self, "scores_"):
            raise InvalidInputError(
                "This scorer was fitted by fit, which keeps no sums to go on with. "
                "Take a new one: sklearn.base.clone(scorer).partial_fit(X, y)."
            )
        X, y, weight = self._checked_batch(X, y, sample_weight, reset=first)
        if first:
            self._begin_stream(classes)
        self._refuse_labels(y)
        settings = self._settings()
        with own_threads(settings.device):
            state = self.stream_ or None
            state = with_batch(state, X, y, weight, self.directions_, settings)
        self.stream_ = state or {}
        if state:
            self._take_over(state)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_batches(self, batches):
        """Fit the slices to samples that do not fit in memory, and score them.

        Goes through the batches twice for each doubling of the slices: with a number
        for `n_slices`, twice in all. Gives what :meth:`fit` gives, up to rounding (1e-5
        nats). Memory beyond one batch of about 64 MB does not grow but for a few
        numbers a sample. :meth:`fit` on a large `numpy.memmap` comes here by itself.

        Parameters
        ----------
        batches : iterable of (X, y) or (X, y, sample_weight)
            Batches of any size, the same ones each time it is gone through; see
            :class:`~smilearn.batches.RecordBatches` for Parquet files and Arrow.

        Returns
        -------
        self : SlicedMIScorer
            The fitted scorer.

        Raises
        ------
        ValueError
            If `slicing` is not "isotropic", if `batches` can be gone through only once
            or changes, or if weights are not whole numbers where samples are to be left
            out; and whatever :meth:`fit` raises.
        """
        self._check_can_stream()
        self._forget()
        repeatable(batches)
        self._look_at_the_first(batches)
        settings, directions = self._settings(), self._directions()
        options = {
            "block_length": self.n_features_in_ if self.orthogonal else 1,
            "left_out": self.leave_one_out,
        }
        training = StreamPass(lambda: self._pieces(batches), settings, **options)
        with own_threads(settings.device):
            if self.n_features_in_ == 1:
                training.extend(directions.first(1))
            elif self.n_slices == "auto":
                extend_until(training, ENOUGH_RELIABILITY, directions, self.max_slices)
            else:
                training.extend(directions.first(self.n_slices))
        self._keep_pass(training, directions)
        self._draw_the_line(
            lambda null, labels: null.fit_batches(Relabelled(batches, labels)),
            self.labels_,
            training.weight,
        )
        self._warn_if_unreliable()
        return self

    def merge(self, other):
        """Add what another scorer has learnt by `partial_fit` from other samples.

        Parameters
        ----------
        other : SlicedMIScorer
            Scorer with the same slices: the same `random_state`, an int, and the same
            parameters. It stays as it is.

        Returns
        -------
        self : SlicedMIScorer
            The scorer, as if it had seen the samples of both.

        Raises
        ------
        ValueError
            If one of them was not fitted by :meth:`partial_fit`, or if their slices
            differ.
        """
        for scorer in (self, other):
            if not getattr(scorer, "stream_", None):
                raise InvalidInputError(
                    "merge joins two scorers that were fitted by partial_fit; got one "
                    "that was not."
                )
        alike = self.density == other.density and self.dtype_ == other.dtype_
        if not alike or not np.array_equal(self.directions_, other.directions_):
            raise InvalidInputError(
                "merge needs two scorers with the same slices, density and dtype. Give "
                "both the same parameters and the same int as random_state."
            )
        self._refuse_labels(other.classes_)
        state = merged(self.stream_, other.stream_, self.directions_)
        self.stream_ = state
        self._take_over(state)
        return self

    def score_training_samples(self, X, y):
        """Score samples that the slices were fitted on, each left out; low = at risk.

        What `scores_` would hold, for samples that come again, in any order.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings, all of them among those fitted.

        y : array-like of shape (n_samples,)
            Their labels.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            PSMI in nats.

        Raises
        ------
        ValueError
            If `y` holds a label that was not seen, or if the scorer has maps made from
            labels: then a sample cannot be left out alone; see `scores_`.
        """
        check_is_fitted(self)
        if self.slicing not in ("isotropic", "principal"):
            raise InvalidInputError(
                "score_training_samples leaves out one sample at a time, as isotropic "
                f"and principal slices can; with slicing={self.slicing!r} see scores_."
            )
        X, y = self._validated(X, y)
        return self._score(X, [self._encode(y)], self.leave_one_out)[:, 0]

    def _check_can_stream(self):
        if self.slicing != "isotropic":
            raise InvalidInputError(
                "Only isotropic slices can be fitted to a stream, as the others are "
                f"made from all samples at once; got slicing={self.slicing!r}. Load "
                "the embeddings into memory, fit(np.asarray(X), y), or take "
                'slicing="isotropic".'
            )

    def _look_at_the_first(self, batches):
        for batch in batches:
            self._checked_batch(*triple(batch), reset=True)
            self.dtype_ = "float32" if self.dtype == "auto" else self.dtype
            return
        raise InvalidInputError("batches must hold at least 1 batch; got none.")

    def _checked_batch(self, X, y, sample_weight, reset=False):
        X, y = self._validated(X, y, reset=reset, least=1, sparse=False)
        check_classification_targets(y)
        return X, y, checked_weights(sample_weight, X)

    def _pieces(self, batches):
        def validated(*batch):
            X, y, weight = self._checked_batch(*batch)
            if weight is not None and self.leave_one_out and (weight % 1 != 0).any():
                raise InvalidInputError(
                    "In a stream one copy of a sample is left out, so sample_weight "
                    "must hold whole numbers; or set leave_one_out=False."
                )
            return X, y, weight

        return pieces(batches, validated)

    def _directions(self):
        rng = generator_from(self._fixed_seed(), "slices")
        return SliceDirections(self.n_features_in_, rng, orthogonal=self.orthogonal)

    def _begin_stream(self, classes):
        self._forget()
        self.stream_ = {}
        self.dtype_ = "float32" if self.dtype == "auto" else self.dtype
        wanted = min(_SLICES, self.max_slices)
        wanted = wanted if self.n_slices == "auto" else self.n_slices
        if self.n_features_in_ == 1:  # there is one direction only
            wanted = 1
        self.directions_ = self._directions().first(wanted)
        self.stream_classes_ = None if classes is None else np.unique(classes)
        self.offset_ = 0.0

    def _refuse_labels(self, y):
        allowed, seen = self.stream_classes_, getattr(self, "classes_", y[:0])
        if allowed is not None and not np.isin(y, allowed).all():
            unknown = np.setdiff1d(y, allowed)[:5].tolist()
            raise InvalidInputError(
                f"y holds labels that are not among classes: {unknown}; got "
                f"classes={allowed[:10].tolist()} on the first call."
            )
        if len(seen) and len(y) and (y.dtype.kind in "US") != (seen.dtype.kind in "US"):
            raise InvalidInputError(
                "Labels must be of one kind in all batches; got "
                f"{y[:1].tolist()[0]!r} after {seen[:1].tolist()[0]!r}."
            )

    def _take_over(self, state):
        """Set what scoring needs from the sums so far."""
        self.centre_, self.inverse_scale_, moments = finished(state, self.directions_)
        nodes = nodes_needed(self._settings().densities(moments), moments)
        self.classes_, self.class_count_ = state["labels"], state["count"]
        self.class_prior_ = self.class_count_ / self.class_count_.sum()
        self._keep_slices(None, self.directions_, moments, nodes)

    def _keep_pass(self, training, directions):
        self.classes_, self.class_count_ = training.classes, training.count
        self.class_prior_ = self.class_count_ / self.class_count_.sum()
        self.centre_, self.inverse_scale_ = training.centre, training.inverse_scale
        tally, self.labels_ = training.tally, training.labels
        self.scores_, self.scores_std_ = tally.mean, tally.standard_error
        self.reliability_ = 1.0 if self.n_features_in_ == 1 else tally.reliability
        directions = directions.first(tally.n_slices)
        self._keep_slices(None, directions, training.moments, training.nodes)
