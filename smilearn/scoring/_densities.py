"""One-dimensional densities of the classes on each slice, and tables of them.

For slice j and class c, with count n, mean m and variance v of the projections z of
the class (z is centred: the mean of all samples is 0) and s0 the pooled within-class
variance of the slice:

gaussian
    Normal(m, v), the plug-in density of Wongso et al. (ISIT 2023) and of
    arXiv:2409.18858.

student
    The posterior predictive of a normal model under a normal-inverse-chi-square prior
    with PRIOR_DOF degrees of freedom around s0 and PRIOR_COUNT observations at 0
    (Murphy, "Conjugate Bayesian analysis of the Gaussian distribution", 2007):
    a Student t. A small class is drawn towards the crowd instead of fitting itself.

*Left out* means: the moments of the class without the sample at z itself (or without
`weight` copies of it). It is a closed form of z, so that a table over z serves every
sample of the class. The mean of all samples and s0 are kept: they move by O(1 / n).

Every density takes `z` of shape (S, 1, G) and parameters of shape (S, K, 1), and gives
(S, K, G), in nats.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch.nn.functional import softplus

PRIOR_DOF = 4.0
PRIOR_COUNT = 1.0
# Of the pooled variance: a class of equal rows must not become a spike.
VARIANCE_FLOOR = 1e-4
_LOG_2PI = 1.8378770664093453


@dataclass(frozen=True)
class Gaussian:
    """Normal density of each class of each slice."""

    count: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor
    pooled: torch.Tensor
    nodes_per_width: ClassVar[int] = 12  # of a table, for an error below 1e-4 nats

    def log_density(self, z):
        """Log density at z of each class, (S, K, G)."""
        variance = torch.maximum(self.variance, VARIANCE_FLOOR * self.pooled)
        return _log_normal(z - self.mean, variance)

    def log_left_out(self, z, weight=1.0):
        """Log density at z of each class without a sample at z, (S, K, G)."""
        others = self.count - weight
        ratio = self.count / torch.where(others > 0, others, 1)
        centred = (z - self.mean) * ratio
        variance = ratio * self.variance - centred.square() * (weight / self.count)
        variance = torch.maximum(variance, VARIANCE_FLOOR * self.pooled)
        alone = _log_normal(z, self.pooled)  # nothing else is known of such a class
        return torch.where(others > 0, _log_normal(centred, variance), alone)

    def narrowest(self, reach):
        """Width in z over which the log densities stay near a parabola, (S, K, 1)."""
        floor = VARIANCE_FLOOR * self.pooled
        others = (self.count - 1).clamp_min(1)
        variance = torch.maximum(self.variance, floor)
        spared = torch.maximum(self.variance - reach.square() / others, floor)
        share = torch.where(self.count > 1, spared / variance, 1.0)
        return variance.sqrt() * share**1.5


@dataclass(frozen=True)
class Student:
    """Posterior predictive density of each class of each slice, a Student t."""

    count: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor
    pooled: torch.Tensor
    nodes_per_width: ClassVar[int] = 10

    @property
    def _strength(self):
        return PRIOR_COUNT + self.count

    @property
    def _location(self):
        return self.count * self.mean / self._strength

    @property
    def _squares(self):
        """Degrees of freedom times the posterior variance."""
        offset = PRIOR_COUNT * self.count / self._strength * self.mean.square()
        return PRIOR_DOF * self.pooled + self.count * self.variance + offset

    def log_density(self, z):
        """Log density at z of each class, (S, K, G)."""
        dof = PRIOR_DOF + self.count
        spread = self._squares * (1 + 1 / self._strength)
        distance = (z - self._location).square_().mul_(1 / spread)
        scale = _log_gammas(dof, spread) - 0.5 * (torch.pi * spread).log()
        return distance.log1p_().mul_(-0.5 * (dof + 1)).add_(scale)

    def log_left_out(self, z, weight=1.0):
        """Log density at z of each class without a sample at z, (S, K, G)."""
        strength = self._strength - weight
        growth = self._strength / strength
        dof = PRIOR_DOF + self.count - weight
        square = (z - self._location).square_()
        # no sample of the class can bring the squares below the prior's share, but
        # nodes between samples may: half of it keeps their bend away from samples
        least = 0.5 * PRIOR_DOF * self.pooled
        if isinstance(weight, float) and weight == 1.0:  # the same with one logarithm
            lost = square.mul_(-growth / self._squares)
            remaining = torch.maximum(lost, least / self._squares - 1, out=lost)
            spread = self._squares * growth
            scale = _log_gammas(dof, spread) - 0.5 * (torch.pi * spread).log()
            return remaining.log1p_().mul_(0.5 * dof).add_(scale)
        squares = torch.maximum(self._squares - weight * growth * square, least)
        spread = squares.mul_(1 + 1 / strength)
        distance = square.mul_(growth**2).div_(spread).log1p_().mul_(-0.5 * (dof + 1))
        scale = _log_gammas(dof, distance) - 0.5 * np.log(np.pi)
        return distance.add_(scale).sub_(spread.log_(), alpha=0.5)

    def narrowest(self, reach):
        """Width in z over which the log densities stay near a parabola, (S, K, 1)."""
        reach = reach + (self.mean - self._location).abs()
        growth = self._strength / (self._strength - 1)
        spared = self._squares - growth * reach.square()
        share = torch.maximum(spared, PRIOR_DOF * self.pooled) / self._squares
        return (self._squares / (PRIOR_DOF + self.count)).sqrt() * share


DENSITIES = {"gaussian": Gaussian, "student": Student}


def _log_normal(centred, variance):
    return -0.5 * (centred.square() / variance + variance.log() + _LOG_2PI)


def _log_gammas(dof, like):
    """Log of the ratio of gamma functions in the height of a Student t."""
    # two large numbers apart by little: float32 would lose 1e-3 nats at 10,000 samples
    half = 0.5 * dof.double() if dof.device.type != "mps" else 0.5 * dof.cpu().double()
    return (torch.lgamma(half + 0.5) - torch.lgamma(half)).to(like)


def log_densities(density, count, z, *, left_out=False, weight=1.0):
    """Log density of each label at z, without the sample itself or with it."""
    return density.log_left_out(z, weight) if left_out else density.log_density(z)


def class_pmi(density, count, z, *, left_out=False, weight=1.0):
    """Pointwise mutual information between z and each label, (S, K, G)."""
    log_joint = density.log_density(z).add_(count.log())
    if not left_out:
        log_posterior = log_joint - torch.logsumexp(log_joint, 1, keepdim=True)
        return log_posterior.clamp_(max=0).sub_((count / count.sum(-2)).log())
    log_share = ((count - weight).clamp_min(0) / (count.sum(-2) - weight)).log()
    others = _log_of_others(log_joint).sub_((count.sum(-2) - weight).log())
    away = others.sub_(density.log_left_out(z, weight))
    # log(own / (share * own + others)); a class of one has no share left
    held = torch.where(log_share.isfinite(), log_share, 0)
    shared = torch.sub(-held, softplus(away - held, threshold=40))
    return torch.where(log_share.isfinite(), shared, -away)


def _log_of_others(log_joint):
    """Log of the sum over all classes but one, for each class: (S, K, G)."""
    largest = log_joint.amax(1, keepdim=True)
    terms = (log_joint - largest).exp_()
    first = terms == 1  # the largest, and whatever ties with it
    smaller = terms.masked_fill_(first, 0).sum(1, keepdim=True)
    smaller += first.sum(1, keepdim=True) - 1
    others = torch.sub(smaller + 1, terms, out=terms)
    others = torch.where(first, smaller, others).log_().add_(largest)
    lost = first & (smaller < 1e3 * torch.finfo(smaller.dtype).tiny)
    if lost.any():
        smaller = torch.logsumexp(
            log_joint.masked_fill(first, -torch.inf), 1, keepdim=True
        )
        others = torch.where(lost, smaller, others)
    return others


FEWEST_NODES = 128
MOST_NODES = 4096  # a slice that needs more is computed exactly
_CHUNK = 320_000  # elements of a temporary: a few MB, near the size of a CPU cache


def nodes_needed(density, moments):
    """Grid size of each slice, 2 or 3 times a power of 2; 0 asks for the exact path."""
    reach = torch.from_numpy(moments.reach)[..., None].to(density.mean)
    width = density.narrowest(reach).amin((1, 2)).cpu().double().numpy()
    span = moments.high - moments.low
    needed = density.nodes_per_width * span / np.maximum(width, np.finfo(float).tiny)
    needed = np.maximum(needed, FEWEST_NODES - 2)
    exact = needed > MOST_NODES - 2
    sizes = 2 ** np.arange(np.log2(FEWEST_NODES), np.log2(MOST_NODES) + 1)
    sizes = np.sort(np.concatenate([sizes, 1.5 * sizes[:-1]])).astype(np.int64)
    nodes = sizes[np.searchsorted(sizes[:-1], needed + 2)]
    return np.where(exact, 0, nodes)


def grid_of(low, high, n_nodes):
    """Origin and spacing of a grid with one spare step at either end."""
    step = (high - low) / (n_nodes - 3)
    step = np.where(step > 0, step, 1.0)
    return low - step, step


def tabulate(function, origin, step, n_nodes):
    """Values and differences of a function of z on the nodes of a grid."""
    nodes = torch.arange(n_nodes, dtype=origin.dtype, device=origin.device)
    values = function((origin[:, None] + step[:, None] * nodes)[:, None, :])
    table = torch.empty((*values.shape, 2), dtype=values.dtype, device=values.device)
    value, change = table[..., 0], table[..., 1]
    # nodes are moved by a twelfth of the second difference: lines between them then
    # miss the function as much above as below
    around = torch.add(values[..., :-2], values[..., 2:]).mul_(-1 / 12)
    torch.add(around, values[..., 1:-1], alpha=7 / 6, out=value[..., 1:-1])
    value[..., 0], value[..., -1] = values[..., 0], values[..., -1]
    torch.sub(value[..., 1:], value[..., :-1], out=change[..., :-1])
    change[..., -1] = 0  # beyond the grid its end is read; `_make_good` follows
    return torch.view_as_complex(table).flatten(1)


def chunks(length, width):
    """Slices that cover range(length), each of about _CHUNK / width."""
    step = max(1, _CHUNK // max(width, 1))
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))
