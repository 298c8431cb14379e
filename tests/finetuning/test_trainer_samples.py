"""What a Trainer is trained on, in all the forms that people have it in."""

import numpy as np
import pytest
import tiny_models
import torch
from datasets import Dataset
from finetuning_data import TEXTS, Y
from peft import LoraConfig, get_peft_model
from trainers import Columns, Stream, TextSet, catching, make_trainer, rows_of
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    TrainingArguments,
)

from smilearn import MemorizationCallback, SlicedMIScorer
from smilearn.exceptions import EarlyPointWarning, InvalidInputError
from smilearn.finetuning._trainer_samples import TrainerSamples

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::smilearn.exceptions.ReliabilityWarning"),
]


def train(folder, out, *, source=None, attached=False, **changed):
    """Two steps with the callback; a data set of the Trainer's is in `rows`."""
    scorer = SlicedMIScorer(64, random_state=0)
    settings = {"rule": "epochs", "stop_epoch": 0.4, "stop": True, "scorer": scorer}
    callback = MemorizationCallback(source, **settings)
    trainer = make_trainer(folder, out, None if attached else callback, **changed)
    if attached:
        callback.attach(trainer)
    trainer.train()
    return callback


@pytest.fixture(scope="module")
def usual(tiny_encoder, tmp_path_factory, one_thread):
    return train(tiny_encoder, tmp_path_factory.mktemp("usual"))


def with_text(folder):
    rows = rows_of(folder)
    return [{**row, "text": text} for row, text in zip(rows, TEXTS, strict=True)]


def renamed(rows, name):
    return [{"input_ids": row["input_ids"], name: row["label"]} for row in rows]


@pytest.mark.parametrize(
    "make_rows",
    [
        list,
        TextSet,
        Columns,
        Dataset.from_list,
        lambda rows: renamed(rows, "labels"),
        lambda rows: renamed(rows, "label_ids"),
    ],
    ids=["list", "TextSet", "Columns", "Dataset", "labels", "label_ids"],
)
@pytest.mark.parametrize("keep", [False, True])
def test_kinds_of_data_sets(tiny_encoder, tmp_path, usual, make_rows, keep):
    rows = rows_of(tiny_encoder)
    options = {"rows": make_rows(rows), "remove_unused_columns": not keep}
    callback = train(tiny_encoder, tmp_path, **options)
    np.testing.assert_array_equal(callback.scores_, usual.scores_)
    assert callback.table_["label"].tolist() == Y.tolist()
    assert "text" not in callback.table_.columns
    assert rows == rows_of(tiny_encoder)  # only read


@pytest.mark.parametrize(("row", "text"), [(0, None), (0, ["a"]), (7, None), (7, 3)])
def test_a_column_that_holds_no_texts_is_passed_over(
    tiny_encoder, tmp_path, usual, row, text
):
    rows = with_text(tiny_encoder)
    rows[row]["text"] = text
    callback = train(tiny_encoder, tmp_path, rows=rows)
    np.testing.assert_array_equal(callback.scores_, usual.scores_)
    assert "text" not in callback.table_.columns


def test_a_data_set_of_its_own_is_scored_instead(tiny_encoder, tmp_path):
    rows = with_text(tiny_encoder)
    callback = train(tiny_encoder, tmp_path, source=Columns(rows[:30]))
    assert callback.table_["text"].tolist() == TEXTS[:30]
    callback = train(tiny_encoder, tmp_path, source=rows[::-1])
    assert callback.table_["text"].tolist() == TEXTS[::-1]


@pytest.mark.parametrize("layout", [None, "torch", "numpy"])
@pytest.mark.parametrize("attached", [False, True])
def test_data_sets_of_datasets(tiny_encoder, tmp_path, usual, layout, attached):
    """A Trainer drops their columns that the model does not take, the text too."""
    dataset = Dataset.from_list(with_text(tiny_encoder)).with_format(layout)
    callback = train(tiny_encoder, tmp_path, rows=dataset, attached=attached)
    np.testing.assert_array_equal(callback.scores_, usual.scores_)
    assert ("text" in callback.table_.columns) == attached
    if attached:
        assert callback.table_["text"].tolist() == TEXTS
    kept = dataset.select(callback.kept_indices_)
    assert list(kept["text"]) == [TEXTS[row] for row in callback.kept_indices_]


def test_tokens_made_on_the_fly(tiny_encoder, tmp_path, usual):
    """A transform of `datasets`, whose columns are not those of its rows."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)

    def tokens(batch):
        ids = tokenizer(list(batch["text"]), truncation=True, max_length=30)
        return {"input_ids": ids["input_ids"], "labels": batch["label"]}

    raw = Dataset.from_dict({"text": TEXTS, "label": Y.tolist()})
    options = {"rows": raw.with_transform(tokens), "remove_unused_columns": False}
    callback = train(tiny_encoder, tmp_path, **options)
    np.testing.assert_array_equal(callback.scores_, usual.scores_)


def test_held_out_samples_may_be_of_one_class(tiny_encoder, tmp_path):
    callback = MemorizationCallback(rule="gap", scorer=SlicedMIScorer(64))
    trainer = make_trainer(tiny_encoder, tmp_path, callback, eval_strategy="epoch")
    trainer.eval_dataset = [row for row in trainer.eval_dataset if row["label"]]
    with pytest.warns(EarlyPointWarning, match="before the early point"):
        trainer.train()
    logged = [e["eval_loss"] for e in trainer.state.log_history if "eval_loss" in e]
    losses = [entry["validation_loss"] for entry in callback.history_]
    np.testing.assert_allclose(losses, logged, atol=1e-5)
    trainer.eval_dataset = [{**row, "label": -100} for row in trainer.eval_dataset]
    with pytest.raises(InvalidInputError, match="No sample of the evaluation data"):
        trainer.train()


def test_a_model_with_adapters(tiny_encoder, tmp_path):
    """PEFT's wrapper on the outside; adapted states differ from those of the base."""
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        tiny_encoder, num_labels=2
    )
    config = LoraConfig(r=4, task_type="SEQ_CLS", target_modules=["query", "value"])
    config.init_lora_weights = False
    model = get_peft_model(model, config).eval()
    scorer, caught = catching()
    settings = {"rule": "epochs", "stop_epoch": 0, "scorer": scorer, "stop": True}
    callback = MemorizationCallback(**settings, pooling="mean")
    trainer = make_trainer(tiny_encoder, tmp_path, callback, model=model)
    encoder, expected, bare = model.base_model.model.bert, [], []
    for row in rows_of(tiny_encoder):
        tokens = torch.tensor([row["input_ids"]])
        with torch.inference_mode():
            expected.append(encoder(tokens)[0][0].mean(0).numpy())
            with model.disable_adapter():
                bare.append(encoder(tokens)[0][0].mean(0).numpy())
    trainer.train()
    np.testing.assert_allclose(caught[0][0], expected, atol=1e-5)
    assert abs(np.array(bare) - expected).max() > 1e-2


def relabelled(rows, label, start=0):
    return [{**row, "label": label if i >= start else 0} for i, row in enumerate(rows)]


WRONG = [
    (lambda rows: Stream(rows), "cannot be read by index"),
    (lambda rows: [{"text": "good", "label": 1}] * 40, "each a dict with input_ids"),
    (lambda rows: [{"input_ids": row["input_ids"]} for row in rows], "must hold label"),
    (lambda rows: relabelled(rows, [0.0, 1.0]), r"number a sample.*shape \(40, 2\)"),
    (lambda rows: relabelled(rows, 1), "2 classes or more; got"),
    (lambda rows: relabelled(rows, -1, 38), r"-1 in 2 samples \(rows 38, 39\)"),
    (lambda rows: relabelled(rows, 2, 39), r"2 in 1 samples \(rows 39\)"),
]


@pytest.mark.parametrize(("make_rows", "match"), WRONG, ids=[w[1] for w in WRONG])
def test_what_cannot_be_scored_is_refused_before_training(
    tiny_encoder, tmp_path, make_rows, match
):
    rows = make_rows(rows_of(tiny_encoder))
    with pytest.raises(InvalidInputError, match=match):
        train(tiny_encoder, tmp_path, rows=rows, max_steps=10)


def test_other_texts_are_refused(tiny_encoder, tmp_path):
    with pytest.raises(InvalidInputError, match="39 texts for 40 training samples"):
        train(tiny_encoder, tmp_path, source=TEXTS[1:])


def test_the_head_of_a_decoder_does_not_read_padding_that_is_real():
    """Where texts end in the token that also pads, the head reads the one before."""
    network = tiny_models.model("llama", "ForSequenceClassification", pad_token_id=3)
    tokenizer = tiny_models.tokenizer("llama", pad_token="</s>")
    ids = [[2, 15, 10, 3], [2, 5, 9, 8, 7, 3], [2, 6, 3]]
    rows = [{"input_ids": each, "label": n % 2} for n, each in enumerate(ids)]
    collate = DataCollatorWithPadding(tokenizer)
    args = TrainingArguments("unused", per_device_train_batch_size=2, use_cpu=True)
    samples = TrainerSamples(rows, collate, network.eval(), args)
    X, logits = samples.read(network, np.arange(3), layer=-1)
    with torch.no_grad():
        again = network.score(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(again, logits, atol=1e-6)
