"""Choosing settings without ground truth (floor 2).

`score` of :class:`~smilearn.SlicedMIScorer` is the label contrast, so that
`GridSearchCV` over slices, families or densities works as it is. Here is what to hand
to its `refit`.
"""

from dataclasses import dataclass
from numbers import Real

import numpy as np

from smilearn.exceptions import InvalidInputError

__all__ = ["smallest_within"]


def smallest_within(tolerance=0.005, *, parameter="n_slices"):
    """Make a `refit` that takes the cheapest candidate about as good as the best.

    Contrast grows with the number of slices and then stays flat; what is beyond is
    time for nothing.

    Parameters
    ----------
    tolerance : float, default=0.005
        How far below the best mean test score a candidate may lie.

    parameter : str, default="n_slices"
        Parameter whose smallest value is wanted. The name of a step may stand before
        it (``"scorer__n_slices"``); without one, any step's parameter of that name is
        meant. Ties go to the better score.

    Returns
    -------
    refit : callable
        From `cv_results_` to the index of the candidate.

    Raises
    ------
    InvalidInputError
        If `tolerance` is negative or no number; on refit, if no score is finite or if
        not exactly one parameter has the name.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV, StratifiedKFold
    >>> from smilearn import SlicedMIScorer
    >>> from smilearn.model_selection import smallest_within
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 150)
    >>> X = rng.normal(size=(300, 8)) + y[:, None]
    >>> search = GridSearchCV(
    ...     SlicedMIScorer(random_state=0),
    ...     {"n_slices": [4, 16, 64, 256]},
    ...     cv=StratifiedKFold(3),
    ...     refit=smallest_within(0.01),
    ... ).fit(X, y)
    >>> search.best_params_["n_slices"] < 256
    True
    """
    if not (isinstance(tolerance, Real) and tolerance >= 0):
        raise InvalidInputError(
            f"tolerance must be a number that is not negative; got {tolerance!r}."
        )

    return _SmallestWithin(float(tolerance), parameter)


@dataclass(frozen=True)
class _SmallestWithin:
    """A class, as a search that holds a nested function could not be pickled."""

    tolerance: float
    parameter: str

    def __call__(self, cv_results):
        score = np.asarray(cv_results["mean_test_score"], float)
        if not np.isfinite(score).any():
            raise InvalidInputError(
                "No candidate has a finite mean test score; look at the warnings of "
                "the search, or pass error_score='raise' to it."
            )
        size = np.asarray(_values_of(cv_results, self.parameter), float)
        eligible = np.flatnonzero(score >= np.nanmax(score) - self.tolerance)
        order = np.lexsort((-score[eligible], size[eligible]))
        return int(eligible[order[0]])


def _values_of(cv_results, parameter):
    """Values of a parameter, one a candidate, found by the end of its name."""
    names = [name for name in cv_results if name.startswith("param_")]
    found = [
        name
        for name in names
        if name == f"param_{parameter}" or name.endswith(f"__{parameter}")
    ]
    if len(found) != 1:
        searched = sorted(name.removeprefix("param_") for name in names)
        raise InvalidInputError(
            f"Exactly one searched parameter must be named {parameter!r}; the search "
            f"is over {searched}."
        )
    values = list(cv_results[found[0]])
    if not all(isinstance(value, Real) for value in values):
        raise InvalidInputError(
            f"{parameter!r} must be a number in every candidate; got "
            f"{sorted({str(value) for value in values})}."
        )
    return values
