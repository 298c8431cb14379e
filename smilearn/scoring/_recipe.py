"""How a model is fitted to sums: parameters of a scorer, and its slices."""

from dataclasses import dataclass, replace

import numpy as np

from smilearn.scoring._directions import SliceDirections
from smilearn.scoring._points import MOST_FEATURES, projection_for
from smilearn.scoring._reader import Settings
from smilearn.utils._random import generator_from

_SMALL = 2**20  # numbers, for which double precision costs next to nothing
_STREAM_SLICES = 1024  # for "auto": in partial_fit no ranking tells when to stop


@dataclass(frozen=True)
class Recipe:
    """Parameters that answers depend on, as they were when a fit began."""

    density: str
    dtype: str
    pooled: bool
    leave_one_out: bool
    orthogonal: bool
    projection: np.ndarray | None
    directions: np.ndarray | None = None
    fixed: object = None  # a model whose pool and shrinkage are taken over

    @property
    def block_length(self):
        """Slices in an orthonormal block."""
        return self.directions.shape[1] if self.orthogonal else 1

    @property
    def n_features(self):
        """Features of the samples, before any projection."""
        axes = self.directions if self.projection is None else self.projection
        return axes.shape[1]

    @property
    def slices(self):
        """Slices in the space of the features, (S, n_features)."""
        if self.projection is None:
            return self.directions
        rows = self.directions @ self.projection  # a sparse one keeps no lengths
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def settings(self, device, block_size):
        """Settings of a pass on some device."""
        dtype = "float32" if device.type == "mps" else self.dtype
        return Settings(self.density, device, dtype, block_size)


def recipe_of(scorer, n_features, size=np.inf):
    """Recipe of a fit to `size` numbers, and the slices to draw from."""
    seed = fixed_seed(scorer.random_state)
    dtype = "float64" if size <= _SMALL else "float32"
    recipe = Recipe(
        density=scorer.density,
        dtype=dtype if scorer.dtype == "auto" else scorer.dtype,
        pooled=scorer.pooled,
        leave_one_out=scorer.leave_one_out,
        orthogonal=scorer.orthogonal,
        projection=projection_for(n_features, seed),
        fixed=getattr(scorer, "_pool_of", None),
    )
    rng, n_axes = generator_from(seed, "slices"), min(n_features, MOST_FEATURES)
    return recipe, SliceDirections(n_axes, rng, orthogonal=scorer.orthogonal)


def stream_recipe(scorer, n_features):
    """Recipe by which samples are added: that of the fit, or as many slices as asked"""
    if hasattr(scorer, "recipe_"):
        return scorer.recipe_
    recipe, directions = recipe_of(scorer, n_features)
    wanted = min(_STREAM_SLICES, scorer.max_slices)
    wanted = wanted if scorer.n_slices == "auto" else scorer.n_slices
    return replace(
        recipe, directions=directions.first(1 if n_features == 1 else wanted)
    )


def fixed_seed(state):
    """An int that gives the same streams each time one is asked for."""
    if isinstance(state, np.random.Generator):
        return int(state.integers(2**63))
    if isinstance(state, np.random.RandomState):
        return int(state.randint(2**32, dtype=np.uint64))
    return int(np.random.SeedSequence().entropy) if state is None else state
