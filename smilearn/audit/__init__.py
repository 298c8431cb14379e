"""Was the score right? Shadow models, attacks, audits of filters, comparisons."""

from smilearn.audit._audit import ShadowAudit
from smilearn.audit._comparison import ScorerComparison, compare_scorers
from smilearn.audit._model_selection import memorized_scorer, smallest_within
from smilearn.audit._protection import ProtectionAudit, audit_protection

__all__ = [
    "ProtectionAudit",
    "ScorerComparison",
    "ShadowAudit",
    "audit_protection",
    "compare_scorers",
    "memorized_scorer",
    "smallest_within",
]
