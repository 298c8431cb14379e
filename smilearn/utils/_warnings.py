"""Warnings that point to the line that called smilearn, however deep they come from."""

import sys
import warnings

_INNER = {"smilearn", "sklearn"}  # packages whose lines tell a user nothing


def warn(message, category):
    """Warn as of the nearest line outside of smilearn and scikit-learn."""
    frame, level = sys._getframe(1), 2
    while frame and frame.f_globals.get("__name__", "").partition(".")[0] in _INNER:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
