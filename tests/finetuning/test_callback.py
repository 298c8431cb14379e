"""The callback, on Trainers as their owners write them."""

import math
import random

import numpy as np
import polars as pl
import pytest
import torch
from finetuning_data import TEXTS, Y, data
from sklearn.linear_model import LogisticRegression
from tiny_decoders import decoder
from trainers import early, make_trainer, rows_of
from transformers import AutoTokenizer, TrainerCallback

from smilearn import RiskTable, SlicedMIScorer
from smilearn.exceptions import EarlyPointWarning, InvalidInputError

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::smilearn.exceptions.ReliabilityWarning"),
]


def losses_of(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("attached", [False, True])
@pytest.mark.parametrize("options", [{"rule": "median-loss"}, {}])
@pytest.mark.filterwarnings("ignore::smilearn.exceptions.EarlyPointWarning")
def test_with_and_without_the_callback_losses_are_the_same_bits(
    tiny_encoder, tmp_path, attached, options
):
    alone = make_trainer(tiny_encoder, tmp_path)
    alone.train()
    callback = early(**options)
    watched = make_trainer(tiny_encoder, tmp_path, None if attached else callback)
    if attached:
        assert callback.attach(watched) is callback.attach(watched) is callback
    watched.train()
    assert len(losses_of(alone)) == 10
    assert losses_of(watched) == losses_of(alone)
    for a, b in zip(alone.model.parameters(), watched.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_random_streams_and_modes_are_put_back(tiny_encoder, tmp_path):
    class Guard(TrainerCallback):
        """Before and after the callback in each hook: streams and modes."""

        seen, sets_modes = (), False

        def on_step_end(self, args, state, control, model=None, **kwargs):
            if self.sets_modes:
                model.bert.embeddings.eval()  # a mode of its owner's own
            streams = [random.getstate(), np.random.get_state()[1].tolist()]  # noqa: NPY002
            streams.append(torch.get_rng_state().tolist())
            modes = [module.training for module in model.modules()]
            self.seen = (*self.seen, (state.global_step, streams, modes))

    class Noisy(SlicedMIScorer):
        def fit(self, X, y, sample_weight=None):
            np.random.random(9), random.random(), torch.rand(9)  # noqa: NPY002
            return super().fit(X, y, sample_weight)

    before, after = Guard(), Guard()
    before.sets_modes = True
    trainer = make_trainer(tiny_encoder, tmp_path, before)
    trainer.add_callback(early(scorer=Noisy(64)))
    trainer.callback_handler.callbacks.append(after)
    trainer.train()
    assert before.seen == after.seen
    assert len(before.seen) == 10
    assert {True, False} <= set(before.seen[0][2])


@pytest.mark.parametrize("kind", ["encoder", "gpt2", "llama"])
def test_the_head_reads_what_is_scored(tiny_encoder, kind, tmp_path):
    """Logits again from the embeddings alone, and one text at a time."""
    folder = tiny_encoder if kind == "encoder" else decoder(kind)
    caught = []

    class Caught(SlicedMIScorer):
        def fit(self, X, y, sample_weight=None):
            caught.append((X.copy(), np.array(y)))
            return super().fit(X, y, sample_weight)

    trainer = make_trainer(folder, tmp_path, early(scorer=Caught(64), stop=True))
    assert kind == "encoder" or trainer.data_collator.tokenizer.padding_side == "left"
    trainer.train()
    assert kind == "encoder" or trainer.data_collator.tokenizer.padding_side == "left"
    X, y = caught[0]
    assert y.tolist() == Y.tolist()  # in data-set order
    model = trainer.model.eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for text, x in zip(TEXTS, torch.from_numpy(X), strict=True):
        tokens = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            expected = model(tokens).logits[0]
            if kind == "encoder":
                pooler = model.bert.pooler
                logits = model.classifier(pooler.activation(pooler.dense(x)))
            else:
                logits = model.score(x)
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_layer_and_pooling_are_those_asked_for(tiny_encoder, tmp_path):
    caught = []

    class Caught(SlicedMIScorer):
        def fit(self, X, y, sample_weight=None):
            caught.append(X.copy())
            return super().fit(X, y, sample_weight)

    options = {"scorer": Caught(64), "layer": 1, "pooling": "mean", "stop_epoch": 0}
    trainer = make_trainer(tiny_encoder, tmp_path, early(**options))
    model, tokenizer = trainer.model, trainer.data_collator.tokenizer
    model.eval()
    expected = []
    for text in TEXTS:
        tokens = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            states = model(tokens, output_hidden_states=True).hidden_states
        expected.append(states[1][0].mean(0).numpy())
    trainer.train()
    np.testing.assert_allclose(caught[0], expected, atol=1e-5)
    with pytest.raises(InvalidInputError, match=r"layer=7 is not to be had.*0 to 2"):
        make_trainer(tiny_encoder, tmp_path, early(stop_epoch=0, layer=7)).train()


def test_table_file_scores_and_summary(tiny_encoder, tmp_path):
    callback = early(texts_or_dataset=pl.Series(TEXTS), share=0.1)
    trainer = make_trainer(tiny_encoder, tmp_path, callback)
    trainer.train()
    assert callback.early_step_ == 5
    assert callback.reached_
    table = callback.table_
    assert isinstance(table, RiskTable)
    assert table["text"].tolist() == TEXTS
    np.testing.assert_array_equal(table["psmi"], callback.scores_)
    assert "most_likely_label" in table.columns
    file = pl.read_csv(tmp_path / "risk-step-5.csv")
    np.testing.assert_allclose(file["psmi"], callback.scores_)
    assert [path.name for path in tmp_path.iterdir()] == ["risk-step-5.csv"]
    riskiest = set(np.argsort(callback.scores_)[:4])
    assert set(range(40)) - set(callback.kept_indices_.tolist()) == riskiest
    (log,) = [entry for entry in trainer.state.log_history if "risk/median" in entry]
    assert log["step"] == 5
    assert log["risk/median"] == pytest.approx(-np.median(callback.scores_))
    assert log["risk/highest"] == pytest.approx(-callback.scores_.min())
    assert log["risk/n_left_out"] == 4
    assert log["risk/share_fitted"] == callback.history_[-1]["share_fitted"]


def test_without_a_share_those_below_the_offset_go(tiny_encoder, tmp_path):
    callback = early(file_format="parquet", folder=tmp_path / "tables")
    make_trainer(tiny_encoder, tmp_path, callback).train()
    assert (
        callback.kept_indices_.tolist()
        == np.flatnonzero(callback.scores_ >= 0).tolist()
    )
    assert callback.file_ == tmp_path / "tables" / "risk-step-5.parquet"
    assert len(pl.read_parquet(callback.file_)) == 40


def test_attached_it_logs_to_the_reporters(tiny_encoder, tmp_path):
    class Reporter(TrainerCallback):
        logs = ()

        def on_log(self, args, state, control, logs=None, **kwargs):
            self.logs = (*self.logs, dict(logs))

    reporter = Reporter()
    trainer = make_trainer(tiny_encoder, tmp_path, reporter)
    early().attach(trainer)
    trainer.train()
    assert sum("risk/median" in entry for entry in reporter.logs) == 1
    assert sum("loss" in entry for entry in reporter.logs) == 10


def test_median_loss_is_looked_at_as_often_as_asked(tiny_encoder, tmp_path):
    callback = early(rule="median-loss", loss_drop=1e-9, evaluations_per_epoch=2)
    trainer = make_trainer(tiny_encoder, tmp_path, callback, num_train_epochs=6)
    trainer.train()
    medians = [entry["median_loss"] for entry in callback.history_]
    steps = [entry["step"] for entry in callback.history_]
    assert steps == [0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28, 30][: len(steps)]
    assert medians[-1] < medians[0] <= min(medians[1:-1], default=9)
    assert callback.early_step_ == steps[-1]
    assert callback.reached_


def test_stop_ends_the_training_there(tiny_encoder, tmp_path):
    callback = early(stop=True)
    trainer = make_trainer(tiny_encoder, tmp_path, callback)
    trainer.train()
    assert trainer.state.global_step == callback.early_step_ == 5
    going_on = make_trainer(tiny_encoder, tmp_path, early())
    going_on.train()
    assert going_on.state.global_step == 10


def test_not_reached_scores_the_end_and_warns(tiny_encoder, tmp_path):
    callback = early(rule="median-loss", loss_drop=0.999)
    trainer = make_trainer(tiny_encoder, tmp_path, callback)
    with pytest.warns(EarlyPointWarning, match=r"after 10 steps .* of step 10. Train"):
        trainer.train()
    assert (callback.reached_, callback.early_step_) == (False, 10)
    assert callback.file_.name == "risk-step-10.csv"
    assert len(callback.table_) == 40


def test_gap_is_looked_at_when_the_trainer_evaluates(tiny_encoder, tmp_path):
    """Labels by chance: they can only be learnt by heart."""
    texts, _ = data(40, seed=1)
    y = np.random.default_rng(2).integers(2, size=40)
    callback = early(rule="gap")
    trainer = make_trainer(
        tiny_encoder,
        tmp_path,
        callback,
        rows=rows_of(tiny_encoder, texts, y),
        num_train_epochs=80,
        eval_strategy="epoch",
        logging_strategy="no",
    )
    trainer.eval_dataset = {
        "first": trainer.eval_dataset,
        "other": rows_of(tiny_encoder),
    }
    trainer.evaluate()  # before any training: none of our business
    trainer.train()
    ratio = [h["mean_loss"] / h["validation_loss"] for h in callback.history_]
    assert ratio[-1] < 0.8 <= min(ratio[:-1])
    assert [h["step"] for h in callback.history_] == [
        5 * n + 5 for n in range(len(ratio))
    ]
    at = [e for e in trainer.state.log_history if e.get("step") == callback.early_step_]
    (expected,) = [e["eval_first_loss"] for e in at if "eval_first_loss" in e]
    assert callback.history_[-1]["validation_loss"] == pytest.approx(expected, abs=1e-5)
    assert callback.early_step_ == callback.history_[-1]["step"]


def test_gap_without_evaluations_is_refused_at_once(tiny_encoder, tmp_path):
    with pytest.raises(InvalidInputError, match='"gap" compares with evaluation data'):
        make_trainer(tiny_encoder, tmp_path, early(rule="gap")).train()


def test_a_resumed_run_starts_from_the_log_of_the_classes(tmp_path):
    folder = decoder("llama")
    saved = {"save_strategy": "steps", "save_steps": 2}
    make_trainer(folder, tmp_path, **saved).train()
    callback = early(rule="median-loss")
    trainer = make_trainer(folder, tmp_path, callback)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    steps = [entry["step"] for entry in callback.history_]
    assert steps == [2, 3, 4, 5][: len(steps)]
    *before, last = (entry["median_loss"] for entry in callback.history_)
    assert last <= 0.5 * math.log(2) < min(before)
    assert (callback.reached_, callback.early_step_) == (True, steps[-1])


def test_any_scorer_with_scores(tiny_encoder, tmp_path):
    class Logistic(LogisticRegression):
        """Log-probability of the own label, as a score."""

        def fit(self, X, y):
            super().fit(X, y)
            own = np.searchsorted(self.classes_, y)
            self.scores_ = self.predict_log_proba(X)[np.arange(len(y)), own]
            return self

    callback = early(scorer=Logistic(), share=0.25)
    make_trainer(tiny_encoder, tmp_path, callback).train()
    assert len(callback.kept_indices_) == 30
    assert (callback.scores_ < 0).all()
    np.testing.assert_array_equal(callback.table_["psmi"], callback.scores_)


def test_a_table_that_cannot_be_written_leaves_nothing(tiny_encoder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    trainer = make_trainer(
        tiny_encoder, tmp_path / "out", early(folder=tmp_path / "file" / "tables")
    )
    with pytest.raises(OSError, match="file"):
        trainer.train()
    assert trainer.state.global_step == 0  # before any training, not after it
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["file"]


def test_wrong_parameters_are_named(tiny_encoder, tmp_path):
    with pytest.raises(ValueError, match="The 'pooling' parameter of Memorization"):
        make_trainer(tiny_encoder, tmp_path, early(pooling="max")).train()
