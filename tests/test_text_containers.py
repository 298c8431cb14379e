"""Tables, mappings and sets where one column is expected are refused, not misread."""

from collections import UserDict, deque
from types import MappingProxyType

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import tiny_models
from oracles import embeddings, fitted
from trainers import early, make_trainer

from smilearn import (
    FineTunedClassifier,
    FineTunedEmbedder,
    HiddenStateEmbedder,
    RiskFilter,
    RiskTable,
    SentenceEmbedder,
    SlicedMIScorer,
)
from smilearn.baselines import LDAScorer
from smilearn.datasets import packaged_minilm
from smilearn.exceptions import InvalidInputError

datasets = pytest.importorskip("datasets")
TEXTS = ["the film was good", "a bright scene", "the plot was awful", "a dull actor"]
Y = [0, 0, 1, 1]
COLUMNS = {"label": Y, "text": TEXTS}


def split(columns):
    return {"train": datasets.Dataset.from_dict(columns)}


TABLES = {
    "dict": dict,
    "UserDict": UserDict,
    "mappingproxy": MappingProxyType,
    "Dataset": datasets.Dataset.from_dict,
    "IterableDataset": lambda c: datasets.Dataset.from_dict(c).to_iterable_dataset(),
    "DataFrame of pandas": pd.DataFrame,
    "DataFrame of polars": pl.DataFrame,
    "Table": pa.table,
    "RecordBatch": lambda columns: pa.table(columns).to_batches()[0],
    "recarray": lambda columns: np.rec.fromarrays(columns.values(), names=[*columns]),
}
SPLITS = {"DatasetDict": lambda c: datasets.DatasetDict(split(c)), "dict": split}
SETS = {"set": set, "frozenset": frozenset}


@pytest.fixture(scope="module")
def uses():
    """What takes texts, and is ready to."""
    folder, settings = tiny_models.folder("bert"), {"max_epochs": 1, "random_state": 0}
    tuned = [
        each(folder, early_point="epochs", **settings).fit(TEXTS * 4, Y * 4)
        for each in (FineTunedEmbedder, FineTunedClassifier)
    ]
    sentences = SentenceEmbedder(packaged_minilm()).fit(TEXTS)
    states = HiddenStateEmbedder(folder).fit(TEXTS)
    scored = fitted(*embeddings(0, sizes=(2, 2)), n_slices=4)
    return {
        "SentenceEmbedder.fit": sentences.fit,
        "SentenceEmbedder.transform": sentences.transform,
        "HiddenStateEmbedder.fit": states.fit,
        "HiddenStateEmbedder.transform": states.transform,
        "FineTunedEmbedder.fit": lambda texts: tuned[0].fit(texts, Y),
        "FineTunedEmbedder.transform": tuned[0].transform,
        "FineTunedClassifier.fit": lambda texts: tuned[1].fit(texts, Y),
        "weighted": lambda texts: tuned[1].fit(texts, Y, sample_weight=[1, 1, 1, 1]),
        "FineTunedClassifier.predict": tuned[1].predict,
        "FineTunedClassifier.predict_proba": tuned[1].predict_proba,
        "RiskTable": lambda texts: RiskTable([0.1] * 4, Y, text=texts),
        "to_table": lambda texts: scored.to_table(texts=texts),
    }


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_in_the_place_of_texts(uses, kind):
    for name, use in uses.items():
        table = TABLES[kind](COLUMNS)
        said = f"expected; got a {type(table).__name__}; give ds['text']."
        with pytest.raises(InvalidInputError) as caught:
            use(table)
        assert str(caught.value) == f"one column of texts {said}", name


@pytest.mark.parametrize("kind", SETS)
def test_a_set_in_the_place_of_texts(uses, kind):
    for use in uses.values():
        with pytest.raises(InvalidInputError, match=f"a {kind}; which has no order"):
            use(SETS[kind](TEXTS))


@pytest.mark.parametrize("columns", [{}, {"review": TEXTS, "stars": Y}])
def test_a_column_that_is_there_is_named(uses, columns):
    named = next(iter(columns), "text")
    with pytest.raises(InvalidInputError, match=rf"give ds\['{named}'\]"):
        uses["RiskTable"](pd.DataFrame(columns))


@pytest.mark.parametrize(
    "make",
    [list, deque, pd.Series, pl.Series, pa.array, lambda t: dict.fromkeys(t).keys()],
)
def test_one_column_is_taken_as_before(uses, make):
    expected = uses["HiddenStateEmbedder.transform"](TEXTS)
    assert (uses["HiddenStateEmbedder.transform"](make(TEXTS)) == expected).all()


@pytest.mark.parametrize("make", [iter, lambda texts: (text for text in texts)])
def test_texts_that_come_once(make):
    for one in (HiddenStateEmbedder(tiny_models.folder("bert")), SentenceEmbedder()):
        with pytest.raises(InvalidInputError, match=r"only once.*list"):
            one.fit_transform(make(TEXTS))


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_in_the_place_of_labels(kind):
    table = TABLES[kind](COLUMNS)
    said = (
        rf"one column of labels expected; got a {type(table).__name__}; give ds\['label"
    )
    with pytest.raises(InvalidInputError, match=said):
        RiskTable([0.1] * 4, table)
    one = FineTunedClassifier(tiny_models.folder("bert"))
    with pytest.raises(InvalidInputError, match=said):
        one.fit(TEXTS, table)


@pytest.mark.parametrize("make", [set, dict.fromkeys])
def test_labels_without_an_order_and_labels_as_keys(make):
    X, _ = embeddings(0, sizes=(2, 2))
    names = make(["a", "b", "c", "d"])
    for use in (
        lambda: RiskFilter(SlicedMIScorer(4)).fit_resample(X, names),
        lambda: RiskTable([0.1] * 4, names),
    ):
        with pytest.raises(InvalidInputError, match="one column of labels expected"):
            use()
    one = SlicedMIScorer(4)
    for method in (one.fit, one.partial_fit, LDAScorer().fit):
        with pytest.raises(InvalidInputError, match="one column of labels expected"):
            method(X, names)


@pytest.mark.parametrize("make", [set, dict.fromkeys])
def test_ids_without_an_order_and_ids_as_keys(make):
    ids = make(["a", "b", "c", "d"])
    with pytest.raises(InvalidInputError, match="one column of ids expected"):
        RiskTable([0.1] * 4, Y, id=ids)


@pytest.mark.parametrize("make", [dict, pd.DataFrame, SPLITS["DatasetDict"], set])
def test_a_callback_given_a_table_of_texts(tmp_path, make):
    folder = tiny_models.folder("bert")
    watch = early(texts_or_dataset=make(TEXTS if make is set else COLUMNS))
    with pytest.raises(InvalidInputError, match="one column of texts expected"):
        make_trainer(folder, tmp_path, watch).train()
