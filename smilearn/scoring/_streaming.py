"""Fitting on more samples than memory holds, once or again and again."""

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from smilearn.exceptions import InvalidInputError
from smilearn.scoring._batches import Relabelled, filled, one_kind, pieces, repeatable
from smilearn.scoring._directions import SliceDirections
from smilearn.scoring._engine import extend_as_asked
from smilearn.scoring._stream import StreamPass, extent_of, finished, merged, with_batch
from smilearn.utils._random import generator_from
from smilearn.utils._sklearn_compat import fit_context
from smilearn.utils._validation import is_tensor
from smilearn.utils._weights import checked_weights

# what some family scores with
_LEARNT = {"coef_", "directions_", "label_scorers_", "members_"}
_SLICES = 1024  # for "auto": no ranking tells when to stop


def _keeps_up(scorer):
    """Whether a scorer can learn from a stream; raises what is in the way."""
    if scorer.slicing != "isotropic":
        raise AttributeError(
            "partial_fit and merge are for isotropic slices, as the others are made "
            f"from all samples at once; got slicing={scorer.slicing!r}. "
            'Take slicing="isotropic".'
        )
    if scorer.contamination is not None:
        raise AttributeError(
            "partial_fit and merge keep no scores to draw a line by, so contamination "
            f"must be None; got {scorer.contamination!r}."
        )
    return True


class StreamLearning:
    """Methods that never see all samples at once; expects those of a scorer."""

    @fit_context(prefer_skip_nested_validation=True)
    def fit_batches(self, batches):
        """Fit the slices to samples that do not fit in memory, and score them.

        Goes through the batches once for the labels, twice or more for far samples (not
        with ``far=None``), and twice for each doubling of the slices: with a number for
        `n_slices`, five times in all. Gives what :meth:`fit` gives, up to rounding
        (1e-5 nats). Memory beyond one batch of about 64 MB does not grow but for a few
        numbers a sample. :meth:`fit` on a large `numpy.memmap` comes here by itself.

        Parameters
        ----------
        batches : iterable of (X, y) or (X, y, sample_weight)
            Batches of any size, the same ones each time it is gone through; see
            :class:`~smilearn.scoring.RecordBatches` for Parquet files and Arrow.

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
        if self.slicing != "isotropic":
            raise InvalidInputError(
                "Only isotropic slices can be fitted to a stream, as the others are "
                f"made from all samples at once; got slicing={self.slicing!r}. Load "
                "the embeddings into memory, fit(np.asarray(X), y), or take "
                'slicing="isotropic".'
            )
        self._begin_stream()
        first = next(filled(repeatable(batches)), None)
        if first is None:
            raise InvalidInputError(
                "batches must hold at least 1 batch with samples; got none."
            )
        self._checked_batch(*first, reset=True)
        settings, directions = self._settings(), self._directions(self.n_features_in_)
        length = self.n_features_in_ if self.orthogonal else 1
        options = {"block_length": length, "left_out": self.leave_one_out}
        training = StreamPass(lambda: self._pieces(batches), settings, **options)
        if self.far is not None:
            training.set_far_aside(self.far)
        extend_as_asked(training, directions, self.n_slices, self.max_slices)
        self._keep_pass(training, directions)
        self._set_offset(
            lambda null, labels: null.fit_batches(Relabelled(batches, labels)),
            self.labels_,
            training.weight,
        )
        self._warn_if_unreliable()
        return self

    def score_training_samples(self, X, y, sample_weight=None):
        """Score samples that the slices were fitted on, each left out; low = at risk.

        What `scores_` would hold, for samples that come again, in any order. Samples
        that :meth:`fit` took for far ones (`far_`) were not learnt from: give them
        weight 0. In `scores_` they are at most 0, here they are not bounded.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings, those of weight above 0 all among those fitted.

        y : array-like of shape (n_samples,)
            Their labels.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each when it was fitted. Those of weight 0 were not fitted, and
            are scored as new ones; of the others one copy is left out.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            PSMI in nats.

        Raises
        ------
        ValueError
            If `y` holds a label that was not seen; or if a sample cannot be left out
            alone, as the scorer has maps made from labels, or weights were not whole
            numbers (unless ``leave_one_out=False``); see `scores_`.
        """
        check_is_fitted(self)
        if self.slicing not in ("isotropic", "principal") or self._of_indicators:
            raise InvalidInputError(
                "score_training_samples leaves out one sample at a time, as isotropic "
                f"and principal slices can; with slicing={self.slicing!r}, or several "
                "labels a sample, see scores_."
            )
        X, y = self._validated(X, y)
        weight, codes = self._batch_weights(sample_weight, X), self._encode(y)
        whole = weight is None or (weight % 1 == 0).all()
        if self.leave_one_out and not (whole and self._copies_were_left_out()):
            raise InvalidInputError(
                "score_training_samples leaves out one copy of a sample, so the slices "
                "must have been fitted with whole numbers as sample_weight. After fit "
                "see scores_, for which samples were left out in folds; or set "
                "leave_one_out=False."
            )
        if weight is None or weight.all():
            return self._score(X, [codes], self.leave_one_out)[:, 0]
        scores, fitted = np.empty(len(y)), weight > 0
        for rows, left_out in ((fitted, self.leave_one_out), (~fitted, False)):
            if rows.any():
                scores[rows] = self._score(X[rows], [codes[rows]], left_out)[:, 0]
        return scores

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

    def _keep_pass(self, training, directions):
        tally, self.labels_, self.far_ = training.tally, training.labels, training.far
        self._keep_sums(training.state, training.centre, training.inverse_scale)
        self.classes_ = training.classes
        self.scores_ = np.where(self.far_, np.minimum(tally.mean, 0), tally.mean)
        self.scores_std_ = tally.standard_error
        self.reliability_ = 1.0 if self.n_features_in_ == 1 else tally.reliability
        directions = directions.first(tally.n_slices)
        self._keep_slices(None, directions, training.moments, training.nodes)

    @available_if(_keeps_up)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Fit the slices to one more batch of samples.

        Batches may be of any size and come in any order: up to rounding (1e-5 nats;
        2e-4 with ``density="gaussian"``), what is learnt is what :meth:`fit` would
        learn from all of them at once with as many slices: ``n_slices="auto"`` takes
        1,024, or `max_slices`. As no sample is kept, there are no `scores_`: when all
        batches have been fitted, go through them again with
        :meth:`score_training_samples`. Nor can far samples be told (`far`): they are
        learnt from. After :meth:`fit` the samples are added to those fitted (up to 1e-4
        nats, as its tables are a little wider). What a call that raises had to add is
        not learnt, and what was learnt before stays.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.

        y : array-like of shape (n_samples,)
            Class labels.

        classes : array-like of shape (n_classes,), default=None
            On the first call: all labels that may come; others are an error. None
            takes labels as they come. Later, and after :meth:`fit`, it may be left out
            or be the same again (the labels seen, where none were announced).
            `classes_` are those seen so far.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample, as in :meth:`fit`. Those of a batch may all be 0; all
            so far must add up to one a class when samples are scored.

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
            If labels are not among `classes`, or not of the kind of those before; if
            `classes` are not those of the first call; or if :meth:`fit` was called with
            other slices than isotropic ones.
        """
        before = self._sums_so_far()
        X, y, weight = self._checked_batch(X, y, sample_weight, reset=before is None)
        allowed = self._allowed(y, classes, before)
        if before is None:
            self._begin_stream()
            directions = self._stream_directions(self.n_features_in_)
        else:
            directions = self.directions_
        state = with_batch(before, X, y, weight, directions, self._settings())
        if state:
            self._take_over(state, directions)
        self.stream_, self.stream_classes_ = state or {}, allowed
        return self

    def __sklearn_is_fitted__(self):
        """Whether samples can be scored; not so after a call that failed."""
        return not _LEARNT.isdisjoint(vars(self))

    @available_if(_keeps_up)
    def merge(self, other):
        """Add what another scorer has learnt from other samples.

        Both may have been fitted by `partial_fit`, `fit` or `fit_batches` (after these
        two up to 1e-4 nats), or not at all: then there is nothing to add. As after
        `partial_fit`, there are no `scores_`.

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
            If their slices or the names of their features differ, if they are not
            isotropic, or if the labels of `other` may not come here (see `classes` of
            :meth:`partial_fit`) or are of another kind.
        """
        if not isinstance(other, StreamLearning):
            raise InvalidInputError(
                f"merge takes another SlicedMIScorer; got a {type(other).__name__}."
            )
        own, others = self._sums_so_far(), other._sums_so_far()
        if others is None:
            return self
        directions = self._directions_as_in(other, own)
        allowed = self._allowed(others["labels"], None, own)
        if own is None:
            self._begin_stream()
            for name in ("n_features_in_", "feature_names_in_") & vars(other).keys():
                setattr(self, name, getattr(other, name))
        state = others if own is None else merged(own, others, directions)
        self._take_over(state, directions)
        self.stream_, self.stream_classes_ = dict(state), allowed
        return self

    def _directions_as_in(self, other, own):
        """Own slices; refuses those of another scorer that differ."""
        directions = getattr(self, "directions_", None)
        if own is None:
            directions = self._stream_directions(other.n_features_in_)
        alike = self.density == other.density and self.dtype == other.dtype
        if not alike or not np.array_equal(directions, other.directions_):
            raise InvalidInputError(
                "merge needs two scorers with the same slices, density and dtype. Give "
                "both the same parameters and the same int as random_state."
            )
        names = [getattr(s, "feature_names_in_", None) for s in (self, other)]
        both_named = own is not None and all(name is not None for name in names)
        if both_named and not np.array_equal(*names):
            here, there = (list(columns[:5]) for columns in names)
            raise InvalidInputError(
                "merge needs two scorers fitted to the same features in the same "
                f"order; got {here} here and {there} in the other."
            )
        return directions

    def _checked_batch(self, X, y, sample_weight, reset=False):
        X, y = self._validated(X, y, reset=reset, least=1, sparse=False)
        check_classification_targets(y)
        return X, y, self._batch_weights(sample_weight, X)

    def _batch_weights(self, sample_weight, X):
        """Check weights, which may all be 0 as those of a batch."""
        if sample_weight is not None and not is_tensor(sample_weight):
            values = np.asarray(sample_weight)
            if values.dtype.kind in "fiub" and values.size and not values.any():
                checked_weights(values + 1, X)  # scikit-learn refuses zeros alone
                return np.zeros(X.shape[0])
        return checked_weights(sample_weight, X)

    def _directions(self, n_features):
        rng = generator_from(self._fixed_seed(), "slices")
        return SliceDirections(n_features, rng, orthogonal=self.orthogonal)

    def _stream_directions(self, n_features):
        wanted = min(_SLICES, self.max_slices)
        wanted = wanted if self.n_slices == "auto" else self.n_slices
        if n_features == 1:  # there is one direction only
            wanted = 1
        return self._directions(n_features).first(wanted)

    def _begin_stream(self):
        """Drop what calls that failed may have left."""
        self._forget()
        self.dtype_ = "float32" if self.dtype == "auto" else self.dtype

    def _sums_so_far(self):
        """Sums of what was learnt by any method; None where there is nothing."""
        if hasattr(self, "stream_"):
            return self.stream_ or None
        if not self.__sklearn_is_fitted__():
            return None
        if getattr(self, "components_", 0) is not None:  # or there are no slices
            raise InvalidInputError(
                "Samples can be added to isotropic slices only, but fit was called "
                "with another slicing, or with several labels a sample. Fit anew, or "
                "begin with a new SlicedMIScorer."
            )
        total, moments = self.class_count_.sum(), self._slices()[1]
        spread, largest = self.feature_extent_.astype(float)
        scale = 1 / self.inverse_scale_.max() if self.inverse_scale_.any() else 0.0
        return {
            "labels": self.classes_,
            "count": self.class_count_.astype(float),
            "whole": np.array(self._copies_were_left_out()),
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

    def _copies_were_left_out(self):
        """Whether `scores_` are, or would be, of samples left out one at a time."""
        if hasattr(self, "stream_"):
            return bool(self.stream_["whole"])
        whole = (self.class_count_ % 1 == 0).all()
        return bool(whole and getattr(self, "whole_weights_", True))

    def _allowed(self, y, classes, before):
        """Labels that may come, or None; refuses what may not."""
        announced = getattr(self, "stream_classes_", None)
        seen = y[:0] if before is None else before["labels"]
        if classes is not None:
            classes = np.unique(classes)
            expected = seen if announced is None else announced
            begun = announced is not None or before is not None
            if begun and not np.array_equal(classes, expected):
                raise InvalidInputError(
                    f"classes={classes[:10].tolist()} are not those of before, "
                    f"{expected[:10].tolist()}. Leave classes out after the first "
                    "call, or give the same."
                )
            announced = classes
        one_kind(y, seen)
        if announced is not None:
            one_kind(y, announced)
            unknown = np.setdiff1d(y, announced)
            if len(unknown):
                raise InvalidInputError(
                    f"y holds labels that are not among classes: "
                    f"{unknown[:5].tolist()}; got classes={announced[:10].tolist()} on "
                    "the first call."
                )
        return announced

    def _take_over(self, state, directions):
        """Set what scoring needs from the sums so far."""
        centre, inverse_scale, moments = finished(state, directions)
        nodes = self._settings().nodes(moments)
        self._forget("dtype_")
        self.offset_ = 0.0
        self._keep_sums(state, centre, inverse_scale)
        self._keep_slices(None, directions, moments, nodes)

    def _keep_sums(self, state, centre, inverse_scale):
        self.centre_, self.inverse_scale_ = centre, inverse_scale
        self.feature_extent_ = extent_of(state)
        self.classes_, self.class_count_ = state["labels"], state["count"]
        self.class_prior_ = self.class_count_ / self.class_count_.sum()
