"""What every estimator of texts promises, whichever it is."""

import pickle

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from smilearn import (
    FilteredEstimator,
    FineTunedClassifier,
    FineTunedEmbedder,
    HiddenStateEmbedder,
    RiskFilter,
    SentenceEmbedder,
    SlicedMIScorer,
)
from smilearn.exceptions import MissingTextError, UnknownTokensWarning

pytestmark = [
    pytest.mark.usefixtures("one_thread", "no_network"),
    pytest.mark.filterwarnings("ignore::smilearn.exceptions.EarlyPointWarning"),
]
WORDS = ["good", "bad", "film", "plot", "dull", "great"]
TEXTS = [f"the {a} {b} was {a}" for a in WORDS for b in WORDS if a != b]
LABELS = np.array(["no", "yes"])[np.arange(len(TEXTS)) % 2]


def filtered(folder):
    """A classifier of texts that is fitted without those at risk."""
    scorer = make_pipeline(
        SentenceEmbedder(folder),
        SlicedMIScorer(8, pooled=False, random_state=0),
    )
    model = make_pipeline(SentenceEmbedder(folder), LogisticRegression())
    return FilteredEstimator(model, RiskFilter(scorer, share=0.1))


ESTIMATORS = {
    "SentenceEmbedder": SentenceEmbedder,
    "HiddenStateEmbedder": HiddenStateEmbedder,
    "layers side by side": lambda folder: HiddenStateEmbedder(folder, layer="spread"),
    "FineTunedEmbedder": lambda folder: FineTunedEmbedder(
        folder, max_epochs=1, random_state=0
    ),
    "FineTunedClassifier": lambda folder: FineTunedClassifier(
        folder, max_epochs=1, random_state=0
    ),
    "FilteredEstimator": filtered,
}
COLUMNS = {
    "tuple": tuple,
    "array of objects": lambda texts: np.array(texts, dtype=object),
    "array of strings": np.array,
    "series": lambda texts: pd.Series(texts, index=range(len(texts), 0, -1)),
    "pandas strings": lambda texts: pd.Series(texts, dtype="string"),
    "polars": pl.Series,
    "arrow": pa.array,
    "data set": lambda texts: datasets.Dataset.from_dict({"text": texts})["text"],
}


@pytest.fixture(scope="module", params=ESTIMATORS)
def estimator(request, tiny_encoder):
    """One of the estimators, not fitted."""
    return ESTIMATORS[request.param](tiny_encoder)


@pytest.fixture(scope="module")
def fitted(estimator):
    return clone(estimator).fit(TEXTS, LABELS)


def answer(fitted, texts):
    """A row of numbers for each text."""
    ask = "transform" if hasattr(fitted, "transform") else "predict_proba"
    return getattr(fitted, ask)(texts)


def test_clone_has_the_parameters_and_no_fit(estimator, fitted):
    copy = clone(fitted)
    assert repr(copy) == repr(estimator)
    assert copy.get_params().keys() == estimator.get_params().keys()
    with pytest.raises(NotFittedError):
        answer(copy, TEXTS)


def test_fitted_again_it_answers_alike(estimator, fitted):
    again = clone(estimator).fit(TEXTS[::-1], LABELS[::-1]).fit(TEXTS, LABELS)
    np.testing.assert_allclose(answer(again, TEXTS), answer(fitted, TEXTS), atol=1e-6)


def test_a_text_is_answered_whoever_stands_beside_it(fitted):
    rows = answer(fitted, TEXTS)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    turned = answer(fitted, [TEXTS[i] for i in order])
    np.testing.assert_allclose(turned, rows[order], atol=1e-5)
    np.testing.assert_allclose(answer(fitted, TEXTS[3:5]), rows[3:5], atol=1e-5)
    twice = answer(fitted, [TEXTS[7], TEXTS[7]])
    np.testing.assert_array_equal(twice[0], twice[1])


@pytest.mark.parametrize("make", COLUMNS.values(), ids=COLUMNS)
def test_any_column_is_a_column_of_texts(fitted, make):
    np.testing.assert_allclose(
        answer(fitted, make(TEXTS[:6])), answer(fitted, TEXTS[:6]), atol=1e-6
    )


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_a_missing_text_is_named(estimator, fitted, missing):
    texts = [*TEXTS[:3], missing]
    with pytest.raises(MissingTextError, match="in row 3"):
        answer(fitted, texts)
    with pytest.raises(MissingTextError, match="in row 3"):
        clone(estimator).fit(texts, LABELS[:4])


def test_no_texts_give_no_rows(fitted):
    if isinstance(fitted, FilteredEstimator):  # scikit-learn's classifiers refuse
        with pytest.raises(ValueError, match="0 sample"):
            answer(fitted, [])
        return
    assert answer(fitted, []).shape == (0, answer(fitted, TEXTS[:1]).shape[1])


def test_an_empty_text_has_a_row_and_is_warned_of(fitted):
    with pytest.warns(UnknownTokensWarning, match=r"1 of 3 texts \(33%\) are empty"):
        assert np.isfinite(answer(fitted, ["", *TEXTS[:2]])).all()


def test_a_pickle_answers_alike(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_allclose(answer(again, TEXTS), answer(fitted, TEXTS), atol=1e-6)


def test_scikit_learn_is_told_that_it_takes_texts(estimator):
    if not isinstance(estimator, FilteredEstimator):  # a Pipeline says nothing of it
        assert get_tags(estimator).input_tags.string
