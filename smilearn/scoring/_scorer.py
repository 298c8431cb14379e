"""Surprise of labelled embeddings, and their pointwise sliced mutual information."""

import re
from contextlib import contextmanager
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from smilearn.exceptions import InvalidInputError
from smilearn.scoring import _batches, _checks, _multilabel
from smilearn.scoring._base import RiskScorer
from smilearn.scoring._fitting import Fitting, with_batch
from smilearn.scoring._model import fit_model
from smilearn.scoring._points import MOST_FEATURES
from smilearn.scoring._recipe import recipe_of, stream_recipe
from smilearn.scoring._tally import warn_unreliable
from smilearn.scoring._threshold import NEUTRAL, set_threshold
from smilearn.utils._callbacks import FitTasks
from smilearn.utils._devices import resolve_device, working_on
from smilearn.utils._sklearn_compat import Interval, StrOptions, fit_context
from smilearn.utils._validation import check_class_labels
from smilearn.utils._weights import checked_weights

_POSITIVE = Interval(Integral, 1, None, closed="left")
_SHARE = Interval(Real, 0, 0.5, closed="right")
_AUTO = StrOptions({"auto"})


def _keeps_up(scorer):
    """Whether a scorer can learn from a stream; raises what is in the way."""
    if scorer.contamination is not None:
        raise AttributeError(
            "partial_fit and merge keep no scores to set a threshold by, so "
            f"contamination must be None; got {scorer.contamination!r}."
        )
    return True


class SlicedMIScorer(FitTasks, RiskScorer, BaseEstimator):
    """Score how well a sample's embedding speaks for its own label; low = at risk.

    The score is the log probability of the sample's label given its embedding, by all
    the *other* samples. A label that surprises can only be learnt by heart: the lower
    the score, the likelier a fine-tuned model memorizes the sample. Two kinds of
    evidence are pooled: the densities of the classes along random directions
    (*slices*), whose pointwise mutual information with the label is the PSMI of [1]_,
    and linear discriminant analysis.

    Parameters
    ----------
    n_slices : int or "auto", default="auto"
        Number of random directions. "auto" doubles it from 256 until the ranking by
        PSMI settles: until `reliability_` reaches 0.95, or at `max_slices`.

    pooled : bool, default=True
        Whether the score is the pooled log probability. False: the PSMI alone, the
        score of the paper [1]_.

    density : {"student", "gaussian"}, default="student"
        Density of a class along a slice. "gaussian" is the plug-in normal of the paper.
        "student" is the posterior predictive of the same model, with little prior
        weight on the pooled variance: the same for large classes, sober for small ones.

    leave_one_out : bool, default=True
        Whether a training sample is left out of all that is known of its class when it
        is scored itself, in closed form. New samples are scored by all that is known.

    outliers : float or None, default=5.0
        Training samples this many times as far from the middle of their class as usual
        (the median distance in the class, or in the typical class where that is larger)
        are not fitted by :meth:`fit`, as they would become the safest of their class
        and hide the others. They are scored as new ones, and no better than by the
        share of their class. None fits all.

    orthogonal : bool, default=True
        Whether directions come in orthonormal blocks, each block a random rotation: the
        same mean with 2 to 5 times less variance once there are as many slices as
        features. False draws each direction independently.

    contamination : float in (0, 0.5], "permutation" or None, default=None
        Threshold of :meth:`predict`: None flags labels of a probability below one half
        (with ``pooled=False``: a PSMI below 0, the rule of the paper); a float flags
        that share of the training samples; "permutation" flags samples that score below
        all but a share `alpha` of samples whose labels were shuffled.

    alpha : float, default=0.05
        For "permutation": the share flagged where labels have nothing to do with `X`,
        up to the chance of a few shuffles; see `false_flag_rate_`.

    max_slices : int, default=4096
        Most slices that ``n_slices="auto"`` may use.

    device : str, default="auto"
        Torch device of products and look-ups; "auto" takes cuda, mps or cpu. Where
        its memory runs out, slices are worked on in smaller blocks.

    dtype : {"auto", "float32", "float64"}, default="auto"
        Precision of products and tables; sums over samples are float64 in any case.
        "auto": float64 where `X` is small (a million numbers).

    block_size : int or "auto", default="auto"
        Slices whose projections are held at once, beside a copy of X; "auto": 30 to
        45 MB.

    random_state : int, RandomState instance, Generator or None, default=None
        Seed of the directions. Pass an int for the same scores at each call.

    verbose : int or bool, default=0
        Whether to show a progress bar over the slices.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Log probability of each training sample's label by the other samples, in nats,
        at most 0; low = at risk. With ``pooled=False``: `psmi_`. A sample without
        others of its class has the log of its share.

    probability_ : ndarray of shape (n_samples,)
        The same as a probability, in [0, 1]. Not with ``pooled=False``.

    likely_labels_ : ndarray of shape (n_samples,)
        The most probable label of each training sample by the others. Not with
        ``pooled=False``.

    psmi_ : ndarray of shape (n_samples,)
        Pointwise sliced mutual information of each training sample and its label, left
        out, in nats; low = at risk, 0 = no information.

    scores_std_ : ndarray of shape (n_samples,)
        Monte-Carlo standard error of `psmi_`, in nats, as for independent slices; with
        orthogonal ones the true error is smaller.

    reliability_ : float
        Expected rank correlation of `psmi_` with that of as many other slices, from two
        halves of the slices, in [0, 1]; higher is better.

    offset_, false_flag_rate_ : float
        Samples that score below the offset, in nats, are flagged by :meth:`predict`; of
        "permutation", the share that it flags after a shuffle of its own.

    outliers_ : ndarray of shape (n_samples,)
        Whether each training sample was too far from its class to be fitted.

    labels_ : ndarray of shape (n_samples,)
        Labels of the training samples.

    label_scorers_, label_scores_ : list, ndarray of shape (n_samples, n_labels)
        Where samples have several labels: the scorer of each label (None for one that
        all samples or none have), and what each sample scores by it.

    classes_, class_count_, class_prior_ : ndarray of shape (n_classes,)
        Labels seen in :meth:`fit`, sorted; fitted samples of each, or their weight; and
        share of each.

    n_slices_, directions_ : int, ndarray of shape (n_slices, n_features)
        Number of slices, and the slices, unit vectors, one a row.

    pool_ : dict
        `weights` of the slices, of LDA and of the log prior, which multiply mean log
        densities in nats; `shrinkage` of LDA; `gain` of the slices, in mean log
        probability left out, by which they enter the pool or not; and `neglected`, the
        mean probability of labels whose slices are not read (see Notes).

    sums_ : Sums
        Sums over all samples fitted, and up to 4,096 of these on which the pool is
        fitted: what :meth:`partial_fit` and :meth:`merge` add to.

    n_features_in_, feature_names_in_ : int, ndarray of shape (n_features,)
        Features seen in :meth:`fit`, and their names, where all are strings.

    Notes
    -----
    ``log p(label | x)`` is the log softmax of ``w1 * slices + w2 * LDA + b * log
    prior``, each label's own sample left out in closed form. The three weights and the
    shrinkage of LDA maximize the mean log probability of the labels, on at most 4,096
    samples (fewer with many classes); the slices enter only where they save 3 % of the
    mean surprise. Where they do and there are more than 9 classes, slices are
    read for the own label and the 8 likeliest ones by LDA and prior; the others take
    the mean of these. The pooled variances and the trace that LDA is shrunk to are not
    left out: they move by a share of 1 / n. With more than 1,536 features, slices and
    LDA lie in a random subspace of so many dimensions.

    On real fine-tunes with LiRA ground truth, LDA carries the pool; the slices entered
    at one moment of 16, after memorization had set in (``docs/detection.md``, ``python
    benchmarks/detection.py``).

    References
    ----------
    .. [1] J. Dentan, D. Buscaldi, A. Shabou, S. Vanier, "Predicting memorization
       within Large Language Models fine-tuned for classification",
       arXiv:2409.18858, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from smilearn import SlicedMIScorer
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["ham", "spam"], 100)
    >>> X = rng.normal(size=(200, 8)) + 2.0 * (y == "spam")[:, None]
    >>> y[0] = "spam"  # a wrong label
    >>> scorer = SlicedMIScorer(n_slices=64, random_state=0).fit(X, y)
    >>> int(scorer.scores_.argmin())
    0
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_slices": [_POSITIVE, _AUTO],
        "pooled": ["boolean"],
        "density": [StrOptions({"student", "gaussian"})],
        "leave_one_out": ["boolean"],
        "outliers": [Interval(Real, 1, None, closed="left"), None],
        "orthogonal": ["boolean"],
        "contamination": [_SHARE, StrOptions({"permutation"}), None],
        "alpha": [_SHARE],
        "max_slices": [_POSITIVE],
        "device": [str],
        "dtype": [StrOptions({"auto", "float32", "float64"})],
        "block_size": [_POSITIVE, _AUTO],
        "random_state": ["random_state", np.random.Generator],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_slices="auto",
        *,
        pooled=True,
        density="student",
        leave_one_out=True,
        outliers=5.0,
        orthogonal=True,
        contamination=None,
        alpha=0.05,
        max_slices=4096,
        device="auto",
        dtype="auto",
        block_size="auto",
        random_state=None,
        verbose=0,
    ):
        self.n_slices = n_slices
        self.pooled = pooled
        self.density = density
        self.leave_one_out = leave_one_out
        self.outliers = outliers
        self.orthogonal = orthogonal
        self.contamination = contamination
        self.alpha = alpha
        self.max_slices = max_slices
        self.device = device
        self.dtype = dtype
        self.block_size = block_size
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        return tags

    def __sklearn_is_fitted__(self):
        return not {"sums_", "label_scorers_"}.isdisjoint(vars(self))

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit to labelled embeddings and score these samples.

        Parameters
        ----------
        X : array-like, sparse matrix or Tensor of shape (n_samples, n_features)
            Embeddings, 2 samples or more. A torch tensor stays on its device; a large
            `numpy.memmap` or sparse matrix is read a batch at a time.

        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels, 2 classes or more; or, for samples with several labels, a
            matrix of 0 and 1: each label is scored as present or absent, and a sample
            scores the mean over the labels (see `label_scores_`).

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample, 0 or more: a sample of weight 2 counts as two equal
            ones, of which one is left out when it is scored. Where weights are not
            whole numbers, the whole sample is left out. Samples of weight 0 are not
            fitted, but are scored.

        Returns
        -------
        self : SlicedMIScorer
            The fitted scorer.

        Raises
        ------
        ValueError
            If `X` holds NaN or infinity, if `y` holds one class only or is not made of
            class labels, or if weights are negative or sum to less than 1 a class.

        Warns
        -----
        ReliabilityWarning
            If ``n_slices="auto"`` stops at `max_slices` before the ranking settles.
        """
        if _multilabel.holds_indicators(y):
            return self._fit_labels(X, y, sample_weight)
        if isinstance(X, np.memmap) and X.ndim == 2 and X.size > _batches.ENOUGH:
            return self.fit_batches(_batches.ArrayBatches(X, y, sample_weight))
        X, y = _checks.validated(self, X, y, reset=True)
        check_class_labels(y)
        weight = checked_weights(sample_weight, X)
        n_samples, n_features = X.shape
        at_hand = (
            not issparse(X)
            or n_samples * min(n_features, MOST_FEATURES) < _batches.ENOUGH
        )
        batches = [(X, y, weight)] if at_hand else _batches.ArrayBatches(X, y, weight)
        with self._fit_task(X, y, sample_weight=weight):
            self._fit(lambda: iter(batches), n_samples * n_features, at_hand=at_hand)
            set_threshold(self, lambda null, y: null.fit(X, y, weight), y, weight)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_batches(self, batches):
        """Fit to samples that do not fit in memory, and score them.

        Goes through the batches for the labels, twice or more for outliers (not with
        ``outliers=None``), twice for each doubling of the slices and once for the
        probabilities. Gives what :meth:`fit` gives, up to rounding (1e-4 nats). Memory
        beyond one batch of about 64 MB does not grow but for a few numbers a sample.

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
            If `batches` can be gone through only once or changes; and whatever
            :meth:`fit` raises.
        """
        first = next(_batches.filled(_batches.repeatable(batches)), None)
        if first is None:
            raise InvalidInputError(
                "batches must hold at least 1 batch with samples; got none."
            )
        self._checked_batch(*first, reset=True)
        weight = self._fit(
            lambda: _batches.pieces(batches, self._checked_batch), np.inf
        )

        def refit(null, y):
            return null.fit_batches(_batches.Relabelled(batches, y))

        set_threshold(self, refit, self.labels_, weight)
        return self

    @available_if(_keeps_up)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Fit to one more batch of samples.

        Batches may be of any size and come in any order: up to rounding (1e-4 nats),
        what is fitted is what :meth:`fit` would fit to all of them at once with as many
        slices: ``n_slices="auto"`` takes 1,024, or `max_slices`. As no more than 4,096
        samples are kept, there are no `scores_`: go through the batches again with
        :meth:`score_training_samples`. Nor can outliers be told: they are fitted. After
        :meth:`fit` the samples are added to those fitted. What a call that raises had
        to add is not fitted. Parameters set after the first call are not read.

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
            Weight of each sample, as in :meth:`fit`. Those of a batch may all be 0.

        Returns
        -------
        self : SlicedMIScorer
            The scorer, fitted to all batches so far.

        Raises
        ------
        AttributeError
            If `contamination` is not None: it needs all samples at once.

        ValueError
            If labels are not among `classes`, or not of the kind of those before; if
            `classes` are not those of the first call; or after a :meth:`fit` to several
            labels a sample.
        """
        _multilabel.refuse_labels(self, "partial_fit")
        before = getattr(self, "sums_", None)
        X, y, weight = self._checked_batch(X, y, sample_weight, reset=before is None)
        seen = None if before is None else before.labels
        announced = getattr(self, "stream_classes_", None)
        announced = _checks.allowed_labels(y, classes, seen, announced)
        recipe = stream_recipe(self, X.shape[1]) if before is None else self.recipe_
        settings = self._settings(recipe)
        self._take_over(with_batch(before, X, y, weight, recipe, settings), recipe)
        self.stream_classes_ = announced
        return self

    @available_if(_keeps_up)
    def merge(self, other):
        """Add what another scorer has fitted to other samples.

        Both may have been fitted by `partial_fit`, `fit` or `fit_batches`, or not at
        all. As after `partial_fit`, there are no `scores_`.

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
            If their slices or the names of their features differ, or if the labels of
            `other` may not come here (see `classes` of :meth:`partial_fit`) or are of
            another kind.
        """
        if not isinstance(other, SlicedMIScorer):
            raise InvalidInputError(
                f"merge takes another SlicedMIScorer; got a {type(other).__name__}."
            )
        for each in (self, other):
            _multilabel.refuse_labels(each, "merge")
        before, others = (getattr(each, "sums_", None) for each in (self, other))
        if others is None:
            return self
        announced = getattr(self, "stream_classes_", None)
        seen = None if before is None else before.labels
        _checks.allowed_labels(others.labels, None, seen, announced)
        n_features = other.n_features_in_
        recipe = stream_recipe(self, n_features) if before is None else self.recipe_
        _checks.refuse_to_merge(self, other, recipe)
        sums = others if before is None else before.merged(others, recipe.directions)
        for name in {"n_features_in_", "feature_names_in_"} & vars(other).keys():
            setattr(self, name, getattr(other, name))
        self._take_over(sums, recipe)
        self.stream_classes_ = announced
        return self

    def score_samples(self, X, y=None):
        """Score new samples; low = at risk.

        Training samples scored here are *not* left out: their own scores are in
        `scores_`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.

        y : array-like of shape (n_samples,), default=None
            Label of each sample, among `classes_`. None scores each sample under the
            label that fits it best.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Log probability of the label, in nats; with ``pooled=False``: PSMI.

        Raises
        ------
        ValueError
            If `y` holds a label that was not seen in :meth:`fit`.
        """
        check_is_fitted(self)
        if hasattr(self, "label_scorers_"):
            return _multilabel.label_scores(self, X, y)
        X, codes = self._with_codes(X, y)
        with self._at_work() as (model, settings):
            return model.scores(X, codes, settings)

    def score_training_samples(self, X, y, sample_weight=None):
        """Score samples that were fitted, each left out; low = at risk.

        What `scores_` would hold, for samples that come again, in any order. Outliers
        (`outliers_`) were not fitted: give them weight 0.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings, those of weight above 0 all among those fitted.

        y : array-like of shape (n_samples,)
            Their labels.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each when it was fitted. Those of weight 0 were not fitted, and
            are scored as new ones.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            As `scores_`, in nats.

        Raises
        ------
        ValueError
            If `y` holds a label that was not seen, or samples had several labels.
        """
        check_is_fitted(self)
        _multilabel.refuse_labels(self, "score_training_samples")
        X, codes = self._with_codes(X, y)
        weight = _checks.batch_weights(sample_weight, X)
        weight = np.ones(X.shape[0]) if weight is None else weight
        with self._at_work() as (model, settings):
            return model.training_scores(X, codes, weight, settings)

    def predict_proba(self, X):
        """Probability of each label.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.

        Returns
        -------
        probability : ndarray of shape (n_samples, n_classes)
            One column for each of `classes_`; rows sum to 1. Where samples have several
            labels: the probability that each is present. With ``pooled=False`` the mean
            log density over the slices stands for that of the sample.
        """
        check_is_fitted(self)
        if hasattr(self, "label_scorers_"):
            return _multilabel.label_probabilities(self, X)
        X = _checks.validated(self, X)
        with self._at_work() as (model, settings):
            return np.exp(model.probabilities(X, settings))

    def score(self, X, y, sample_weight=None):
        """Mean log probability of the labels, in nats; higher is better.

        A proper score: what a grid search over slice counts, densities, layers or
        embedders maximizes. Of the training samples it is the mean of `scores_`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings of samples that were not fitted.

        y : array-like of shape (n_samples,)
            Their labels, among `classes_`.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample; None weighs all alike.

        Returns
        -------
        score : float
            At most 0.

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
        if hasattr(self, "label_scorers_"):
            return _multilabel.label_score(self, X, y, sample_weight)
        X, y = _checks.validated(self, X, y)
        weight = checked_weights(sample_weight, X)
        X, codes, weight = _checks.of_known_labels(self.classes_, X, y, weight)
        with self._at_work() as (model, settings):
            own = model.probabilities(X, settings)[np.arange(len(codes)), codes]
        return float(np.average(own, weights=weight))

    def staged_score_samples(self, X, y=None, at=None):
        """Score samples with the first slices, then with more; low = at risk.

        One pass over the slices, lazily: each array is made when it is asked for. With
        ``pooled=False``, after k slices the scores are those of a scorer that was
        fitted with ``n_slices=k`` and the same seed, up to rounding; else the weights
        of the pool stay those of all slices.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings. In a pipeline: transformed by the steps before.

        y : array-like of shape (n_samples,), default=None
            Label of each sample, among `classes_`. None scores each sample under the
            label that fits it best with the slices so far.

        at : array-like of int, default=None
            After how many slices to score: ascending, from 1 to `n_slices_`. None is
            after each one.

        Returns
        -------
        stages : generator of ndarray of shape (n_samples,)
            Scores in nats, one array for each count of `at`. After all slices these are
            the scores of :meth:`score_samples`, up to rounding.

        Raises
        ------
        ValueError
            At once, if `at` is not as stated, `y` holds a label that was not seen in
            :meth:`fit`, or samples had several labels.
        """
        check_is_fitted(self)
        _multilabel.refuse_labels(self, "staged_score_samples")
        counts = _checks.slice_counts(at, self.n_slices_, "at")
        X, codes = self._with_codes(X, y)
        return self._staged(X, codes, counts)

    def _staged(self, X, codes, counts):
        staged = None
        for _ in counts:
            with self._at_work() as (model, settings):  # not between stages
                staged = staged or model.staged(X, codes, settings, counts)
                scores = next(staged)
            yield scores

    @property
    def pool_(self):
        """Weights of the evidence, see Attributes."""
        model = self._fitted_model()
        weights = model.pool.weights | {"prior": model.pool.prior_weight}
        shrinkage = model.lda and model.lda.shrinkage
        facts = {"gain": model.gain, "neglected": model.neglected}
        return {"weights": weights, "shrinkage": shrinkage} | facts

    @property
    def directions_(self):
        """Slices, one a row, in the space of the features; see Attributes."""
        projection, directions = self.recipe_.projection, self.recipe_.directions
        return directions if projection is None else directions @ projection

    def _fit(self, batches, size, *, at_hand=False):
        """Fit to (X, y, weight) that `batches` makes; give the weights."""
        self._forget()
        recipe, directions = recipe_of(self, self.n_features_in_, size)
        settings = self._settings(recipe)
        with working_on(settings.device):
            fitting = Fitting(batches, settings, recipe, at_hand=at_hand)
            if self.outliers is not None:
                fitting.set_outliers_aside(self.outliers)
            asked = self.n_slices, self.max_slices
            fitting.add_slices(directions, *asked, verbose=bool(self.verbose))
            fitting.finish()
        self._keep(fitting.sums, fitting.recipe, fitting.model)
        self.labels_, self.outliers_ = fitting.labels, fitting.outliers
        self.psmi_ = self.scores_ = fitting.psmi
        self.scores_std_, self.reliability_ = fitting.errors, fitting.reliability
        if recipe.pooled:
            self.scores_ = fitting.log_probability
            self.probability_ = np.exp(self.scores_)
            self.likely_labels_ = self.classes_[fitting.likely]
        if self.n_slices == "auto":
            warn_unreliable(self.reliability_, self.n_slices_, self.max_slices)
        return fitting.weight

    def _fit_labels(self, X, y, sample_weight):
        """Fit to samples that have several labels each."""
        self._forget()
        X, Y, weight = _multilabel.fit_labels(self, X, y, sample_weight)
        with self._fit_task(X, Y, sample_weight=weight):
            set_threshold(self, lambda null, Y: null.fit(X, Y, weight), Y, weight)
        return self

    def _take_over(self, sums, recipe):
        """Keep the sums of a stream; the model is fitted when it is asked for."""
        self._forget("n_features_in_", "feature_names_in_")
        self.offset_ = NEUTRAL[recipe.pooled]
        if sums is not None:
            self._keep(sums, recipe, None)

    def _keep(self, sums, recipe, model):
        self.sums_, self.recipe_, self._model = sums, recipe, model
        self.classes_, self.class_count_ = sums.labels, sums.count
        self.class_prior_ = sums.count / sums.count.sum()
        self.n_slices_ = len(recipe.directions)

    def _fitted_model(self):
        if self._model is None:
            settings = self._settings(self.recipe_)
            with working_on(settings.device):
                self._model = fit_model(self.sums_, self.recipe_, settings)
        return self._model

    @contextmanager
    def _at_work(self):
        """The fitted model and settings, where the work is done."""
        model, settings = self._fitted_model(), self._settings(self.recipe_)
        with working_on(settings.device):
            yield model, settings

    def _settings(self, recipe):
        size = None if self.block_size == "auto" else self.block_size
        return recipe.settings(resolve_device(self.device), size)

    def _forget(self, *kept):
        """Drop what an earlier fit has left."""
        fitted = {name for name in vars(self) if re.fullmatch(r"[a-z]\w*_", name)}
        for name in fitted - {"feature_names_in_", "n_features_in_", *kept}:
            delattr(self, name)

    def _checked_batch(self, X, y, sample_weight=None, *, reset=False):
        X, y = _checks.validated(self, X, y, reset=reset, least=1)
        check_classification_targets(y)
        return X, y, _checks.batch_weights(sample_weight, X)

    def _with_codes(self, X, y):
        if y is None:
            return _checks.validated(self, X), None
        X, y = _checks.validated(self, X, y)
        return X, _checks.encoded(self.classes_, y)

    def _label_names(self):
        several = hasattr(self, "label_scorers_")
        return _multilabel.joined_names(self) if several else self.labels_
