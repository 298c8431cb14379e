"""How a scorer learns: one label a sample or several, families alone or mixed."""

import re
import warnings

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.utils import check_consistent_length
from sklearn.utils.multiclass import is_multilabel

from smilearn.exceptions import InvalidInputError, ReliabilityWarning
from smilearn.scoring._batches import ENOUGH, ArrayBatches
from smilearn.scoring._engine import ENOUGH_RELIABILITY
from smilearn.scoring._families import (
    Task,
    bounded,
    learn,
    location_and_scale,
    member_tasks,
    mixed,
    mixed_errors,
    weights_of,
)
from smilearn.scoring._outliers import far_samples
from smilearn.scoring._samples import SortedSamples, folds_of, row_keys
from smilearn.utils._callbacks import FitTasks, silent_clone
from smilearn.utils._devices import resolve_device, working_on
from smilearn.utils._indexing import as_tensor
from smilearn.utils._random import generator_from
from smilearn.utils._sklearn_compat import fit_context
from smilearn.utils._validation import check_class_labels, is_tensor
from smilearn.utils._weights import checked_weights, enough_weight, weighted_quantile

# attributes of the mixture that are those of its members
_OF_ALL = (
    "classes_",
    "labels_",
    "class_count_",
    "class_prior_",
    "dtype_",
    "whole_weights_",
    "n_features_in_",
    "feature_names_in_",
)


_SHUFFLES = 4  # of labels; the last one checks the rate of the others
_SMALL = 2**20  # numbers, for which double precision costs next to nothing


class SliceLearning(FitTasks):
    """The fitting of a scorer; expects its parameters."""

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the slices to labelled embeddings and score these samples.

        Parameters
        ----------
        X : array-like, sparse matrix or Tensor of shape (n_samples, n_features)
            Embeddings, 2 samples or more. A torch tensor stays on its device; a sparse
            matrix stays sparse ("adaptive" has no discriminant and joint member then);
            a large `numpy.memmap` is read a batch at a time for isotropic slices.

        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels, 2 classes or more; or, for samples with several labels, a
            matrix of 0 and 1: each label is scored as present or absent, and a sample
            scores the mean over the labels (see `label_scores_`).

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample, 0 or more: a sample of weight 2 counts as two equal
            ones. One copy is left out when a sample is scored; where weights are not
            whole numbers, samples are left out a fold at a time (see `cross_fit`).
            Samples of weight 0 are not fitted, but are scored.

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
        if holds_indicators(y):
            return self._fit_indicators(X, y, sample_weight)
        if self._is_read_in_batches(X, sample_weight):
            return self.fit_batches(ArrayBatches(X, y, sample_weight))
        X, y = self._validated(X, y, reset=True)
        check_class_labels(y)
        weight = checked_weights(sample_weight, X)
        enough_weight(weight, y)
        if issparse(X) and self.slicing in ("whitened", "discriminant", "joint"):
            raise InvalidInputError(
                f"slicing={self.slicing!r} needs the covariance of all features, which "
                "sparse embeddings have too many of. Reduce them first, by "
                "sklearn.decomposition.TruncatedSVD, or take another slicing."
            )
        used = self._used(X, y, weight)
        some = weight if weight is None else weight[used]
        with self._fit_task(X, y, sample_weight=weight):
            self._learn_from(X[used], y[used], some)
            if len(self.labels_) < len(y):
                self._score_the_rest(X, y, ~used)
            self._set_offset(
                lambda null, labels: null.fit(X, labels, sample_weight=weight),
                y,
                weight,
            )
        return self

    def _is_read_in_batches(self, X, sample_weight):
        """Whether X is a large file and can be read a batch at a time."""
        large = isinstance(X, np.memmap) and X.ndim == 2 and X.size > ENOUGH
        if not large or self.slicing != "isotropic":
            return False
        if sample_weight is None or not self.leave_one_out:
            return True
        return not np.any(np.mod(sample_weight, 1))  # or folds are left out

    def _forget(self, *kept):
        """Drop what an earlier fit has left."""
        fitted = {name for name in vars(self) if re.fullmatch(r"[a-z]\w*_", name)}
        for name in fitted - {"feature_names_in_", "n_features_in_", *kept}:
            delattr(self, name)

    def _learn_from(self, X, y, weight):
        self._forget("far_")
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InvalidInputError(
                "y must hold 2 classes or more, as the score compares labels; "
                f"got 1 class: {self.classes_.tolist()[0]!r} for all {len(y)} samples."
            )
        self.labels_, self.class_count_ = y, np.bincount(codes, weight)
        self.class_prior_ = self.class_count_ / self.class_count_.sum()
        self.whole_weights_ = weight is None or bool((weight % 1 == 0).all())
        small = X.shape[0] * X.shape[1] <= _SMALL
        wanted = "float64" if small else "float32"
        self.dtype_ = wanted if self.dtype == "auto" else self.dtype
        settings, seed = self._settings(), self._fixed_seed()
        with working_on(settings.device):
            task = self._task(X, codes, weight, settings, seed)
            if self.slicing == "adaptive":
                self._mix(task)
            else:
                self._keep(task, learn(task, self.slicing, self.n_components))
        self._warn_if_unreliable()

    def _task(self, X, codes, weight, settings, seed):
        """What there is to learn from, and how."""
        # the deal does not follow the seed: a seed is for slices alone
        keys = fold = None  # unless some family may ask for folds
        if not (self.slicing in ("isotropic", "principal") and self.whole_weights_):
            rows = X if issparse(X) else as_tensor(X)
            keys = row_keys(rows, generator_from(0, "folds"))
        samples = SortedSamples.of(X, codes, settings, weight, keys)
        if keys is not None:
            fold = folds_of(samples.codes, keys[samples.order], self.cross_fit)
        return Task(
            samples,
            settings,
            fold,
            lambda: generator_from(seed, "slices"),
            n_slices=self.n_slices,
            max_slices=self.max_slices,
            orthogonal=self.orthogonal,
            left_out=self.leave_one_out,
            verbose=bool(self.verbose),
        )

    def _used(self, X, y, weight):
        """Samples to learn from, and `far_`, those that are not to be."""
        used = np.ones(len(y), bool) if weight is None else weight > 0
        self.far_ = np.zeros(len(y), bool)
        if self.far is not None:
            _, codes = np.unique(y, return_inverse=True)
            with working_on(resolve_device(self.device)):
                self.far_ = far_samples(X, codes, self.far, weight)
        used &= ~self.far_
        return slice(None) if used.all() else used

    def _score_the_rest(self, X, y, rest):
        """Score far samples and those of weight 0 by what the others have taught."""
        scores, errors = self._scores_and_errors(X[rest], self._encode(y[rest]))
        scores = np.where(self.far_[rest], np.minimum(scores, 0), scores)
        for name, values in (("scores_", scores), ("scores_std_", errors)):
            joined = np.empty(len(y))
            joined[~rest], joined[rest] = getattr(self, name), values
            setattr(self, name, joined)
        self.labels_ = y

    def _fixed_seed(self):
        """An int that gives the same streams each time one is asked for."""
        state = self.random_state
        if isinstance(state, np.random.Generator):
            return int(state.integers(2**63))
        if isinstance(state, np.random.RandomState):
            return int(state.randint(2**32, dtype=np.uint64))
        return int(np.random.SeedSequence().entropy) if state is None else state

    def _warn_if_unreliable(self):
        if self.reliability_ >= ENOUGH_RELIABILITY or self.n_slices != "auto":
            return
        more = f"max_slices={self.max_slices}"
        if self.slicing not in ("isotropic", "principal"):
            more = "n_slices, which must be a number for that"
        warnings.warn(
            f"The ranking of the samples has reliability {self.reliability_:.3f} after "
            f"{self.n_slices_} slices, below {ENOUGH_RELIABILITY}. Raise {more}, or "
            "take small differences of score with care.",
            ReliabilityWarning,
            stacklevel=5,
        )

    def _keep(self, task, learnt):
        """Take over what scoring needs, as plain arrays."""
        samples = task.samples
        self.centre_, self.inverse_scale_ = samples.centre, samples.inverse_scale
        self.feature_extent_ = samples.extent
        self.scores_ = samples.in_input_order(learnt.scores)
        self.scores_std_ = samples.in_input_order(learnt.scores_std)
        self.reliability_ = learnt.reliability
        if self.slicing == "joint":
            self.coef_, self.intercept_ = learnt.functions
            self.n_slices_ = 1
            return
        self._keep_slices(learnt.axes, learnt.directions, learnt.moments, learnt.nodes)

    def _keep_slices(self, axes, directions, moments, nodes):
        self.components_, self.directions_ = axes, directions
        self.n_slices_ = len(directions)
        self.slice_means_, self.slice_variances_ = moments.mean, moments.variance
        self.slice_reach_, self.slice_nodes_ = moments.reach, nodes
        self.slice_range_ = np.stack([moments.low, moments.high])

    def _mix(self, task):
        """Learn the members of the mixture, and weight them by their label contrast."""
        self.members_, self.contrast_ = {}, {}
        for name, slicing, n_components, its_task in member_tasks(task):
            member = silent_clone(self).set_params(slicing=slicing, contamination=None)
            member.set_params(n_components=n_components or self.n_components)
            vars(member).update({n: v for n, v in vars(self).items() if n in _OF_ALL})
            member.offset_ = 0.0
            learnt = learn(its_task, slicing, n_components)
            member._keep(its_task, learnt)
            self.members_[name], self.contrast_[name] = member, learnt.contrast
        self.weights_ = weights_of(self.contrast_)
        scores = {name: member.scores_ for name, member in self.members_.items()}
        weight = task.samples.weight
        weight = weight if weight is None else task.samples.in_input_order(weight)
        self.member_places_ = {
            name: location_and_scale(values, weight) for name, values in scores.items()
        }
        self.scores_ = mixed(scores, self.weights_, self.member_places_)
        self.centre_ = task.samples.centre
        self.inverse_scale_ = task.samples.inverse_scale
        members = self.members_.items()
        self.n_slices_ = sum(member.n_slices_ for _, member in members)
        errors = {name: member.scores_std_ for name, member in members}
        self.scores_std_ = mixed_errors(errors, self.weights_, self.member_places_)

        def spread_of(scores):
            return np.cov(bounded(scores), aweights=weight)

        noises = {
            name: np.sqrt((1 - m.reliability_) * spread_of(m.scores_))
            for name, m in members
        }
        noise = mixed_errors(noises, self.weights_, self.member_places_) ** 2
        spread = spread_of(self.scores_)
        self.reliability_ = float(1 - noise / spread) if spread > noise else 0.0

    def _set_offset(self, refit, y, weight=None):
        """Set `offset_`, the score below which samples are flagged."""
        if self.contamination == "permutation":
            used = slice(None) if weight is None else weight > 0
            *null, last = (
                self._shuffled_scores(refit, y, used, i) for i in range(_SHUFFLES)
            )
            null = np.concatenate(null)
            times = None if weight is None else np.tile(weight, _SHUFFLES - 1)
            self.offset_ = float(weighted_quantile(null, self.alpha, times))
            flags = last < self.offset_
            self.false_flag_rate_ = float(np.average(flags, weights=weight))
            return
        self.offset_ = 0.0
        if self.contamination is not None:
            share = self.contamination
            self.offset_ = float(weighted_quantile(self.scores_, share, weight))

    def _shuffled_scores(self, refit, y, used, repeat):
        """Scores of the same samples with shuffled labels, in the unit of this fit."""
        rng = generator_from(self._fixed_seed(), f"shuffle {repeat}")
        parameters = {"contamination": None, "random_state": int(rng.integers(2**32))}
        if self.n_slices == "auto" and self.slicing in ("isotropic", "principal"):
            parameters["n_slices"] = self.n_slices_  # noise never gets reliable
        null = silent_clone(self).set_params(**parameters)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReliabilityWarning)
            labels = y.copy()
            labels[used] = rng.permutation(y[used])
            refit(null, labels)
        if not hasattr(null, "members_"):
            return null.scores_
        scores = {name: member.scores_ for name, member in null.members_.items()}
        return mixed(scores, self.weights_, self.member_places_)

    @property
    def _of_indicators(self):
        return hasattr(self, "label_scorers_")

    def _fit_indicators(self, X, y, sample_weight):
        self._forget()
        Y, names = self._checked_indicators(y, X)
        X = self._validated(X, reset=True)
        weight = checked_weights(sample_weight, X)
        used = Y if weight is None else Y[weight > 0]
        varies = used.any(0) & ~used.all(0)
        if not varies.any():
            raise InvalidInputError(
                "Each column of y is all 0 or all 1, so there is nothing to tell "
                "samples apart by; at least 1 label must be present in some samples "
                "and absent from others."
            )
        one = silent_clone(self)
        one.set_params(random_state=self._fixed_seed(), contamination=None)
        scorers = [None] * len(varies)
        with self._fit_task(X, Y, sample_weight=weight):
            for column in np.flatnonzero(varies):
                fitted = clone(one).fit(X, Y[:, column], sample_weight=weight)
                scorers[column] = fitted
            self.label_scorers_, self.classes_, self.labels_ = scorers, names, Y
            self.class_count_ = Y.sum(0) if weight is None else weight @ Y
            self.class_prior_ = np.average(Y, axis=0, weights=weight)
            self._join_labels(weight)
            self._set_offset(
                lambda null, labels: null.fit(X, labels, sample_weight=weight),
                Y,
                weight,
            )
        return self

    def _join_labels(self, weight):
        """Set what holds for a sample, from what its labels say."""
        fitted = [scorer for scorer in self.label_scorers_ if scorer is not None]
        n_labels = self.labels_.shape[1]
        self.label_scores_ = self._of_each_label(lambda scorer, _: scorer.scores_)
        self.scores_ = self.label_scores_.mean(1)
        # slices are shared, so that errors may add up: these are upper bounds
        self.scores_std_ = sum(one.scores_std_ for one in fitted) / n_labels
        noise = sum(
            np.sqrt((1 - one.reliability_) * np.cov(one.scores_, aweights=weight))
            for one in fitted
        )
        spread = np.cov(self.scores_, aweights=weight) * n_labels**2
        self.reliability_ = max(0.0, float(1 - noise**2 / spread)) if spread else 1.0
        self.far_ = np.any([one.far_ for one in fitted], axis=0)
        self.n_slices_ = max(one.n_slices_ for one in fitted)

    def _indicator_table(self, X, y=None):
        """Score of each sample under its value of each label, (n, n_labels)."""
        Y = None if y is None else self._checked_indicators(y, X)[0]
        X = self._validated(X)
        return self._of_each_label(
            lambda scorer, column: scorer.score_samples(
                X, None if Y is None else Y[:, column]
            )
        )

    def _of_each_label(self, scores_of):
        """Scores by each label, (n_samples, n_labels); 0 where none was fitted."""
        columns = [
            0.0 if scorer is None else scores_of(scorer, column)
            for column, scorer in enumerate(self.label_scorers_)
        ]
        return np.stack(np.broadcast_arrays(*columns), 1)

    def _indicator_contrast(self, X, y, sample_weight):
        """Share of labels whose own value scores higher than the other, ties half."""
        Y = self._checked_indicators(y, X)[0]
        X = self._validated(X)
        weight = checked_weights(sample_weight, X)
        apart = self._indicator_table(X, Y) - self._indicator_table(X, 1 - Y)
        wins = (apart > 0) + 0.5 * (apart == 0)
        return float(np.average(wins.mean(1), weights=weight))

    def _checked_indicators(self, y, X):
        """Indicators (n, n_labels) of 0 and 1, and the names of the labels."""
        names = getattr(y, "columns", None)
        if is_tensor(y):
            y = y.cpu().numpy()
        Y = y.toarray() if issparse(y) else np.asarray(y)
        if Y.ndim != 2 or not np.isin(Y, (0, 1)).all():
            raise InvalidInputError(
                "This y must be an indicator matrix of 0 and 1, of shape (n_samples, "
                f"n_labels); got shape {Y.shape}."
            )
        check_consistent_length(X, Y)
        if self._of_indicators and Y.shape[1] != len(self.label_scorers_):
            raise InvalidInputError(
                f"y has {Y.shape[1]} labels where fit saw {len(self.label_scorers_)}."
            )
        names = np.arange(Y.shape[1]) if names is None else np.array(list(names))
        return Y.astype(np.int64), names

    def _joined_names(self):
        """Labels of each training sample as one text, such as ``"fear, joy"``."""
        names = np.array([str(name) for name in self.classes_])
        return [", ".join(names[row]) or "none" for row in self.labels_ == 1]


def holds_indicators(y):
    """Tell whether y says of each of several labels whether a sample has it."""
    return is_multilabel(y.cpu().numpy() if is_tensor(y) else y)
