"""Slow, plain statements of what the fast code computes, and data to try both on."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import log_softmax, logsumexp
from scipy.stats import norm, t

from smilearn import SlicedMIScorer

POOLED = pytest.mark.parametrize("pooled", [True, False])
PRIOR_DOF, PRIOR_COUNT, FLOOR, POOLED_FLOOR = 4.0, 1.0, 1e-4, 1e-6


def log_density(z, own, pooled, density, weight=None):
    """Log density at z of a class that holds the projections `own`."""
    weight = np.ones(len(own)) if weight is None else weight
    n = weight.sum()
    mean = weight @ own / n if n > 0 else 0.0
    var = weight @ (own - mean) ** 2 / n if n > 0 else pooled
    if density == "gaussian":
        return norm.logpdf(z, mean, np.sqrt(max(var, FLOOR * pooled)))
    strength, dof = PRIOR_COUNT + n, PRIOR_DOF + n
    squares = PRIOR_DOF * pooled + (n * var if n else 0)
    squares += PRIOR_COUNT * n / strength * mean**2
    scale = np.sqrt(squares / dof * (1 + 1 / strength))
    return t.logpdf(z, dof, n * mean / strength, scale)


def pooled_variance(z, y, weight):
    """Pooled within-class variance of centred projections."""
    whole = weight @ z**2 / weight.sum()
    within = freedom = 0.0
    for c in np.unique(y):
        own, w = z[y == c], weight[y == c]
        within += w @ (own - w @ own / w.sum()) ** 2
        freedom += max(w.sum() - 1, 0)
    return max(within / freedom if freedom else whole, POOLED_FLOOR * whole)


def slice_tables(
    X, y, directions, *, density="student", leave_one_out=True, weight=None
):
    """Mean log density under each label, (n, K), and the PSMI of each sample, (n,).

    One slice, one sample, one class at a time; the centre and the pooled variance are
    held. Of a weight that is not a whole number, all is left out, else one copy.
    """
    X, labels = np.asarray(X, np.float64), np.unique(y)
    weight = np.ones(len(y)) if weight is None else weight
    copy = np.minimum(weight, 1) if (weight % 1 == 0).all() else weight
    Z = (X - weight @ X / weight.sum()) @ directions.T  # (n, S)
    table, psmi = np.zeros((len(y), len(labels))), np.zeros(len(y))
    for z in Z.T:
        pooled = pooled_variance(z, y, weight)
        for i in range(len(y)):
            left = weight.copy()
            left[i] -= copy[i] if leave_one_out else 0
            parts = [(z[y == c], left[y == c]) for c in labels]
            logs = [log_density(z[i], own, pooled, density, w) for own, w in parts]
            count = np.array([w.sum() for _, w in parts])
            held = count > 1e-9
            log_share = np.log(count[held] / left.sum())
            own = int(np.flatnonzero(labels == y[i])[0])
            # a class without others has no share of its own left
            psmi[i] += logs[own] - logsumexp(np.array(logs)[held] + log_share)
            table[i] += logs
    return table / len(directions), psmi / len(directions)


def psmi(X, y, directions, **options):
    """PSMI of each training sample."""
    return slice_tables(X, y, directions, **options)[1]


def lda_distances(points, X, y, shrinkage, *, weight=None, held=None, divisor=None):
    """Minus the Mahalanobis distance of points from each class of X, (n, K).

    `held` is the middle of all and the trace of the within-class scatter where these
    are not of X; `divisor` that of the scatter, by default ``n - K``.
    """
    weight = np.ones(len(y)) if weight is None else weight
    labels, d = np.unique(y), X.shape[1]
    scatter, centres = np.zeros((d, d)), []
    middle = weight @ X / weight.sum() if held is None else held[0]
    for c in labels:
        own, w = X[y == c] - middle, weight[y == c]
        apart = own - w @ own / max(w.sum(), 1e-300)
        scatter += (w[:, None] * apart).T @ apart
        centres.append(w @ own / (w.sum() + 1))  # and one sample in the middle
    trace = np.trace(scatter) if held is None else held[1]
    divisor = weight.sum() - len(labels) if divisor is None else divisor
    shrunk = (1 - shrinkage) * scatter + shrinkage * trace / d * np.eye(d)
    apart = (points - middle)[:, None] - np.array(centres)
    whitened = np.linalg.solve(shrunk / divisor, apart.reshape(-1, d).T).T
    return -np.sqrt((apart * whitened.reshape(apart.shape)).sum(2))


def left_out_distances(X, y, shrinkage, *, weight=None, held=True):
    """The same of each training sample, by refits without it, (n, K)."""
    weight = np.ones(len(y)) if weight is None else weight
    copy = np.minimum(weight, 1) if (weight % 1 == 0).all() else weight
    middle = weight @ X / weight.sum()
    trace = 0.0
    for c in np.unique(y):
        own, w = X[y == c], weight[y == c]
        trace += (w @ (own - w @ own / w.sum()) ** 2).sum()
    rows = []
    for i in range(len(y)):
        left = weight.copy()
        left[i] -= copy[i]
        options = {"weight": left, "held": (middle, trace) if held else None}
        # a class of one stays, as one without samples
        divisor = left.sum() - len(np.unique(y))
        rows.append(lda_distances(X[[i]], X, y, shrinkage, divisor=divisor, **options))
    return np.concatenate(rows)


def log_posterior(scorer, lda, slices=0.0):
    """Log probability of each label, (n, K), by the weights of a scorer's pool."""
    weights = scorer.pool_["weights"]
    logits = weights["lda"] * lda + weights["prior"] * np.log(scorer.class_prior_)
    return log_softmax(logits + weights["slices"] * slices, axis=1)


def embeddings(seed, sizes=(60, 35, 12), n_features=6, apart=1.5):
    """Classes of unequal size and spread, float64."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(sizes)), sizes)
    centres = apart * rng.normal(size=(len(sizes), n_features))
    spread = 0.5 + rng.random(len(sizes))
    X = centres[y] + spread[y, None] * rng.normal(size=(len(y), n_features))
    return X, y


def halves(seed, sizes=(160, 110, 60), n_features=8, **options):
    """Samples to fit and others of the same classes, mixed."""
    X, y = embeddings(seed, sizes, n_features, **options)
    mixed = np.random.default_rng(seed).permutation(len(y))
    X, y, half = X[mixed], y[mixed], len(y) // 2
    return (X[:half], y[:half]), (X[half:], y[half:])


def wide_and_narrow(seed, n_classes=2, size=200, n_features=12):
    """Classes with one middle and two spreads, which only slices can tell apart."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_classes * size) % n_classes
    middle = rng.normal(size=(n_classes // 2, n_features))
    spread = np.where(y % 2 == 1, 3.0, 1.0)
    return middle[y // 2] + spread[:, None] * rng.normal(size=(len(y), n_features)), y


def fitted(X, y, **parameters):
    defaults = {"n_slices": 64, "random_state": 0}
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
