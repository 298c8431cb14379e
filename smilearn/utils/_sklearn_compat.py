"""The one door to scikit-learn's underscore names and newest parts.

A new scikit-learn that moves one of them breaks this file alone.
"""

from sklearn.base import _fit_context as fit_context
from sklearn.utils import _safe_indexing as take
from sklearn.utils._metadata_requests import _routing_enabled as routing_enabled
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils._param_validation import Interval as _Interval
from sklearn.utils._set_output import _safe_set_output as safe_set_output
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

try:  # experimental, new in scikit-learn 1.9
    from sklearn.callback import CallbackSupportMixin
except ImportError:

    class CallbackSupportMixin:
        """Nothing: this scikit-learn has no callbacks."""


class Interval(_Interval):
    """An interval of numbers, of which True and False are none."""

    def is_satisfied_by(self, val):
        """Tell whether a value is a number in the interval."""
        return not isinstance(val, bool) and super().is_satisfied_by(val)


__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "StrOptions",
    "check_sample_weight",
    "fit_context",
    "routing_enabled",
    "safe_set_output",
    "take",
]
