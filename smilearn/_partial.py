"""Fitting on one batch after another, none of which is kept (floor 7)."""

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets

from smilearn._compat import fit_context
from smilearn._devices import working_on
from smilearn._directions import SliceDirections, generator_from
from smilearn._stream import finished, merged
from smilearn._stream_pass import with_batch
from smilearn._tables import nodes_needed
from smilearn._weights import checked_weights
from smilearn.exceptions import InvalidInputError

_OF_TRAINING_SAMPLES = {
    "false_flag_rate_",
    "far_",
    "labels_",
    "reliability_",
    "scores_",
    "scores_std_",
}
_SLICES = 1024  # for "auto": no ranking tells when to stop


def _keeps_up(scorer):
    """Whether a scorer can learn from a stream; raises what is in the way."""
    if scorer.slicing != "isotropic":
        raise AttributeError(
            "partial_fit is for isotropic slices, as the others are made from all "
            f"samples at once; got slicing={scorer.slicing!r}."
        )
    if scorer.contamination is not None:
        raise AttributeError(
            "partial_fit keeps no scores to draw a line by, so contamination must "
            f"be None; got {scorer.contamination!r}."
        )
    return True


class PartialLearning:
    """Methods that see a batch once; expects those of a scorer."""

    @available_if(_keeps_up)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Fit the slices to one more batch of samples.

        Batches may be of any size and come in any order: up to rounding (1e-5 nats),
        what is learnt is what :meth:`fit` would learn from all of them at once. As no
        sample is kept, there are no `scores_`: when all batches have been fitted,
        go through them again with :meth:`score_training_samples`. Nor can far samples
        be told (`far`): they are learnt from. After :meth:`fit` the samples are added
        to those fitted (up to 1e-4 nats, as its tables are a little wider).

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
        AttributeError
            If `slicing` is not "isotropic", or `contamination` is not None: these need
            all samples at once.

        ValueError
            If labels are not among `classes`, or not of the kind of those before.
        """
        first = not hasattr(self, "classes_") and not hasattr(self, "stream_")
        X, y, weight = self._checked_batch(X, y, sample_weight, reset=first)
        if first:
            self._begin_stream(classes)
        elif not hasattr(self, "stream_"):
            self._go_on_from_fit()
        self._refuse_labels(y)
        settings = self._settings()
        with working_on(settings.device):
            state = self.stream_ or None
            state = with_batch(state, X, y, weight, self.directions_, settings)
        self.stream_ = state or {}
        if state:
            self._take_over(state)
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

    def _checked_batch(self, X, y, sample_weight, reset=False):
        X, y = self._validated(X, y, reset=reset, least=1, sparse=False)
        check_classification_targets(y)
        return X, y, checked_weights(sample_weight, X)

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

    def _go_on_from_fit(self):
        """Turn what `fit` has learnt into sums, and drop what holds for its samples."""
        total, moments = self.class_count_.sum(), self._slices()[1]
        spread, largest = self.feature_extent_.astype(float)
        scale = 1 / self.inverse_scale_.max() if self.inverse_scale_.any() else 0.0
        state = {
            "labels": self.classes_,
            "count": self.class_count_.astype(float),
            "unit": np.array(scale),
            "eps": np.array(np.finfo(self.feature_extent_.dtype).eps),
            "origin": self.centre_,
            "feature_mean": np.zeros_like(self.centre_),
            "feature_square": total * (spread / (scale or 1)) ** 2,
            "largest": largest,
            "mean": moments.mean,
            "square": moments.variance * moments.count,
            "low": moments.mean - moments.reach,
            "high": moments.mean + moments.reach,
        }
        for name in _OF_TRAINING_SAMPLES & vars(self).keys():
            delattr(self, name)
        self.stream_, self.stream_classes_ = state, None

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
