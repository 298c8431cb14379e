"""Risk tables that a person reads, joins and saves."""

from smilearn.tables._risk_table import RiskTable

__all__ = [
    "RiskTable",
]
