"""A warning names the line of the user, however deep it comes from."""

import numpy as np
import pytest

from smilearn import SlicedMIScorer
from smilearn.exceptions import (
    LowSupportWarning,
    ReliabilityWarning,
    SimilarLabelsWarning,
)

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 4)), np.repeat(["a", "b"], 30)


def fit_similar():
    SlicedMIScorer(8).fit(X, np.where(RNG.random(60) < 0.5, "A", Y))


def fit_unreliable():
    SlicedMIScorer(max_slices=2, random_state=0).fit(X, RNG.permutation(Y))


def score_unknown():
    scorer = SlicedMIScorer(8).fit(X[:59], Y[:59])
    scorer.score(X, np.append(Y[:59], "c"))


@pytest.mark.parametrize(
    ("call", "category"),
    [
        (fit_similar, SimilarLabelsWarning),
        (fit_unreliable, ReliabilityWarning),
        (score_unknown, LowSupportWarning),
    ],
)
def test_a_warning_names_the_line_of_the_user(call, category):
    with pytest.warns(category) as caught:
        call()
    assert {each.filename for each in caught} == {__file__}
