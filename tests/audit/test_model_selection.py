"""The cheapest candidate about as good as the best."""

import pickle

import numpy as np
import pytest
from oracles import embeddings
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilearn import SlicedMIScorer
from smilearn.audit import smallest_within
from smilearn.exceptions import InvalidInputError


def results(scores, sizes, name="n_slices", **more):
    return {"mean_test_score": np.array(scores), f"param_{name}": sizes} | more


@pytest.mark.parametrize(
    ("tolerance", "chosen"), [(0.0, 2), (0.01, 1), (0.05, 1), (0.2, 0), (1, 0)]
)
def test_takes_the_smallest_within_the_tolerance(tolerance, chosen):
    searched = results([0.7, 0.85, 0.86, 0.8555], [16, 64, 256, 1024])
    assert smallest_within(tolerance)(searched) == chosen


def test_ties_go_to_the_better_score():
    searched = results([0.80, 0.81, 0.805], [64, 64, 64])
    assert smallest_within(0.1)(searched) == 1


def test_failed_candidates_are_passed_over():
    assert smallest_within(0.1)(results([np.nan, 0.6, 0.65], [1, 2, 3])) == 1


@pytest.mark.parametrize("tolerance", [-0.1, np.nan, "a", None])
def test_a_tolerance_is_a_number_that_is_not_negative(tolerance):
    with pytest.raises(InvalidInputError, match="not negative; got"):
        smallest_within(tolerance)


@pytest.mark.parametrize(
    ("searched", "message"),
    [
        (results([np.nan], [1]), "No candidate has a finite mean test score"),
        (results([1.0], [1], "density"), r"named 'n_slices'.* over \['density'\]"),
        (
            results([1.0], [1], "a__n_slices", param_b__n_slices=[2]),
            r"over \['a__n_slices', 'b__n_slices'\]",
        ),
        (results([1.0, 1.0], ["auto", 5]), r"number in every .* \['5', 'auto'\]"),
    ],
)
def test_what_cannot_be_chosen_from_is_named(searched, message):
    with pytest.raises(InvalidInputError, match=message):
        smallest_within()(searched)


def test_in_a_grid_search_over_a_pipeline(seed):
    X, y = embeddings(seed, (90, 80, 70), 12, apart=0.5)
    scorer = SlicedMIScorer(slicing="isotropic", random_state=0)
    pipeline = make_pipeline(StandardScaler(), scorer)
    grid = {"slicedmiscorer__n_slices": [2, 32, 128]}
    search = GridSearchCV(
        pipeline, grid, cv=StratifiedKFold(3), refit=smallest_within(0.02)
    ).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert scores[search.best_index_] >= scores.max() - 0.02
    assert (scores[: search.best_index_] < scores.max() - 0.02).all()
    assert (
        search.best_estimator_[-1].n_slices_
        == search.best_params_["slicedmiscorer__n_slices"]
    )
    again = pickle.loads(pickle.dumps(search))
    assert again.refit(search.cv_results_) == search.best_index_
