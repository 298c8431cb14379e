"""Slow, plain statements of what the fast code computes, and data to try both on."""

import numpy as np
from scipy.sparse import csr_array
from scipy.special import logsumexp
from scipy.stats import norm, t

from smilearn import SlicedMIScorer

PRIOR_DOF, PRIOR_COUNT, FLOOR, POOLED_FLOOR = 2.0, 1.0, 1e-4, 1e-6


def log_density(z, own, pooled, density, var=None):
    """Log density at z of a class that holds the projections `own`, of variance `var`.

    None takes their own variance.
    """
    n = len(own)
    mean, own_var = (own.mean(), own.var()) if n else (0.0, pooled)
    var = own_var if var is None else var
    if density == "gaussian":
        return norm.logpdf(z, mean, np.sqrt(max(var, FLOOR * pooled)))
    strength, dof = PRIOR_COUNT + n, PRIOR_DOF + n
    squares = PRIOR_DOF * pooled + (n * var if n else 0)
    squares += PRIOR_COUNT * n / strength * mean**2
    scale = np.sqrt(squares / dof * (1 + 1 / strength))
    return t.logpdf(z, dof, n * mean / strength, scale)


def psmi(X, y, directions, *, density="student", leave_one_out=True):
    """Score of each training sample, one slice, one sample, one class at a time."""
    X = np.asarray(X, np.float64)
    Z = (X - X.mean(0)) @ directions.T  # (n, S)
    labels, counts = np.unique(y, return_counts=True)
    log_prior = np.log(counts / len(y))
    scores = np.zeros(len(y))
    for z in Z.T:
        within = sum(((z[y == c] - z[y == c].mean()) ** 2).sum() for c in labels)
        freedom = len(y) - len(labels)
        pooled = within / freedom if freedom else z.var()
        pooled = max(pooled, POOLED_FLOOR * z.var())
        for i in range(len(y)):
            members = [(y == c) for c in labels]
            if leave_one_out:
                members = [m & (np.arange(len(y)) != i) for m in members]
            logs = [log_density(z[i], z[m], pooled, density) for m in members]
            own = int(np.flatnonzero(labels == y[i])[0])
            scores[i] += logs[own] - logsumexp(np.array(logs) + log_prior)
    return scores / len(directions)


def embeddings(seed, sizes=(60, 35, 12), n_features=6, apart=1.5):
    """Classes of unequal size and spread, float64."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(sizes)), sizes)
    centres = apart * rng.normal(size=(len(sizes), n_features))
    spread = 0.5 + rng.random(len(sizes))
    X = centres[y] + spread[y, None] * rng.normal(size=(len(y), n_features))
    return X, y


def fitted(X, y, **parameters):
    defaults = {"n_slices": 64, "random_state": 0, "pooled": False}
    return SlicedMIScorer(**defaults | parameters).fit(X, y)


def sparse_rows(rng, shape, density):
    """A sparse array of even numbers in [0, 1); of any SciPy that we support."""
    places = rng.choice(np.prod(shape), round(density * np.prod(shape)), replace=False)
    rows, columns = np.divmod(places, shape[1])
    return csr_array((rng.random(len(places)), (rows, columns)), shape=shape)


def rounding(dtype, factor):
    return factor * np.finfo(dtype).eps


def features(seed, shape=(300, 7)):
    """Features of different means and spreads within [-30, 30], float64."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, shape) * rng.uniform(0.1, 10, shape[1]) + np.arange(
        shape[1]
    )
