"""Scores with labels, through whatever a scorer is wrapped in."""

import numpy as np
import pytest
from imblearn.pipeline import Pipeline as ImblearnPipeline
from imblearn.under_sampling import RandomUnderSampler
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import smilearn
from smilearn import SlicedMIScorer
from smilearn.exceptions import InvalidInputError

SCORER = SlicedMIScorer(32, pooled=False, random_state=0)
rng = np.random.default_rng(0)
Y = np.arange(60) % 3
X = rng.normal(size=(60, 5)) + Y[:, None]
SCALED = StandardScaler().fit_transform(X)
DIRECT = clone(SCORER).fit(SCALED, Y)
NEW, NAMES = X + 0.3, (Y + 1) % 3
EXPECTED = DIRECT.score_samples(StandardScaler().fit(X).transform(NEW), NAMES)


def pipeline():
    return make_pipeline(StandardScaler(), SCORER)


WRAPPED = {
    "pipeline": pipeline,
    "pipeline of pipelines": lambda: make_pipeline("passthrough", pipeline()),
    "search": lambda: GridSearchCV(
        pipeline(), {"slicedmiscorer__n_slices": [32]}, cv=2
    ),
    "frozen": lambda: FrozenEstimator(pipeline().fit(X, Y)),
    "frozen step": lambda: make_pipeline(FrozenEstimator(pipeline().fit(X, Y))),
}


@pytest.mark.parametrize("make", WRAPPED.values(), ids=WRAPPED)
def test_the_labels_reach_the_scorer(make):
    scores = smilearn.score_samples(make().fit(X, Y), NEW, NAMES)
    np.testing.assert_allclose(scores, EXPECTED, rtol=1e-9)


def test_samplers_let_samples_pass():
    sampler = RandomUnderSampler(random_state=0)
    steps = [("scale", StandardScaler()), ("some", sampler), ("score", clone(SCORER))]
    fitted = ImblearnPipeline(steps).fit(X, Y)
    expected = fitted["score"].score_samples(fitted["scale"].transform(NEW), NAMES)
    np.testing.assert_array_equal(smilearn.score_samples(fitted, NEW, NAMES), expected)


def test_without_labels_the_best_label_counts():
    fitted = pipeline().fit(X, Y)
    new = fitted[0].transform(NEW)
    under = [fitted[-1].score_samples(new, np.full(len(new), k)) for k in range(3)]
    best = np.max(under, 0)
    np.testing.assert_allclose(smilearn.score_samples(fitted, NEW), best)
    np.testing.assert_allclose(fitted.score_samples(NEW), best)


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (
            LogisticRegression(),
            "ends in LogisticRegression, which has no score_samples",
        ),
        (KernelDensity(), "KernelDensity.score_samples takes no labels"),
    ],
)
def test_other_estimators_are_named(last, said):
    fitted = make_pipeline(StandardScaler(), last).fit(X, Y)
    with pytest.raises(InvalidInputError, match=said):
        smilearn.score_samples(fitted, NEW, NAMES)
