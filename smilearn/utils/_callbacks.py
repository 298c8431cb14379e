"""A fit as a tree of tasks, which scikit-learn's callbacks are told of."""

from contextlib import ExitStack, contextmanager

from sklearn.base import clone
from transformers import TrainerCallback

from smilearn.utils._sklearn_compat import CallbackSupportMixin

STRIDE = 64  # slices in a task: the hooks cost next to nothing, the bar moves


class FitTask:
    """A task, or none: without callbacks nothing is told and nothing is kept."""

    def __init__(self, estimator=None, context=None, X=None, y=None):
        self.estimator, self.context, self.X, self.y = estimator, context, X, y

    @contextmanager
    def part(self, name, most=0, **facts):
        """Work on a part of this task."""
        if self.context is None:
            yield self
            return
        context = self.context.subcontext(task_name=name, max_subtasks=most)
        context.call_on_fit_task_begin(estimator=self.estimator)
        yield FitTask(self.estimator, context, self.X, self.y)
        context.call_on_fit_task_end(estimator=self.estimator, **facts)

    def slices(self):
        """Parts of `STRIDE` slices each, that are told of as they are done."""
        return SliceParts(self)


class SliceParts:
    """Parts of a task that are done in blocks of another length."""

    def __init__(self, task):
        self.task, self.n_slices, self.n_told = task, 0, 0

    def add(self, n_slices):
        """Count more slices as done, and tell of the parts that are complete."""
        self.n_slices += n_slices
        self._tell(self.n_slices // STRIDE)

    def finish(self):
        """Tell of the last part, where it is shorter."""
        self._tell(n_parts(self.n_slices))

    def _tell(self, n_done):
        for _ in range(self.n_told, n_done):
            with self.task.part("slices"):
                self.n_told += 1


def n_parts(n_slices):
    """Parts that some slices are told of in."""
    return -(-n_slices // STRIDE)


class FitTasks(CallbackSupportMixin):
    """The part of an estimator that tells callbacks how far its fit is."""

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


class EpochTasks(TrainerCallback):
    """Tell of each epoch, or of the part of one before the early point."""

    def __init__(self, follow, fitted):
        self.follow, self.fitted, self.epoch = follow, fitted, ExitStack()

    def on_epoch_begin(self, args, state, control, **kwargs):
        """Begin the task of an epoch."""
        facts = {"X": self.follow.X, "y": self.follow.y}
        part = self.follow.part("epoch", **facts, reconstruction_attributes=self.fitted)
        self.epoch.enter_context(part)

    def on_epoch_end(self, args, state, control, **kwargs):
        """End it."""
        self.epoch.close()
