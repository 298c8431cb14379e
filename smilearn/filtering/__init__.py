"""From scores to a smaller or reweighted training set."""

from smilearn.filtering._filter import RiskFilter
from smilearn.filtering._filtered_estimator import FilteredEstimator
from smilearn.filtering._pipelines import score_samples
from smilearn.filtering._reweighter import RiskReweighter

__all__ = ["FilteredEstimator", "RiskFilter", "RiskReweighter", "score_samples"]
