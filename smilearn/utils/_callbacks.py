"""What scikit-learn's callbacks are told of a fit: the whole of it, and its parts."""

from contextlib import contextmanager

from sklearn.base import clone

from smilearn.utils._sklearn_compat import CallbackSupportMixin


class FitTask:
    """A fit that callbacks follow; `context` is None without any."""

    def __init__(self, estimator=None, context=None, X=None, y=None):
        self.estimator, self.context, self.X, self.y = estimator, context, X, y

    @contextmanager
    def part(self, name, **facts):
        """Tell callbacks of a part of the fit."""
        context = self.context.subcontext(task_name=name, max_subtasks=0)
        context.call_on_fit_task_begin(estimator=self.estimator)
        yield
        context.call_on_fit_task_end(estimator=self.estimator, **facts)


class FitTasks(CallbackSupportMixin):
    """Base of the estimators that callbacks can follow."""

    @contextmanager
    def _fit_task(self, X=None, y=None, *, most=0, fitted=dict, **metadata):
        """Tell callbacks of the whole fit; once a fit, inside `fit_context`."""
        if not {"_skl_callbacks", "_parent_callback_ctx"} & vars(self).keys():
            yield FitTask()
            return
        context = self._init_callback_context(max_subtasks=most)
        facts = {"estimator": self, "X": X, "y": y, "metadata": metadata}
        context.call_on_fit_task_begin(**facts)
        yield FitTask(self, context, X, y)
        context.call_on_fit_task_end(**facts, reconstruction_attributes=fitted)


def silent_clone(estimator):
    """Clone an estimator, without its callbacks: for work inside its own fit."""
    copy = clone(estimator)
    vars(copy).pop("_skl_callbacks", None)
    return copy
