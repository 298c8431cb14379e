"""scikit-learn's callbacks see the tasks of a fit, and change nothing in it."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone

from smilearn import FineTunedClassifier, FineTunedEmbedder, SlicedMIScorer
from smilearn.utils._callbacks import STRIDE, FitTask, SliceParts, n_parts

callback = pytest.importorskip("sklearn.callback", reason="new in scikit-learn 1.9")


class Recorder:
    """Keeps what it is told, in order."""

    def __init__(self, *, failing_at=None):
        self.told, self.most, self.failing_at = [], {}, failing_at

    def setup(self, estimator, context):
        self.told.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.told.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context):
        self.told.append(("begin", context.task_name))
        self.most[context.task_name] = context.max_subtasks
        if context.task_name == self.failing_at:
            raise RuntimeError("told to fail")

    def on_fit_task_end(self, estimator, context):
        self.told.append(("end", context.task_name))

    def ended(self, name):
        return self.told.count(("end", name))


class Keeper(Recorder):
    """Keeps the estimator as if it were fitted, at the end of each task."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None, X, y):
        name = context.task_name
        self.told.append((name, fitted_estimator, X, y))


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 150)
    return rng.normal(size=(300, 70)) + 0.6 * y[:, None], y


def isotropic(n_slices=100, **options):
    return SlicedMIScorer(n_slices, slicing="isotropic", random_state=0, **options)


@pytest.mark.parametrize("slicing", ["isotropic", "principal"])
@pytest.mark.parametrize("n_slices", [1, STRIDE, STRIDE + 1, 200])
def test_slices_are_told_of_some_at_a_time(samples, slicing, n_slices):
    recorder = Recorder()
    scorer = SlicedMIScorer(n_slices, slicing=slicing, random_state=0)
    scorer.set_callbacks(recorder).fit(*samples)
    n_tasks = -(-n_slices // 64)
    assert recorder.told == [
        ("setup", "fit"),
        ("begin", "fit"),
        *[("begin", "slices"), ("end", "slices")] * n_tasks,
        ("end", "fit"),
        ("teardown", "fit"),
    ]
    assert recorder.most == {"fit": n_tasks, "slices": 0}


def test_the_number_of_tasks_does_not_hang_on_the_blocks(samples):
    for block_size in (7, 64, 1000):
        recorder = Recorder()
        scorer = isotropic(150, block_size=block_size)
        scorer.set_callbacks(recorder).fit(*samples)
        assert recorder.ended("slices") == 3


def test_automatic_slices_end_by_their_number(samples):
    recorder = Recorder()
    scorer = isotropic("auto", max_slices=1024).set_callbacks(recorder).fit(*samples)
    assert recorder.most["fit"] == 1024 // STRIDE
    assert recorder.ended("slices") == n_parts(scorer.n_slices_)


@pytest.mark.parametrize("sparse", [False, True])
def test_members_of_the_mixture_are_tasks(samples, sparse):
    X, y = samples
    recorder = Recorder()
    scorer = SlicedMIScorer(100, random_state=0).set_callbacks(recorder)
    scorer.fit(csr_array(X) if sparse else X, y)
    assert recorder.most["fit"] == len(scorer.members_) == 5 - 2 * sparse
    for name, member in scorer.members_.items():
        assert recorder.ended(name) == 1
        expected = n_parts(member.n_slices_) if member.n_slices_ > 1 else 0
        if name != "discriminant":
            assert recorder.most[name] >= expected
    assert recorder.ended("slices") == sum(
        n_parts(scorer.members_[name].n_slices_)
        for name in scorer.members_
        if name not in ("discriminant", "joint")
    )


@pytest.mark.parametrize("slicing", ["whitened", "discriminant", "joint"])
def test_families_without_parts_are_one_task(samples, slicing):
    recorder = Recorder()
    SlicedMIScorer(8, slicing=slicing).set_callbacks(recorder).fit(*samples)
    assert recorder.told == [
        ("setup", "fit"),
        ("begin", "fit"),
        ("end", "fit"),
        ("teardown", "fit"),
    ]


def test_labels_of_samples_with_several_are_tasks(samples):
    X, y = samples
    Y = np.stack(
        [y, np.arange(300) % 2, np.ones(300, int)], 1
    )  # the last tells nothing
    recorder = Recorder()
    isotropic(8).set_callbacks(recorder).fit(X, Y)
    assert recorder.most["fit"] == 2
    assert [name for hook, name in recorder.told if hook == "begin"] == [
        "fit",
        "label 0",
        "label 1",
    ]
    assert recorder.told.count(("setup", "fit")) == 1


def test_fits_to_shuffled_labels_are_nobodys_business(samples):
    recorder = Recorder()
    scorer = isotropic(contamination="permutation").set_callbacks(recorder)
    scorer.fit(*samples)
    assert recorder.told.count(("setup", "fit")) == 1
    assert recorder.ended("slices") == 2


def test_streams_tell_of_nothing(samples):
    recorder = Recorder()
    X, y = samples
    scorer = isotropic().set_callbacks(recorder).fit_batches([(X[::2], y[::2])] * 2)
    assert recorder.told == []
    assert scorer.n_slices_ == 100


@pytest.mark.parametrize("slicing", ["isotropic", "adaptive"])
def test_callbacks_change_no_score(samples, slicing):
    plain = SlicedMIScorer(100, slicing=slicing, random_state=0).fit(*samples)
    followed = clone(plain).set_callbacks(Recorder()).fit(*samples)
    assert (plain.scores_ == followed.scores_).all()


def test_members_keep_no_callbacks(samples):
    scorer = SlicedMIScorer(8, random_state=0).set_callbacks(Recorder()).fit(*samples)
    assert hasattr(scorer, "_skl_callbacks")
    for member in scorer.members_.values():
        assert not hasattr(member, "_skl_callbacks")


def test_a_fit_that_fails_is_torn_down(samples):
    recorder = Recorder(failing_at="slices")
    scorer = isotropic().set_callbacks(recorder)
    with pytest.raises(RuntimeError, match="told to fail"):
        scorer.fit(*samples)
    assert recorder.told[-1] == ("teardown", "fit")
    assert ("end", "fit") not in recorder.told
    assert not hasattr(scorer, "_callback_fit_ctx")


def test_the_end_of_the_fit_gives_a_fitted_scorer(samples):
    keeper = Keeper()
    scorer = isotropic().set_callbacks(keeper).fit(*samples)
    _, fitted, X, y = next(entry for entry in keeper.told if entry[0] == "fit")
    assert fitted.score(X, y) == scorer.score(*samples)
    assert all(told[1] is None for told in keeper.told if told[0] == "slices")


def test_the_label_contrast_is_monitored(samples):
    def contrast(estimator, X, y, sample_weight=None):
        return estimator.score(X, y, sample_weight)

    monitor = callback.ScoringMonitor(scoring={"contrast": contrast})
    scorer = isotropic().set_callbacks(monitor).fit(*samples)
    (log,) = monitor.get_logs(select="all")
    assert scorer.score(*samples) in [entry["contrast"] for entry in log.data]


def test_a_progress_bar_is_shown_of_a_pipeline(samples, capsys):
    pytest.importorskip("rich")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(StandardScaler(), SlicedMIScorer(8, random_state=0))
    pipeline.set_callbacks(callback.ProgressBar(max_propagation_depth=None))
    pipeline.fit(*samples)
    shown = capsys.readouterr().out
    assert "SlicedMIScorer - fit" in shown
    assert "SlicedMIScorer - isotropic #4" in shown


def test_parts_are_counted_over_blocks_of_any_length():
    class Task(FitTask):
        def part(self, name):
            parts.append(name)
            return super().part(name)

    parts = []
    slices = SliceParts(Task())
    for n_slices, expected in [(63, 0), (1, 1), (200, 4), (0, 4)]:
        slices.add(n_slices)
        assert len(parts) == expected
    slices.finish()
    slices.finish()
    assert len(parts) == 5


TEXTS = ["the film was good", "a bright scene", "the plot was awful", "a dull actor"]


@pytest.fixture
def tuning(tiny_encoder, one_thread):
    return {
        "model": tiny_encoder,
        "max_epochs": 3,
        "batch_size": 4,
        "random_state": 0,
        "device": "cpu",
    }


def test_epochs_of_a_classifier_are_tasks(tuning):
    keeper = Keeper()
    classifier = FineTunedClassifier(**tuning, early_point=None)
    classifier.set_callbacks(keeper).fit(TEXTS * 4, [1, 1, 0, 0] * 4)
    assert keeper.most == {"fit": 3, "epoch": 0}
    names = [told[0] for told in keeper.told]
    assert names == ["setup", "begin", *["begin", "epoch"] * 3, "fit", "teardown"]
    _, fitted, X, y = next(told for told in keeper.told if told[0] == "epoch")
    assert list(X) == TEXTS * 4
    assert y.tolist() == [1, 1, 0, 0] * 4
    assert fitted.predict_proba(X).shape == (16, 2)


def test_an_embedder_is_told_of_to_its_early_point(tuning):
    keeper = Keeper()
    embedder = FineTunedEmbedder(**tuning, early_point="epochs", stop_epoch=1.5)
    X = embedder.set_callbacks(keeper).fit_transform(TEXTS * 4, [1, 1, 0, 0] * 4)
    ends = [
        told for told in keeper.told if told[0] in ("epoch", "fit") and len(told) > 2
    ]
    assert [told[0] for told in ends] == ["epoch", "epoch", "fit"]
    assert np.allclose(ends[-1][1].transform(TEXTS * 4), X, atol=1e-5)
    assert np.allclose(ends[1][1].transform(TEXTS * 4), X, atol=1e-5)


def test_callbacks_change_no_training(tuning):
    labels = [1, 1, 0, 0] * 4
    plain = FineTunedClassifier(**tuning, early_point=None).fit(TEXTS * 4, labels)
    followed = clone(plain).set_callbacks(Keeper()).fit(TEXTS * 4, labels)
    assert (plain.logits_ == followed.logits_).all()


WITHOUT = """
import numpy as np
import sklearn.callback
import sklearn.linear_model, sklearn.model_selection, sklearn.pipeline
import sklearn.preprocessing
del sklearn.callback.CallbackSupportMixin  # as before 1.9
from smilearn import SlicedMIScorer
from smilearn.utils._sklearn_compat import CallbackSupportMixin
assert CallbackSupportMixin.__module__ == "smilearn.utils._sklearn_compat"
y = np.repeat([0, 1], 50)
X = np.random.default_rng(0).normal(size=(100, 4)) + y[:, None]
scorer = SlicedMIScorer(8, random_state=0, contamination="permutation").fit(X, y)
assert scorer.scores_.shape == (100,)
print(hasattr(scorer, "set_callbacks"))
"""


def test_an_older_scikit_learn_has_no_callbacks_and_needs_none():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False"]
