"""The callback, on Trainers as their owners write them: 2 epochs of 5 steps."""

import math
import re
import warnings

import numpy as np
import polars as pl
import pytest
import torch
from finetuning_data import TEXTS, Y, data
from sklearn.linear_model import LogisticRegression
from tiny_decoders import decoder
from trainers import Stream, catching, early, make_trainer, rows_of
from transformers import AutoTokenizer, EarlyStoppingCallback, TrainerCallback

from smilearn import RiskTable, SlicedMIScorer
from smilearn.exceptions import EarlyPointWarning, InvalidInputError

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::smilearn.exceptions.ReliabilityWarning"),
]


def result_of(trainer):
    """Logged losses, and the weights at the end."""
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return losses, [weight.tolist() for weight in trainer.model.parameters()]


@pytest.fixture(scope="module")
def unwatched(tiny_encoder, tmp_path_factory, one_thread):
    return result_of(make_trainer(tiny_encoder, tmp_path_factory.mktemp("unwatched")))


@pytest.mark.parametrize("attached", [False, True])
@pytest.mark.parametrize("options", [{"rule": "median-loss"}, {}])
@pytest.mark.filterwarnings("ignore::smilearn.exceptions.EarlyPointWarning")
def test_with_and_without_the_callback_the_training_is_the_same_bits(
    tiny_encoder, tmp_path, unwatched, attached, options
):
    callback = early(**options)
    trainer = make_trainer(tiny_encoder, tmp_path, None if attached else callback)
    if attached:
        assert callback.attach(trainer) is callback.attach(trainer) is callback
    assert result_of(trainer) == unwatched
    assert len(unwatched[0]) == 10


@pytest.mark.parametrize("kind", ["encoder", "gpt2", "llama"])
def test_the_head_reads_what_is_scored(tiny_encoder, kind, tmp_path):
    """Logits again from the embeddings alone, and one text at a time."""
    folder = tiny_encoder if kind == "encoder" else decoder(kind)
    scorer, caught = catching()
    trainer = make_trainer(folder, tmp_path, early(scorer=scorer, stop=True))
    side = trainer.data_collator.tokenizer.padding_side
    assert side == ("right" if kind == "encoder" else "left")
    trainer.train()
    assert trainer.data_collator.tokenizer.padding_side == side
    X, y = caught[0]
    assert y.tolist() == Y.tolist()  # in data-set order
    model, tokenizer = trainer.model.eval(), AutoTokenizer.from_pretrained(folder)
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


def test_table_file_scores_and_summary(tiny_encoder, tmp_path):
    callback = early(texts_or_dataset=pl.Series(TEXTS), share=0.1)
    trainer = make_trainer(tiny_encoder, tmp_path, callback)
    trainer.train()
    assert (callback.reached_, callback.early_step_) == (True, 5)
    table = callback.table_
    assert isinstance(table, RiskTable)
    assert table["text"].tolist() == TEXTS
    np.testing.assert_array_equal(table["risk"], -callback.scores_)
    assert "most_likely_label" in table.columns
    file = pl.read_csv(tmp_path / "risk-step-5.csv")
    np.testing.assert_allclose(file["risk"], -callback.scores_, rtol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["risk-step-5.csv"]
    riskiest = set(np.argsort(callback.scores_)[:4])
    assert set(range(40)) - set(callback.kept_indices_.tolist()) == riskiest
    (log,) = [entry for entry in trainer.state.log_history if "risk/median" in entry]
    assert log["step"] == 5
    assert log["risk/median"] == pytest.approx(-np.median(callback.scores_))
    assert log["risk/highest"] == pytest.approx(-callback.scores_.min())
    assert log["risk/n_left_out"] == 4
    assert log["risk/share_fitted"] == callback.history_[-1]["share_fitted"]


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
    np.testing.assert_array_equal(callback.table_["risk"], -callback.scores_)


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


def test_not_reached_scores_the_end_and_warns(tiny_encoder, tmp_path):
    """The last evaluation that was due is after step 8 of 9."""
    callback = early(rule="median-loss", loss_drop=0.999, evaluations_per_epoch=2)
    trainer = make_trainer(tiny_encoder, tmp_path, callback, max_steps=9)
    match = r"after 9 steps .*: median loss (.*), early point at (.*)\. The .* step 9\."
    with pytest.warns(EarlyPointWarning, match=match) as caught:
        trainer.train()
    said = re.search(match, str(caught[0].message)).groups()
    medians = [entry["median_loss"] for entry in callback.history_]
    assert said == (f"{medians[-1]:.3f}", f"{0.001 * medians[0]:.3f}")
    assert (callback.reached_, callback.early_step_) == (False, 9)
    assert callback.file_.name == "risk-step-9.csv"
    assert [entry["step"] for entry in callback.history_] == [0, 3, 5, 8, 9]
    assert callback.history_[-1]["n_evaluated"] == len(callback.table_) == 40


def test_gap_is_measured_when_the_trainer_evaluates(tiny_encoder, tmp_path):
    """Labels by chance: they can only be learnt by heart."""
    texts, _ = data(40, seed=1)
    y = np.random.default_rng(2).integers(2, size=40)
    callback, rows = early(rule="gap", stop=True), rows_of(tiny_encoder, texts, y)
    options = {"num_train_epochs": 80, "eval_strategy": "epoch"}
    options["logging_strategy"] = "no"
    trainer = make_trainer(tiny_encoder, tmp_path, callback, rows=rows, **options)
    other = rows_of(tiny_encoder)
    trainer.eval_dataset = {"first": trainer.eval_dataset, "other": other}
    trainer.evaluate()  # before any training: none of our business
    trainer.train()
    ratio = [h["mean_loss"] / h["validation_loss"] for h in callback.history_]
    assert ratio[-1] < 0.8 <= min(ratio[:-1])
    steps = [entry["step"] for entry in callback.history_]
    assert steps == [5 * n + 5 for n in range(len(ratio))]
    at = [e for e in trainer.state.log_history if e.get("step") == callback.early_step_]
    (expected,) = [e["eval_first_loss"] for e in at if "eval_first_loss" in e]
    assert callback.history_[-1]["validation_loss"] == pytest.approx(expected, abs=1e-5)
    assert callback.early_step_ == steps[-1]


@pytest.mark.parametrize(
    ("changed", "error", "match"),
    [
        ({"layer": 99}, InvalidInputError, "layer=99 is not to be had.*0 to 2"),
        ({"folder": "/proc/nope"}, OSError, "nope"),
        ({"rule": "gap"}, InvalidInputError, '"gap" compares with evaluation data'),
        ({"pooling": "max"}, ValueError, "The 'pooling' parameter of Memorization"),
    ],
)
def test_what_would_fail_at_the_early_point_fails_before_the_first_step(
    tiny_encoder, tmp_path, changed, error, match
):
    trainer = make_trainer(tiny_encoder, tmp_path, early(**changed))
    with pytest.raises(error, match=match):
        trainer.train()
    assert trainer.state.global_step == 0
    assert list(tmp_path.iterdir()) == []


def test_scores_of_the_best_checkpoint_bear_its_step(tiny_encoder, tmp_path):
    """The held-out loss gets worse: the best checkpoint is not the last one."""
    callback = early(rule="median-loss", loss_drop=0.99999)
    options = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss"}
    options |= {"eval_strategy": "epoch", "save_strategy": "epoch"}
    options |= {"learning_rate": 3e-2, "num_train_epochs": 30}
    trainer = make_trainer(tiny_encoder, tmp_path, callback, **options)
    trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=2))
    with pytest.warns(EarlyPointWarning, match=r"of step \d+, the best checkpoint"):
        trainer.train()
    best = trainer.state.best_global_step
    assert best < trainer.state.global_step < trainer.state.max_steps
    assert callback.early_step_ == callback.history_[-1]["step"] == best
    assert callback.file_.name == f"risk-step-{best}.csv"


def test_a_stream_with_a_data_set_to_score(tiny_encoder, tmp_path):
    """40 samples in batches of 4, two batches a step: 5 steps are a pass."""
    rows = rows_of(tiny_encoder)
    callback = early(texts_or_dataset=rows)
    options = {"max_steps": 9, "gradient_accumulation_steps": 2}
    options |= {"per_device_train_batch_size": 4, "rows": Stream(rows)}
    make_trainer(tiny_encoder, tmp_path, callback, **options).train()
    assert (callback.reached_, callback.early_step_) == (True, 5)
    assert callback.history_[-1]["epoch"] == 1


def resumed(checkpoint, out, callback, **changed):
    """Resume a run; its last step, and the warnings that it gave of its early point."""
    trainer = make_trainer(decoder("llama"), out, callback, **changed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EarlyPointWarning)
        trainer.train(resume_from_checkpoint=str(checkpoint))
    messages = [str(w.message) for w in caught if w.category is EarlyPointWarning]
    return trainer.state.global_step, messages


@pytest.mark.parametrize("options", [{}, {"rule": "median-loss"}])
def test_a_resumed_run_finds_the_point_of_an_unbroken_one(tmp_path, options):
    """From a checkpoint before the early point, from one after it, without a table."""
    options = {"scorer": SlicedMIScorer(64, random_state=0), **options}
    whole, saved = early(**options), {"save_strategy": "steps", "save_steps": 2}
    make_trainer(decoder("llama"), tmp_path, whole, **saved).train()
    assert 2 < whole.early_step_ < 8
    for start in (2, 8):
        again = early(**options)
        assert resumed(tmp_path / f"checkpoint-{start}", tmp_path, again) == (10, [])
        assert (again.reached_, again.early_step_) == (True, whole.early_step_)
        assert again.file_ == whole.file_
        steps = [[h["step"] for h in each.history_] for each in (whole, again)]
        assert steps[0] == steps[1]
        np.testing.assert_allclose(again.scores_, whole.scores_, atol=1e-5)
        np.testing.assert_array_equal(again.kept_indices_, whole.kept_indices_)
    assert len(list(tmp_path.glob("risk-step-*.csv"))) == 1
    rows = rows_of(decoder("llama"))[:39]
    for changed in ({"share": 0.1}, {"texts_or_dataset": rows}):
        other = early(**options, **changed)  # what was recorded is not of this one
        _, [message] = resumed(tmp_path / "checkpoint-8", tmp_path, other)
        assert "resumed past its early point" in message
    whole.file_.unlink()
    again = early(**options)
    _, [message] = resumed(tmp_path / "checkpoint-8", tmp_path, again)
    assert "its table cannot be read" in message
    np.testing.assert_array_equal(again.kept_indices_, whole.kept_indices_)


@pytest.fixture(scope="module")
def past(tmp_path_factory, one_thread):
    """Folder of checkpoints at each step of a run that nobody watched."""
    out = tmp_path_factory.mktemp("past")
    options = {"save_strategy": "steps", "save_steps": 1, "eval_strategy": "epoch"}
    make_trainer(decoder("llama"), out, **options).train()
    return out


@pytest.mark.parametrize(("rule", "stop"), [("epochs", False), ("median-loss", True)])
def test_an_early_point_passed_unseen_is_not_reached(past, tmp_path, rule, stop):
    callback, again = early(rule=rule, stop=stop), early(rule=rule, stop=stop)
    saved = {"save_strategy": "steps", "save_steps": 1}
    step, messages = resumed(past / "checkpoint-8", tmp_path, callback, **saved)
    assert len(messages) == 1
    assert "resumed past its early point; the scores are those of step 8" in messages[0]
    assert (callback.reached_, callback.early_step_) == (False, 8)
    assert [entry["step"] for entry in callback.history_] == [8]
    assert step == (9 if stop else 10)
    # and its checkpoints say so too
    assert resumed(tmp_path / "checkpoint-9", tmp_path, again)[1] == messages
    assert (again.reached_, again.early_step_) == (False, 8)
    np.testing.assert_array_equal(again.kept_indices_, callback.kept_indices_)


def test_a_run_resumed_at_or_before_its_early_point_reaches_it(past, tmp_path):
    callback = early()
    assert resumed(past / "checkpoint-5", tmp_path, callback) == (10, [])
    assert (callback.reached_, callback.early_step_) == (True, 5)
    callback = early(rule="median-loss")  # from the log of the number of classes
    assert resumed(past / "checkpoint-2", tmp_path, callback) == (10, [])
    steps = [entry["step"] for entry in callback.history_]
    assert steps == [2, 3, 4, 5][: len(steps)]
    *before, last = (entry["median_loss"] for entry in callback.history_)
    assert last <= 0.5 * math.log(2) < min(before)
    assert (callback.reached_, callback.early_step_) == (True, steps[-1])
