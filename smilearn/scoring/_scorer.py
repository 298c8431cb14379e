"""Surprise of labelled embeddings, and their pointwise sliced mutual information."""

from contextlib import contextmanager
from functools import partial
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils import ClassifierTags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from smilearn.exceptions import InvalidInputError
from smilearn.scoring import _batches, _checks, _dask, _multilabel
from smilearn.scoring._base import RiskScorer
from smilearn.scoring._blocks import AtHand, Streamed
from smilearn.scoring._fitting import fit_scorer, with_batch
from smilearn.scoring._model import fit_model
from smilearn.scoring._recipe import stream_recipe
from smilearn.scoring._threshold import DEFAULT_OFFSET, set_threshold
from smilearn.utils._callbacks import FitTasks
from smilearn.utils._devices import resolve_device, working_on
from smilearn.utils._labels import class_labels
from smilearn.utils._sklearn_compat import Interval, StrOptions, fit_context
from smilearn.utils._weights import checked_weights

_POSITIVE = Interval(Integral, 1, None, closed="left")
_SHARE = Interval(Real, 0, 0.5, closed="right")
_AUTO = StrOptions({"auto"})


class SlicedMIScorer(FitTasks, RiskScorer, BaseEstimator):
    """Score how well a sample's embedding speaks for its own label; low = at risk.

    The score is the log probability of the sample's label given its embedding, by all
    *other* samples: a label that surprises can only be learnt by heart. Two kinds of
    evidence are pooled: linear discriminant analysis (LDA), and the densities of the
    classes along random directions (*slices*), whose mean pointwise mutual information
    with the label is the PSMI of [1]_.

    Parameters
    ----------
    n_slices : int or "auto", default="auto"
        Number of random directions. "auto" doubles it from 256 until the ranking by
        PSMI settles: until `reliability_` reaches 0.95, or at `max_slices`.

    pooled : bool, default=True
        Whether the score is the pooled log probability. False: the PSMI alone, the
        score of the paper [1]_.

    density : {"student", "gaussian"}, default="student"
        Density of a class along a slice: the plug-in normal of the paper, or the
        posterior predictive of the same model, which is sober for small classes.

    leave_one_out : bool, default=True
        Whether a training sample is left out, in closed form, when it is scored itself.

    outliers : float or None, default=5.0
        Training samples this many times as far from the middle of their class as the
        median of it, or of the typical class where that is larger, are not fitted: they
        would become the safest of their class and hide the others. They are scored as
        new ones, at most the log share of their class. None fits all.

    orthogonal : bool, default=True
        Whether directions come in orthonormal blocks, for 2 to 5 times less variance.

    contamination : float in (0, 0.5], "permutation" or None, default=None
        Threshold of :meth:`predict`: None flags labels of a probability below one half
        (with ``pooled=False``: a PSMI below 0, the rule of the paper); a float flags
        that share of the training samples; "permutation" flags samples that score below
        all but a share `alpha` of samples whose labels were shuffled.

    alpha : float, default=0.05
        For "permutation": the share flagged where labels say nothing of `X`.

    max_slices : int, default=4096
        Most slices that ``n_slices="auto"`` may use.

    device : str, default="auto"
        Torch device; "auto" takes cuda, mps or cpu.

    dtype : {"auto", "float32", "float64"}, default="auto"
        Precision of products and tables; sums over samples are float64 in any case.
        "auto": float64 where `X` is small (a million numbers).

    block_size : int or "auto", default="auto"
        Slices whose projections are held at once; "auto": 30 to 45 MB.

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

    probability_, likely_labels_ : ndarray of shape (n_samples,)
        The same in [0, 1], and the most probable label by the others. Not with
        ``pooled=False``.

    psmi_, scores_std_ : ndarray of shape (n_samples,)
        Pointwise sliced mutual information of each training sample and its label, left
        out, in nats (low = at risk, 0 = no information), and its Monte-Carlo standard
        error, as for independent slices.

    reliability_ : float
        Expected rank correlation of `psmi_` with that of as many other slices.

    offset_, false_flag_rate_ : float
        Threshold of :meth:`predict` in nats; of "permutation", the share it flags after
        a shuffle of its own.

    outliers_, labels_ : ndarray of shape (n_samples,)
        Which training samples were too far from their class to be fitted; all labels.

    label_scorers_, label_scores_ : list, ndarray of shape (n_samples, n_labels)
        Of several labels: the scorer of each (None where all samples or none have it),
        and what each sample scores by it.

    classes_, class_count_, class_prior_ : ndarray of shape (n_classes,)
        Labels seen, sorted; fitted samples of each, or their weight; share of each.

    n_slices_, directions_ : int, ndarray of shape (n_slices, n_features)
        The slices, unit vectors, one a row.

    pool_ : dict
        `weights` of slices, LDA and log prior; `shrinkage` of LDA; `gain` of slices, in
        mean log probability; `neglected`, that of labels not read (see Notes).

    sums_, recipe_ : Sums, Recipe
        Sums over all samples, **with up to 2,048 of their embeddings**, which the pool
        is fitted on, and the parameters: what :meth:`partial_fit` and :meth:`merge` add
        to. ``del scorer.sums_`` before you share a file: scores stay as they are.

    n_features_in_, feature_names_in_ : int, ndarray of shape (n_features,)
        Features seen in :meth:`fit`, and their names, where all are strings.

    Notes
    -----
    The log probability is the log softmax of the weighted evidence and log prior. The
    weights and the shrinkage of LDA maximize it in the mean over the labels of at most
    2,048 samples (fewer with many classes); slices enter where they save 3 % of the
    mean surprise, read for a training sample's own label and for so many likely ones
    that the others have a mean probability of 0.01 at most. With more than 1,536
    features, slices and LDA lie in a random subspace of so many dimensions.

    References
    ----------
    .. [1] J. Dentan, D. Buscaldi, A. Shabou, S. Vanier, "Predicting memorization
       within Large Language Models fine-tuned for classification", arXiv:2409.18858.

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
        tags.target_tags.required = tags.input_tags.sparse = True
        tags.classifier_tags = ClassifierTags()  # predict_proba
        return tags

    def __sklearn_is_fitted__(self):
        return not {"recipe_", "label_scorers_"}.isdisjoint(vars(self))

    @fit_context(prefer_skip_nested_validation=True)
    @_dask.on_chunks
    def fit(self, X, y, sample_weight=None):
        """Fit to labelled embeddings and score these samples.

        Parameters
        ----------
        X : array-like, sparse matrix or Tensor of shape (n_samples, n_features)
            Embeddings, 2 samples or more. A torch tensor stays on its device; a large
            `numpy.memmap` or sparse matrix is read a batch at a time. Dask arrays and
            columns of dask dataframes stay on the workers; a column may hold lists.

        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels, 2 classes or more. Where samples have several labels, a matrix
            of 0 and 1: a sample scores the mean over the labels, present or absent.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights, 0 or more. A sample of weight 2 counts as two equal ones, of which
            one is left out when it is scored; where weights are not whole numbers, the
            whole sample is. Samples of weight 0 are not fitted, but are scored.

        Returns
        -------
        self : SlicedMIScorer
            The fitted scorer.

        Raises
        ------
        ValueError
            If `X` is not finite, `y` not of 2 classes or more, or weights too small.

        Warns
        -----
        ReliabilityWarning
            If ``n_slices="auto"`` stops at `max_slices` before the ranking settles.
        """
        if _multilabel.holds_indicators(y):
            _checks.forget(self)
            return _multilabel.fit_labels(self, X, y, sample_weight)
        y = class_labels(y, type(self).__name__)
        if isinstance(X, np.memmap) and X.ndim == 2 and X.size > _batches.BATCH_NUMBERS:
            return self.fit_batches(_batches.ArrayBatches(X, y, sample_weight))
        X, y = _checks.validated(self, X, y, reset=True)
        weight = checked_weights(sample_weight, X)
        blocks = partial(AtHand, X, y, weight)
        if issparse(X) and _batches.n_batches(X) > 1:
            blocks = partial(Streamed, _batches.ArrayBatches(X, y, weight).__iter__)
        with self._fit_task(X, y, sample_weight=weight):
            fit_scorer(self, blocks, X.shape[0] * X.shape[1])
            set_threshold(self, lambda null, y: null.fit(X, y, weight), y, weight)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_batches(self, batches):
        """Fit to samples that do not fit in memory, and score them.

        Goes through them once for the labels, twice or more for outliers, twice for
        each doubling of the slices and once for the probabilities. Gives what
        :meth:`fit` gives, up to rounding (1e-4 nats). Memory beyond one batch of about
        64 MB does not grow but for a few numbers a sample.

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
            If `batches` can be gone through only once or their labels change.
        """
        _checks.checked_batch(self, *_batches.first_of(batches), reset=True)
        check = partial(_checks.checked_batch, self)
        again = partial(_batches.pieces, batches, check)
        weight = fit_scorer(self, partial(Streamed, again))

        def refit(null, y):
            return null.fit_batches(_batches.Relabelled(batches, y))

        set_threshold(self, refit, self.labels_, weight)
        return self

    @available_if(_checks.keeps_up)
    @fit_context(prefer_skip_nested_validation=True)
    @_dask.on_chunks
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Fit to one more batch of samples.

        Batches of any size in any order fit what :meth:`fit` would fit to all of them
        at once, up to rounding (1e-4 nats), with as many slices ("auto": 1,024, or
        `max_slices`). There are no `scores_`: go through the batches again with
        :meth:`score_training_samples`. Nor can outliers be told: they are fitted. After
        :meth:`fit` the samples are added to those fitted. A call that raises adds
        nothing. Parameters set after the first call are not read.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings; of a dask collection, only sums come back from the workers.

        y : array-like of shape (n_samples,)
            Class labels.

        classes : array-like of shape (n_classes,), default=None
            On the first call, all labels that may come; None takes them as they come.
            `classes_` are those seen so far.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights, as in :meth:`fit`. Those of a batch may all be 0.

        Returns
        -------
        self : SlicedMIScorer
            The scorer, fitted to all batches so far.

        Raises
        ------
        AttributeError
            If `contamination` is not None: it needs all samples at once.

        ValueError
            If labels may not come here, or after a fit to several labels a sample.
        """
        _multilabel.refuse_labels(self, "partial_fit")
        before, weight = _checks.sums_of(self), sample_weight
        batch = _checks.checked_batch(self, X, y, weight, reset=before is None)
        announced = _checks.allowed_labels(self, batch[1], classes)
        recipe = stream_recipe(self, self.n_features_in_)
        sums = with_batch(before, *batch, recipe, self._settings(recipe))
        return self._take_over(sums, recipe, announced)

    @available_if(_checks.keeps_up)
    def merge(self, other):
        """Add what another scorer has fitted to other samples.

        Both may have been fitted in any way, or not at all. There are no `scores_`.

        Parameters
        ----------
        other : SlicedMIScorer
            Scorer with the same parameters and the same int as `random_state`.

        Returns
        -------
        self : SlicedMIScorer
            The scorer, as if it had seen the samples of both.

        Raises
        ------
        ValueError
            If slices or features differ, or the labels of `other` may not come here.
        """
        if not isinstance(other, SlicedMIScorer):
            raise InvalidInputError(
                f"merge takes another SlicedMIScorer; got a {type(other).__name__}."
            )
        for each in (self, other):
            _multilabel.refuse_labels(each, "merge")
        before, others = (_checks.sums_of(each) for each in (self, other))
        if others is None:
            return self
        announced = _checks.allowed_labels(self, others.labels)
        recipe = stream_recipe(self, other.n_features_in_)
        _checks.refuse_to_merge(self, other, recipe)
        sums = others if before is None else before.merged(others, recipe.directions)
        for name in {"n_features_in_", "feature_names_in_"} & vars(other).keys():
            setattr(self, name, getattr(other, name))
        return self._take_over(sums, recipe, announced)

    @_dask.on_chunks
    def score_samples(self, X, y=None):
        """Score new samples; low = at risk.

        Training samples are *not* left out here: their own scores are in `scores_`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.

        y : array-like of shape (n_samples,), default=None
            Labels, among `classes_`. None takes the label that fits each sample best.

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
        X, codes = _checks.with_codes(self, X, y)
        with self._at_work() as (model, settings):
            return model.scores(X, codes, settings)

    @_dask.on_chunks
    def score_training_samples(self, X, y, sample_weight=None):
        """Score samples that were fitted, each left out; low = at risk.

        What `scores_` would hold, for samples that come again, in any order.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings, those of weight above 0 all among those fitted.

        y : array-like of shape (n_samples,)
            Their labels.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each when it was fitted; those of weight 0 were not, as outliers
            are not, and are scored as new ones.

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
        X, codes = _checks.with_codes(self, X, y)
        weight = _checks.batch_weights(sample_weight, X)
        weight = np.ones(X.shape[0]) if weight is None else weight
        with self._at_work() as (model, settings):
            return model.training_scores(X, codes, weight, settings)

    @_dask.on_chunks
    def score(self, X, y, sample_weight=None):
        """Mean log probability of the labels, in nats; higher is better.

        What a search over slice counts, densities, layers or embedders maximizes. The
        same of training samples, each left out and pooled, is ``scores_.mean()``.

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
            If no sample has a label that was seen; others are left out, with a warning.
        """
        check_is_fitted(self)
        if hasattr(self, "label_scorers_"):
            return _multilabel.label_score(self, X, y, sample_weight)
        X, codes, weight = _checks.of_known_labels(self, X, y, sample_weight)
        own = self._log_probability(X)[np.arange(len(codes)), codes]
        return float(np.average(own, weights=weight))

    @_dask.on_chunks
    def staged_score_samples(self, X, y=None, at=None):
        """Score samples with the first slices, then with more; low = at risk.

        One pass over the slices, lazily. With ``pooled=False`` stage k is, up to
        rounding, what a scorer with ``n_slices=k`` gives; else the pool stays the same.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.

        y : array-like of shape (n_samples,), default=None
            Labels, among `classes_`. None takes the label that fits each sample best.

        at : array-like of int, default=None
            Numbers of slices, ascending, from 1 to `n_slices_`. None takes each one.

        Returns
        -------
        stages : generator of ndarray of shape (n_samples,)
            Scores in nats; the last are those of :meth:`score_samples`.
        """
        check_is_fitted(self)
        _multilabel.refuse_labels(self, "staged_score_samples")
        counts = _checks.slice_counts(at, self.n_slices_, "at")
        X, codes = _checks.with_codes(self, X, y)
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
        with self._at_work() as (model, _):
            return model.pool_facts

    @property
    def directions_(self):
        """Slices, one a row; see Attributes."""
        return self.recipe_.slices

    def _take_over(self, sums, recipe, announced):
        """Keep the sums of a stream; the model is fitted when it is asked for."""
        _checks.forget(self)
        self.offset_, self.stream_classes_ = DEFAULT_OFFSET[recipe.pooled], announced
        if sums is not None:
            self._keep(sums, recipe, None)
        return self

    def _keep(self, sums, recipe, model):
        self.sums_, self.recipe_, self._model = sums, recipe, model
        self.classes_, self.class_count_ = sums.labels, sums.count
        self.class_prior_ = sums.count / sums.count.sum()
        self.n_slices_ = len(recipe.directions)

    @contextmanager
    def _at_work(self):
        """The model, fitted by now, and settings, where the work is done."""
        settings = self._settings(self.recipe_)
        with working_on(settings.device):
            if self._model is None:
                self._model = fit_model(self.sums_, self.recipe_, settings)
            yield self._model, settings

    def _settings(self, recipe):
        size = None if self.block_size == "auto" else self.block_size
        return recipe.settings(resolve_device(self.device), size)

    @_dask.on_chunks
    def _log_probability(self, X):
        if hasattr(self, "label_scorers_"):
            return _multilabel.log_probabilities(self, X)
        X = _checks.validated(self, X)
        with self._at_work() as (model, settings):
            return model.probabilities(X, settings)

    _label_names = _multilabel.names_of
