"""What a Trainer is trained on, in all the forms that people have it in."""

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from test_freezing import TEXTS, Y
from trainers import Columns, TextSet, make_trainer, rows_of
from transformers import AutoModelForSequenceClassification

from smilearn import MemorizationCallback, SlicedMIScorer
from smilearn._pooling import pool
from smilearn.exceptions import InvalidInputError

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::smilearn.exceptions.ReliabilityWarning"),
]


def train(folder, out, *, given=None, **changed):
    settings = {"rule": "epochs", "stop_epoch": 0.4, "stop": True}
    callback = MemorizationCallback(given, scorer=SlicedMIScorer(64, random_state=0))
    callback.set_params(**settings)
    make_trainer(folder, out, callback, **changed).train()
    return callback


@pytest.fixture(scope="module")
def usual(tiny_encoder, tmp_path_factory, one_thread):
    return train(tiny_encoder, tmp_path_factory.mktemp("usual"))


def with_text(folder):
    rows = rows_of(folder)
    return [{**row, "text": text} for row, text in zip(rows, TEXTS, strict=True)]


@pytest.mark.parametrize("kind", [list, TextSet, Columns])
def test_kinds_of_data_sets(tiny_encoder, tmp_path, usual, kind):
    callback = train(tiny_encoder, tmp_path, rows=kind(rows_of(tiny_encoder)))
    np.testing.assert_array_equal(callback.scores_, usual.scores_)
    assert callback.table_["label"].tolist() == Y.tolist()
    assert "text" not in callback.table_.columns


@pytest.mark.parametrize("kind", [list, TextSet, Columns])
def test_columns_that_the_model_does_not_take(tiny_encoder, tmp_path, usual, kind):
    rows = kind(with_text(tiny_encoder))
    callback = train(tiny_encoder, tmp_path, rows=rows)
    np.testing.assert_array_equal(callback.scores_, usual.scores_)
    assert callback.table_["text"].tolist() == TEXTS


def test_with_all_columns_kept(tiny_encoder, tmp_path, usual):
    callback = train(tiny_encoder, tmp_path, remove_unused_columns=False)
    np.testing.assert_array_equal(callback.scores_, usual.scores_)


@pytest.mark.parametrize("name", ["labels", "label_ids"])
def test_other_names_of_labels(tiny_encoder, tmp_path, usual, name):
    rows = rows_of(tiny_encoder)
    rows = [{"input_ids": row["input_ids"], name: row["label"]} for row in rows]
    callback = train(tiny_encoder, tmp_path, rows=rows)
    np.testing.assert_array_equal(callback.scores_, usual.scores_)


def test_a_data_set_of_its_own_is_scored_instead(tiny_encoder, tmp_path, usual):
    rows = with_text(tiny_encoder)
    callback = train(tiny_encoder, tmp_path, given=Columns(rows[:30]))
    assert callback.table_["text"].tolist() == TEXTS[:30]
    callback = train(tiny_encoder, tmp_path, given=rows[::-1])
    assert callback.table_["text"].tolist() == TEXTS[::-1]


def test_the_data_set_is_only_read(tiny_encoder, tmp_path):
    rows = rows_of(tiny_encoder)
    copy = [{**row, "input_ids": list(row["input_ids"])} for row in rows]
    train(tiny_encoder, tmp_path, rows=rows)
    assert rows == copy


def test_a_model_with_adapters(tiny_encoder, tmp_path):
    """PEFT's wrapper on the outside; adapted states differ from those of the base."""
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        tiny_encoder, num_labels=2
    )
    config = LoraConfig(r=4, task_type="SEQ_CLS", target_modules=["query", "value"])
    config.init_lora_weights = False
    model = get_peft_model(model, config)
    caught = []

    class Caught(SlicedMIScorer):
        def fit(self, X, y, sample_weight=None):
            caught.append(X.copy())
            return super().fit(X, y, sample_weight)

    settings = {"rule": "epochs", "stop_epoch": 0, "scorer": Caught(64)}
    callback = MemorizationCallback(**settings, pooling="mean")
    trainer = make_trainer(tiny_encoder, tmp_path, callback, model=model)
    model.eval()
    expected, bare = [], []
    for row in rows_of(tiny_encoder):
        tokens = torch.tensor([row["input_ids"]])
        with torch.inference_mode():
            expected.append(model.base_model.model.bert(tokens)[0][0].mean(0).numpy())
            with model.disable_adapter():
                bare.append(model.base_model.model.bert(tokens)[0][0].mean(0).numpy())
    trainer.train()
    np.testing.assert_allclose(caught[0], expected, atol=1e-5)
    assert abs(np.array(bare) - expected).max() > 1e-2


class Stream(torch.utils.data.IterableDataset):
    """Read once, from the start to the end."""

    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


def broken(kind, folder):
    """A data set that cannot be scored, and what is said of it."""
    rows = rows_of(folder)
    return {
        "stream": (Stream(rows), "cannot be read by index"),
        "one class": (
            [{**row, "label": 1} for row in rows],
            "2 classes or more; got",
        ),
        "texts": (
            [{"text": "good", "label": 1}] * 40,
            "each a dict with input_ids",
        ),
        "none": ([{"input_ids": row["input_ids"]} for row in rows], "must hold labels"),
        "several": (
            [{**row, "label": [0.0, 1.0]} for row in rows],
            r"one whole number a sample.*got shape \(40, 2\)",
        ),
    }[kind]


@pytest.mark.parametrize("kind", ["stream", "one class", "texts", "none", "several"])
def test_what_cannot_be_scored_is_refused_before_training(tiny_encoder, tmp_path, kind):
    rows, match = broken(kind, tiny_encoder)
    with pytest.raises(InvalidInputError, match=match):
        train(tiny_encoder, tmp_path, rows=rows, max_steps=10)


def test_texts_of_other_samples_are_refused(tiny_encoder, tmp_path):
    with pytest.raises(InvalidInputError, match="39 texts for 40 training samples"):
        train(tiny_encoder, tmp_path, given=TEXTS[1:])


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("mean", [[3.0], [8.0], [10.5]]),
        ("cls", [[2], [8], [10]]),
        ("last", [[4], [8], [11]]),
    ],
)
def test_pooling_whichever_side_is_padded(way, expected):
    states = torch.arange(1.0, 13.0).reshape(3, 4, 1)
    mask = torch.tensor([[0, 1, 1, 1], [0, 0, 0, 1], [0, 1, 1, 0]])
    assert pool(way, states, mask).tolist() == expected
