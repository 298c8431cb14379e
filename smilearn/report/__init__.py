"""A risk table as a page."""

from smilearn.report._report import write_report

__all__ = ["write_report"]
