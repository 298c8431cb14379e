"""scikit-learn's own checks, over every public estimator that takes arrays."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from smilearn import SlicedMIScorer

ESTIMATORS = [
    SlicedMIScorer(random_state=0),
    SlicedMIScorer(n_slices=32, pooled=False, density="gaussian", leave_one_out=False),
    SlicedMIScorer(32, contamination="permutation"),
]


def not_to_hold(estimator):
    """Copies get a shuffled label each, a weighted sample one for all."""
    name = "check_sample_weight_equivalence_on_{}_data"
    why = "labels are shuffled at random"
    if estimator.contamination != "permutation":
        return {}
    return {name.format(kind): why for kind in ("dense", "sparse")}


@pytest.mark.filterwarnings("ignore::smilearn.exceptions.ReliabilityWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=not_to_hold)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
