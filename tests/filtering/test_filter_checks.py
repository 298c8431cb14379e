"""Common checks of what acts on risk: scikit-learn's, and those of a sampler."""

import pytest
from imblearn.utils.estimator_checks import (
    parametrize_with_checks as parametrize_with_sampler_checks,
)
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from smilearn import FilteredEstimator, RiskFilter, RiskReweighter, SlicedMIScorer

PSMI = SlicedMIScorer(16, pooled=False, random_state=0)
SCALED = make_pipeline(StandardScaler(with_mean=False), PSMI)
CLEANER = RiskFilter(PSMI, share=0.1)

FILTERS = [
    RiskFilter(SlicedMIScorer(random_state=0)),
    RiskFilter(PSMI, share=0.2, by_class=True, min_per_class=3),
    RiskFilter(PSMI, alpha=0.1),
    RiskFilter(SCALED, n_remove=2),
]
META = [
    FilteredEstimator(LogisticRegression(), RiskFilter(SlicedMIScorer(random_state=0))),
    FilteredEstimator(make_pipeline(StandardScaler(), GaussianNB()), CLEANER),
    FilteredEstimator(PCA(1, random_state=0), CLEANER),
    RiskReweighter(LogisticRegression(), CLEANER),
    RiskReweighter(
        make_pipeline(StandardScaler(), LogisticRegression()), CLEANER, weight="hard"
    ),
]


@pytest.mark.filterwarnings("ignore::smilearn.exceptions.SmilearnWarning")
@parametrize_with_checks(FILTERS + META)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::smilearn.exceptions.SmilearnWarning")
@parametrize_with_sampler_checks(FILTERS)
def test_sampler_checks(estimator, check):
    check(estimator)
