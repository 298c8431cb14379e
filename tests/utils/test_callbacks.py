"""scikit-learn's callbacks see a whole fit and its epochs, and change nothing in it."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilearn import FineTunedClassifier, FineTunedEmbedder, SlicedMIScorer

callback = pytest.importorskip("sklearn.callback", reason="new in scikit-learn 1.9")
ONE_FIT = ["setup fit", "begin fit", "end fit", "teardown fit"]


class Recorder:
    """Keeps what it is told, in order, and the estimator at the end of each task."""

    def __init__(self, *, failing_at=None):
        self.told, self.ended, self.failing_at = [], [], failing_at

    def setup(self, estimator, context):
        self.told.append(f"setup {context.task_name}")

    def teardown(self, estimator, context):
        self.told.append(f"teardown {context.task_name}")

    def on_fit_task_begin(self, estimator, context):
        self.told.append(f"begin {context.task_name}")
        if context.task_name == self.failing_at:
            raise RuntimeError("told to fail")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None, X, y):
        self.told.append(f"end {context.task_name}")
        self.ended.append((fitted_estimator, X, y))


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 150)
    return rng.normal(size=(300, 20)) + 0.6 * y[:, None], y


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"pooled": False},
        {"contamination": "permutation"},
    ],
    ids=str,
)
def test_a_scorer_tells_of_one_fit(samples, parameters):
    """Not of its members, nor of fits to shuffled labels; no score changes."""
    recorder = Recorder()
    plain = SlicedMIScorer(50, random_state=0, **parameters).fit(*samples)
    followed = clone(plain).set_callbacks(recorder).fit(*samples)
    assert recorder.told == ONE_FIT
    np.testing.assert_array_equal(followed.scores_, plain.scores_)
    ((fitted, X, y),) = recorder.ended
    assert fitted.score(X, y) == plain.score(*samples)


def test_several_labels_are_one_fit_and_streams_tell_of_nothing(samples):
    X, y = samples
    scorer = SlicedMIScorer(8, random_state=0)
    indicators, stream = Recorder(), Recorder()
    clone(scorer).set_callbacks(indicators).fit(X, np.stack([y, 1 - y], 1))
    assert indicators.told == ONE_FIT
    scorer.set_callbacks(stream).fit_batches([(X[::2], y[::2])] * 2)
    assert stream.told == []


def test_a_fit_that_fails_is_torn_down(samples):
    recorder = Recorder(failing_at="fit")
    scorer = SlicedMIScorer(8).set_callbacks(recorder)
    with pytest.raises(RuntimeError, match="told to fail"):
        scorer.fit(*samples)
    assert recorder.told == ["setup fit", "begin fit", "teardown fit"]


def test_a_progress_bar_is_shown_of_a_pipeline(samples, capsys):
    pytest.importorskip("rich")
    pipeline = make_pipeline(StandardScaler(), SlicedMIScorer(8, random_state=0))
    pipeline.set_callbacks(callback.ProgressBar(max_propagation_depth=None))
    pipeline.fit(*samples)
    assert "SlicedMIScorer - fit" in capsys.readouterr().out


TEXTS = ["the film was good", "a bright scene", "the plot was awful", "a dull actor"]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("kind", [FineTunedClassifier, FineTunedEmbedder])
def test_epochs_to_the_early_point_are_tasks(tiny_encoder, kind):
    recorder, texts, labels = Recorder(), TEXTS * 4, [1, 1, 0, 0] * 4
    rule = {"early_point": "epochs", "stop_epoch": 1.5, "max_epochs": 3}
    plain = kind(tiny_encoder, batch_size=4, random_state=0, device="cpu", **rule)
    plain.fit(texts, labels)
    followed = clone(plain).set_callbacks(recorder).fit(texts, labels)
    np.testing.assert_array_equal(followed.logits_, plain.logits_)
    epochs = ["begin epoch", "end epoch"] * 2
    assert recorder.told == [*ONE_FIT[:2], *epochs, *ONE_FIT[2:]]
    for fitted, X, y in recorder.ended:
        assert (list(X), y.tolist()) == (texts, labels)
        if kind is FineTunedEmbedder:
            assert fitted.transform(texts).shape == (16, 16)
        else:
            assert fitted.predict_proba(texts).shape == (16, 2)
