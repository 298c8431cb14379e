"""Fitting on more samples than memory holds, and scoring them."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from smilearn.exceptions import InvalidInputError
from smilearn.scoring._batches import Relabelled, filled, pieces, repeatable
from smilearn.scoring._engine import extend_until
from smilearn.scoring._families import ENOUGH_RELIABILITY
from smilearn.scoring._partial import PartialLearning
from smilearn.scoring._stream_pass import StreamPass
from smilearn.utils._devices import working_on
from smilearn.utils._sklearn_compat import fit_context
from smilearn.utils._threads import from_caller


class StreamLearning(PartialLearning):
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
        self._check_can_stream()
        self._forget()
        repeatable(batches)
        self._look_at_the_first(batches)
        settings, directions = self._settings(), self._directions()
        length = self.n_features_in_ if self.orthogonal else 1
        options = {"block_length": length, "left_out": self.leave_one_out}
        with working_on(settings.device):
            training = StreamPass(lambda: self._pieces(batches), settings, **options)
            if self.far is not None:
                training.set_far_aside(self.far)
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

    def _check_can_stream(self):
        if self.slicing != "isotropic":
            raise InvalidInputError(
                "Only isotropic slices can be fitted to a stream, as the others are "
                f"made from all samples at once; got slicing={self.slicing!r}. Load "
                "the embeddings into memory, fit(np.asarray(X), y), or take "
                'slicing="isotropic".'
            )

    def _look_at_the_first(self, batches):
        for batch in filled(batches):
            self._checked_batch(*batch, reset=True)
            self.dtype_ = "float32" if self.dtype == "auto" else self.dtype
            return
        raise InvalidInputError(
            "batches must hold at least 1 batch with samples; got none."
        )

    def _pieces(self, batches):
        def validated(*batch):
            X, y, weight = self._checked_batch(*batch)
            if weight is not None and self.leave_one_out and (weight % 1 != 0).any():
                raise InvalidInputError(
                    "In a stream one copy of a sample is left out, so sample_weight "
                    "must hold whole numbers; or set leave_one_out=False."
                )
            return X, y, weight

        return pieces(from_caller(batches), validated)

    def _keep_pass(self, training, directions):
        self.classes_, self.class_count_ = training.classes, training.count
        self.class_prior_ = self.class_count_ / self.class_count_.sum()
        self.centre_, self.inverse_scale_ = training.centre, training.inverse_scale
        tally, self.labels_ = training.tally, training.labels
        self.far_ = training.far
        self.feature_extent_ = training.extent
        self.scores_ = np.where(self.far_, np.minimum(tally.mean, 0), tally.mean)
        self.scores_std_ = tally.standard_error
        self.reliability_ = 1.0 if self.n_features_in_ == 1 else tally.reliability
        directions = directions.first(tally.n_slices)
        self._keep_slices(None, directions, training.moments, training.nodes)
