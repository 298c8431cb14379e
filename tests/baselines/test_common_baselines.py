"""scikit-learn's own checks, over the rivals that are estimators."""

import pytest
from sklearn.naive_bayes import GaussianNB
from sklearn.utils.estimator_checks import parametrize_with_checks

from smilearn.baselines import (
    LDAScorer,
    LeverageScorer,
    MahalanobisScorer,
    NeighborScorer,
    ProbeScorer,
)

ESTIMATORS = [
    LDAScorer(),
    MahalanobisScorer(cross_fit=None),
    NeighborScorer(5, weights="distance", metric="manhattan"),
    LeverageScorer(link="softmax"),
    ProbeScorer(GaussianNB(), kind="el2n", cross_fit=3),
]
OTHER_PARAMETERS = [
    LDAScorer(cross_fit=None, shrinkage=0.5),
    MahalanobisScorer(),
    NeighborScorer(),
    LeverageScorer(),
    ProbeScorer(),
    ProbeScorer(kind="loss", cross_fit=None),
    ProbeScorer(kind="entropy"),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(OTHER_PARAMETERS)
def test_scikit_learn_checks_with_other_parameters(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_each_links_to_its_page(estimator):
    name = type(estimator).__name__
    assert estimator._get_doc_link().endswith(f"/api/smilearn.baselines.{name}.html")
