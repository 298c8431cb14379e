"""How a scorer learns from standardized samples (floor 7)."""

import warnings

import numpy as np
from sklearn.base import clone

from smilearn._directions import generator_from
from smilearn._families import ENOUGH_RELIABILITY
from smilearn._mixture import learn, location_and_scale, member_tasks, mixed, weights_of
from smilearn._standardize import SortedSamples
from smilearn._task import Task, folds_of
from smilearn._threads import own_threads
from smilearn.exceptions import ReliabilityWarning

# fitted attributes that not every fit sets
_OF_A_FAMILY = {
    "coef_",
    "components_",
    "contrast_",
    "directions_",
    "false_flag_rate_",
    "intercept_",
    "member_places_",
    "members_",
    "slice_means_",
    "slice_nodes_",
    "slice_range_",
    "slice_reach_",
    "slice_variances_",
    "weights_",
}
_OF_ALL = (
    "classes_",
    "labels_",
    "class_count_",
    "class_prior_",
    "n_features_in_",
    "feature_names_in_",
)
_SHUFFLES = 4  # of labels; the last one checks the rate of the others


class SliceLearning:
    """The fitting of a scorer; expects its parameters and what it knows of classes."""

    def _learn_from(self, X, codes):
        for name in _OF_A_FAMILY & vars(self).keys():
            delattr(self, name)
        settings = self._settings()
        seed = self._fixed_seed()
        with own_threads(settings.device):
            samples = SortedSamples.of(X, codes, settings)
            n_folds = min(self.cross_fit, len(codes))
            fold = folds_of(samples.codes, n_folds, generator_from(seed, "folds"))
            task = Task(
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
            if self.slicing == "adaptive":
                self._mix(task)
            else:
                self._keep(task, learn(task, self.slicing, self.n_components))
        if self.reliability_ < ENOUGH_RELIABILITY and self.n_slices == "auto":
            self._warn_unreliable()

    def _draw_the_line(self, X, y):
        """Set `offset_`, the score below which samples are flagged."""
        if self.contamination == "permutation":
            *null, last = (self._shuffled_scores(X, y, i) for i in range(_SHUFFLES))
            self.offset_ = float(np.quantile(null, self.alpha))
            self.false_flag_rate_ = float((last < self.offset_).mean())
            return
        share = self.contamination
        self.offset_ = 0.0 if share is None else float(np.quantile(self.scores_, share))

    def _shuffled_scores(self, X, y, repeat):
        """Scores of the same samples with shuffled labels, in the unit of this fit."""
        rng = generator_from(self._fixed_seed(), f"shuffle {repeat}")
        parameters = {"contamination": None, "random_state": int(rng.integers(2**32))}
        if self.n_slices == "auto" and self.slicing in ("isotropic", "principal"):
            parameters["n_slices"] = self.n_slices_  # noise never gets reliable
        null = clone(self).set_params(**parameters)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReliabilityWarning)
            null.fit(X, rng.permutation(y))
        if self.slicing != "adaptive":
            return null.scores_
        scores = {name: member.scores_ for name, member in null.members_.items()}
        return mixed(scores, self.weights_, self.member_places_)

    def _fixed_seed(self):
        """An int that gives the same streams each time one is asked for."""
        state = self.random_state
        if isinstance(state, np.random.Generator):
            return int(state.integers(2**63))
        if isinstance(state, np.random.RandomState):
            return int(state.randint(2**32, dtype=np.uint64))
        return int(np.random.SeedSequence().entropy) if state is None else state

    def _keep(self, task, learnt):
        """Take over what scoring needs, as plain arrays."""
        samples = task.samples
        self.centre_, self.inverse_scale_ = samples.centre, samples.inverse_scale
        self.scores_ = samples.in_input_order(learnt.scores)
        self.scores_std_ = samples.in_input_order(learnt.scores_std)
        self.reliability_ = learnt.reliability
        if self.slicing == "joint":
            self.coef_, self.intercept_ = learnt.functions
            self.n_slices_ = 1
            return
        moments = learnt.moments
        self.components_, self.directions_ = learnt.axes, learnt.directions
        self.n_slices_ = len(learnt.directions)
        self.slice_means_, self.slice_variances_ = moments.mean, moments.variance
        self.slice_reach_, self.slice_nodes_ = moments.reach, learnt.nodes
        self.slice_range_ = np.stack([moments.low, moments.high])

    def _mix(self, task):
        """Learn the members of the mixture, and weight them by their label contrast."""
        self.members_, self.contrast_ = {}, {}
        for name, slicing, n_components, its_task in member_tasks(task):
            member = clone(self).set_params(slicing=slicing, contamination=None)
            member.set_params(n_components=n_components or self.n_components)
            known = [name for name in _OF_ALL if hasattr(self, name)]
            vars(member).update({name: getattr(self, name) for name in known})
            member.offset_ = 0.0
            learnt = learn(its_task, slicing, n_components)
            member._keep(its_task, learnt)
            self.members_[name], self.contrast_[name] = member, learnt.contrast
        self.weights_ = weights_of(self.contrast_)
        scores = {name: member.scores_ for name, member in self.members_.items()}
        self.member_places_ = {n: location_and_scale(s) for n, s in scores.items()}
        self.scores_ = mixed(scores, self.weights_, self.member_places_)
        self.centre_ = task.samples.centre
        self.inverse_scale_ = task.samples.inverse_scale
        self.n_slices_ = sum(member.n_slices_ for member in self.members_.values())
        self._judge_mixture()

    def _judge_mixture(self):
        """Monte-Carlo error and reliability of the mixture, from its members'."""
        unit = sum(self.weights_[n] * s for n, (_, s) in self.member_places_.items())
        share = {n: self.weights_[n] / s for n, (_, s) in self.member_places_.items()}
        errors = [share[n] * m.scores_std_ for n, m in self.members_.items()]
        self.scores_std_ = unit * np.sqrt(np.square(errors).sum(0))
        noise = sum(
            share[name] ** 2 * (1 - member.reliability_) * np.var(member.scores_)
            for name, member in self.members_.items()
        )
        spread = np.var(self.scores_ / unit)
        self.reliability_ = float(1 - noise / spread) if spread > noise else 0.0

    def _warn_unreliable(self):
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
