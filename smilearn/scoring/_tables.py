"""Pointwise mutual information of a projection: exactly, and by table.

For a given slice and class the pointwise mutual information (pmi, in nats) is a
function of one number, the projection z. So it is tabulated once per slice on a
uniform grid and looked up for each sample: the cost per sample no longer grows with
the number of classes. :func:`class_pmi` is the exact path; a table is that function
on the nodes of the grid, and the tests hold the two against each other.
"""

import numpy as np
import torch
from torch.nn.functional import softplus

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
