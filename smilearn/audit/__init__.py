"""Was the score right? Shadow models, attacks, audits of filters, comparisons."""

from smilearn.audit._audit import ShadowAudit
from smilearn.audit._comparison import ScorerComparison, compare_scorers
from smilearn.audit._filter_audit import FilterAudit, audit_filter
from smilearn.audit._model_selection import memorized_scorer, smallest_within

__all__ = [
    "FilterAudit",
    "ScorerComparison",
    "ShadowAudit",
    "audit_filter",
    "compare_scorers",
    "memorized_scorer",
    "smallest_within",
]
