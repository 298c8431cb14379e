"""A risk table as a page, and pictures."""

from smilearn.report._displays import (
    EarlyPointDisplay,
    IntervalDisplay,
    RiskDisplay,
    SliceConvergenceDisplay,
)
from smilearn.report._report import write_report

__all__ = [
    "EarlyPointDisplay",
    "IntervalDisplay",
    "RiskDisplay",
    "SliceConvergenceDisplay",
    "write_report",
]
