"""Several families of slices at once, weighted by their label contrast."""

from dataclasses import replace

import numpy as np

from smilearn.scoring import _families
from smilearn.scoring._families import enough_slices
from smilearn.scoring._samples import SparsePoints
from smilearn.utils._weights import weighted_quantile

FAMILIES = {"isotropic", "principal", "whitened", "discriminant", "joint", "adaptive"}
# the isotropic one last: it overwrites the points
MEMBERS = {
    "principal-16": ("principal", 16),
    "principal-64": ("principal", 64),
    "discriminant": ("discriminant", None),
    "joint": ("joint", None),
    "isotropic": ("isotropic", None),
}
_WIDTH = 0.05  # of contrast, in which a member falls from full weight to none
# of the discriminant member: whitened, every direction between classes tells about as
# much, so that few slices rank like many
_DISCRIMINANT_SLICES = 96
_MOST = 1e70  # nats; squares of the mixture stay finite
_LOW = 0.05  # quantile that sets the scale of a member


def learn(task, slicing, n_components):
    """Learn one family of slices."""
    if slicing in ("whitened", "discriminant", "joint") and task.boost is None:
        task = replace(task, boost=_families.best_boost(task))
    if slicing == "principal":
        return _families.principal(task, n_components)
    return getattr(_families, slicing)(task)


def member_tasks(task):
    """Task of each member of the mixture, by name, in the order to learn them in."""
    n_features = task.samples.points.shape[1]
    sparse = isinstance(task.samples.points, SparsePoints)
    boost = None if sparse else _families.best_boost(task)
    task = replace(task, boost=boost, compare=True)
    task.principal_axes(max(n for _, n in MEMBERS.values() if n))
    for name, (slicing, n_components) in members_for(n_features, sparse).items():
        its_task = task
        if slicing != "isotropic":
            few = enough_slices(min(n_components or len(task.share) - 1, n_features))
            if slicing == "discriminant":
                few = min(few, _DISCRIMINANT_SLICES)
            wanted = few if task.n_slices == "auto" else min(few, task.n_slices)
            its_task = replace(task, n_slices=wanted)
        yield name, slicing, n_components, its_task


def members_for(n_features, sparse):
    """Members of the mixture that samples with so many features can have."""
    return {
        name: (slicing, n_components)
        for name, (slicing, n_components) in MEMBERS.items()
        # as many components as features: the same as isotropic, of whitened points
        if not (slicing == "principal" and n_components >= n_features)
        # no covariance of that many features
        if not (sparse and slicing in ("discriminant", "joint"))
    }


def weights_of(contrast):
    """Weight of each member: 1 for the best, 0 from a width below it on; sum 1."""
    best = max(contrast.values())
    raw = {
        name: max(0.0, 1 - (best - value) / _WIDTH) for name, value in contrast.items()
    }
    return {name: value / sum(raw.values()) for name, value in raw.items()}


def location_and_scale(scores, weight=None):
    """Median of the training scores of a member, and how far the low ones lie below."""
    scores = bounded(scores)
    low, middle = weighted_quantile(scores, [_LOW, 0.5], weight)
    mean = np.average(scores, weights=weight)
    deviation = np.average((scores - mean) ** 2, weights=weight) ** 0.5
    rounding = 1e-6 * max(abs(middle), 1)
    for spread in (middle - low, deviation):  # the second where most scores tie
        if spread > rounding:
            return float(middle), float(spread)
    return float(middle), 1.0


def bounded(scores):
    """Scores of a member, clipped so that the mixture can be squared."""
    return np.clip(scores, -_MOST, _MOST)


def mixed(scores, weights, places):
    """Weighted mean of standardized scores, in the average unit of the members."""
    location = sum(weights[name] * places[name][0] for name in scores)
    scale = sum(weights[name] * places[name][1] for name in scores)
    standardized = sum(
        weights[name] * (bounded(values) - places[name][0]) / places[name][1]
        for name, values in scores.items()
    )
    return location + scale * standardized


def mixed_errors(errors, weights, places):
    """Standard errors of :func:`mixed`, from those of the members."""
    scale = sum(weights[name] * places[name][1] for name in errors)
    standardized = [weights[n] / places[n][1] * bounded(errors[n]) for n in errors]
    return scale * np.sqrt(np.square(standardized).sum(0))
