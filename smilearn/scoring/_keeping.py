"""What a scorer keeps of what was learnt, as plain arrays."""

import numpy as np

from smilearn.scoring._mixture import (
    bounded,
    learn,
    location_and_scale,
    member_tasks,
    mixed,
    mixed_errors,
    weights_of,
)
from smilearn.utils._callbacks import silent_clone

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


class SliceKeeping:
    """The setting of fitted attributes; expects the parameters of a scorer."""

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
        fitted = learnt.axes, learnt.directions, learnt.moments, learnt.nodes
        self._keep_slices(*fitted)

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
            known = [name for name in _OF_ALL if hasattr(self, name)]
            vars(member).update({name: getattr(self, name) for name in known})
            member.offset_ = 0.0
            learnt = learn(its_task, slicing, n_components)
            member._keep(its_task, learnt)
            self.members_[name], self.contrast_[name] = member, learnt.contrast
        self.weights_ = weights_of(self.contrast_)
        scores = {name: member.scores_ for name, member in self.members_.items()}
        weight = task.samples.weight
        if weight is not None:
            weight = task.samples.in_input_order(weight)
        self.member_places_ = {
            name: location_and_scale(values, weight) for name, values in scores.items()
        }
        self.scores_ = mixed(scores, self.weights_, self.member_places_)
        self.centre_ = task.samples.centre
        self.inverse_scale_ = task.samples.inverse_scale
        self.n_slices_ = sum(member.n_slices_ for member in self.members_.values())
        errors = {name: member.scores_std_ for name, member in self.members_.items()}
        self.scores_std_ = mixed_errors(errors, self.weights_, self.member_places_)
        self._judge_mixture(weight)

    def _judge_mixture(self, weight):
        """Reliability of the mixture, from its members'."""

        def spread_of(scores):
            return np.cov(bounded(scores), aweights=weight)

        noises = {
            name: np.sqrt((1 - m.reliability_) * spread_of(m.scores_))
            for name, m in self.members_.items()
        }
        noise = mixed_errors(noises, self.weights_, self.member_places_) ** 2
        spread = spread_of(self.scores_)
        self.reliability_ = float(1 - noise / spread) if spread > noise else 0.0
