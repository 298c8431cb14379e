"""One-dimensional class-conditional densities as functions of z.

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

*Left out* means: the moments of the class without the sample at z itself. Both are
closed forms of z, so that a table over z serves every sample of the class.

Every function takes `z` of shape (S, 1, G) and parameters of shape (S, K, 1), and
gives (S, K, G), in nats. An `offset`, such as the log share of the class, is added in
passing.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch.nn.functional import softplus

PRIOR_DOF = 2.0
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

    def log_density(self, z, offset=0.0):
        """Log density at z of each class plus an offset, (S, K, G)."""
        variance = torch.maximum(self.variance, VARIANCE_FLOOR * self.pooled)
        return _log_normal(z - self.mean, variance) + offset

    def log_left_out(self, z, offset=0.0):
        """Log density at z of each class without one sample at z, (S, K, G)."""
        others = (self.count - 1).clamp_min(1)
        centred = z - self.mean
        variance = self.variance - centred.square() / others  # of n - 1, times (n-1)/n
        variance = torch.maximum(
            variance * (self.count / others), VARIANCE_FLOOR * self.pooled
        )
        left_out = _log_normal(centred * (self.count / others), variance)
        alone = _log_normal(z, self.pooled)  # nothing else is known of such a class
        return torch.where(self.count > 1, left_out, alone) + offset

    def coefficients(self, offset):
        """What `_kernels.tables` makes both log densities from, (S, K, 10)."""
        floor = VARIANCE_FLOOR * self.pooled
        variance = torch.maximum(self.variance, floor)
        others = (self.count - 1).clamp_min(1)
        ratio = self.count / others
        alone = self.count == 1
        scale = offset - 0.5 * _LOG_2PI
        columns = (
            self.mean,
            scale - 0.5 * variance.log(),
            -0.5 / variance,
            self.mean.new_zeros(()),
            torch.where(alone, 0.0, self.mean),
            scale,
            torch.where(alone, 1.0, ratio.square()),
            torch.where(alone, self.pooled, self.variance * ratio),
            torch.where(alone, 0.0, ratio / others),
            floor,
        )
        return _side_by_side(columns)

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

    def log_density(self, z, offset=0.0):
        """Log density at z of each class plus an offset, (S, K, G)."""
        dof = PRIOR_DOF + self.count
        spread = self._squares * (1 + 1 / self._strength)
        distance = (z - self._location).square_().mul_(1 / spread)
        scale = _log_scale(dof, spread) + offset
        return distance.log1p_().mul_(-0.5 * (dof + 1)).add_(scale)

    def log_left_out(self, z, offset=0.0):
        """Log density at z of each class without one sample at z, (S, K, G)."""
        dof = PRIOR_DOF + self.count - 1
        growth = self._strength / (self._strength - 1)
        # no sample of the class can bring the squares below the prior's share, but
        # nodes between samples may: half of it keeps their bend away from samples
        most = 1 - 0.5 * PRIOR_DOF * self.pooled / self._squares
        lost = (z - self._location).square_().mul_(-growth / self._squares)
        remaining = torch.maximum(lost, -most, out=lost).log1p_()
        scale = _log_scale(dof, self._squares * growth) + offset
        return remaining.mul_(0.5 * dof).add_(scale)

    def coefficients(self, offset):
        """What `_kernels.tables` makes both log densities from, (S, K, 10)."""
        dof = PRIOR_DOF + self.count
        spread = self._squares * (1 + 1 / self._strength)
        growth = self._strength / (self._strength - 1)
        columns = (
            self._location,
            _log_scale(dof, spread) + offset,
            -0.5 * (dof + 1),
            1 / spread,
            self._location,
            _log_scale(dof - 1, self._squares * growth) + offset,
            0.5 * (dof - 1),
            self.mean.new_zeros(()),
            growth / self._squares,
            1 - 0.5 * PRIOR_DOF * self.pooled / self._squares,
        )
        return _side_by_side(columns)

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


def _side_by_side(columns):
    """Tensors (S, K, 1) that broadcast, as one array (S, K, len(columns))."""
    return torch.cat(torch.broadcast_tensors(*columns), -1).numpy()


def _log_scale(dof, spread):
    """Log of a Student t at its centre; `spread` is dof times the squared scale."""
    # two large numbers apart by little: float32 would lose 1e-3 nats at 10,000 samples
    half = 0.5 * dof.cpu().double()
    gammas = torch.lgamma(half + 0.5) - torch.lgamma(half)
    return gammas.to(spread) - 0.5 * (torch.pi * spread).log()


FEWEST_NODES = 128
MOST_NODES = 4096  # a slice that needs more is computed exactly
_CHUNK = 320_000  # elements of a temporary: a few MB, near the size of a CPU cache


def class_pmi(density, log_prior, z, *, left_out=False):
    """Pointwise mutual information between z and each label."""
    log_joint = density.log_density(z, log_prior)  # (S, K, G)
    if left_out:
        others = _log_of_others(log_joint)
        own = density.log_left_out(z, log_prior)
        # log(own / (own + others)) = -softplus(log others - log own), never above 0
        return torch.sub(-log_prior, softplus(others.sub_(own), threshold=40))
    log_posterior = log_joint - torch.logsumexp(log_joint, 1, keepdim=True)
    return log_posterior.clamp_(max=0).sub_(log_prior)


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


def tabulate(function, origin, step, n_nodes, most=None):
    """Values and differences of a function of z on the nodes of a grid."""
    nodes = torch.arange(n_nodes, dtype=origin.dtype, device=origin.device)
    values = function((origin[:, None] + step[:, None] * nodes)[:, None, :])
    table = torch.empty((*values.shape, 2), dtype=values.dtype, device=values.device)
    value, change = table[..., 0], table[..., 1]
    around = torch.add(values[..., :-2], values[..., 2:]).mul_(-1 / 12)
    torch.add(around, values[..., 1:-1], alpha=7 / 6, out=value[..., 1:-1])
    value[..., 0], value[..., -1] = values[..., 0], values[..., -1]
    if most is not None:
        torch.minimum(value, most, out=value)
    torch.sub(value[..., 1:], value[..., :-1], out=change[..., :-1])
    change[..., -1] = change[..., -2]
    return torch.view_as_complex(table).flatten(1)


def locate(Z, origin, step):
    """Cell of the grid that each projection falls in, and how far into it."""
    fraction = Z.sub_(origin[:, None]).mul_(1 / step[:, None])
    node = fraction.to(torch.int64)
    return node, fraction.sub_(node)


def read(table, node, fraction):
    """Interpolate linearly in a table of :func:`tabulate`."""
    cells = torch.gather(table, 1, node)
    return torch.addcmul(cells.real, cells.imag, fraction)


def chunks(length, width):
    """Slices that cover range(length), each of about _CHUNK / width."""
    step = max(1, _CHUNK // max(width, 1))
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))
