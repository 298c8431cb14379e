"""What a watched run says early, keeps in its checkpoints, and calls its steps."""

import warnings

import numpy as np
import pytest
from test_freezing import TEXTS
from tiny_decoders import make_decoder
from trainers import Columns, Stream, TextSet, early, make_trainer, rows_of
from transformers import EarlyStoppingCallback, TrainerCallback

from smilearn import SlicedMIScorer
from smilearn.exceptions import EarlyPointWarning, InvalidInputError

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::smilearn.exceptions.ReliabilityWarning"),
]


LATE = [
    ({"layer": 99}, InvalidInputError, "layer=99 is not to be had"),
    ({"folder": "/proc/nope"}, OSError, "nope"),
]


@pytest.mark.parametrize(("changed", "error", "match"), LATE)
def test_what_would_fail_at_the_early_point_fails_before_the_first_step(
    tiny_encoder, tmp_path, changed, error, match
):
    trainer = make_trainer(tiny_encoder, tmp_path, early(**changed))
    with pytest.raises(error, match=match):
        trainer.train()
    assert trainer.state.global_step == 0


class Cut(TrainerCallback):
    """Stop a run half-way, as a machine that goes down."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("options", [{}, {"rule": "median-loss"}])
@pytest.mark.parametrize("start", [2, 8])
def test_a_resumed_run_finds_the_point_of_an_unbroken_one(tmp_path, options, start):
    """From a checkpoint before the early point, and from one after it."""
    folder = make_decoder(tmp_path / "m", "llama")
    saved = {"save_strategy": "steps", "save_steps": 2}
    options = {"scorer": SlicedMIScorer(64, random_state=0), **options}
    unbroken, broken, resumed = early(**options), early(**options), early(**options)
    make_trainer(folder, tmp_path / "a", unbroken, **saved).train()
    assert 2 < unbroken.early_step_ < 8
    trainer = make_trainer(folder, tmp_path / "b", broken, **saved)
    trainer.add_callback(Cut(9))
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    trainer = make_trainer(folder, tmp_path / "b", resumed, **saved)
    trainer.train(resume_from_checkpoint=str(tmp_path / "b" / f"checkpoint-{start}"))
    assert (resumed.reached_, resumed.early_step_) == (True, unbroken.early_step_)
    assert resumed.file_.name == unbroken.file_.name
    assert [h["step"] for h in resumed.history_] == [
        h["step"] for h in unbroken.history_
    ]
    np.testing.assert_allclose(resumed.scores_, unbroken.scores_, rtol=1e-5)
    np.testing.assert_array_equal(resumed.kept_indices_, unbroken.kept_indices_)
    assert len(list((tmp_path / "b").glob("risk-step-*.csv"))) == 1


def test_a_lost_table_is_told(tmp_path):
    folder = make_decoder(tmp_path / "m", "llama")
    saved = {"save_strategy": "steps", "save_steps": 8}
    callback = early()
    make_trainer(folder, tmp_path, callback, **saved).train()
    callback.file_.unlink()
    resumed = early()
    trainer = make_trainer(folder, tmp_path, resumed, **saved)
    with pytest.warns(EarlyPointWarning, match="its table cannot be read"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-8"))
    assert (resumed.reached_, resumed.early_step_) == (True, 5)
    np.testing.assert_array_equal(resumed.kept_indices_, callback.kept_indices_)


def past_of(folder, out):
    """Checkpoints at each step of a run that nobody watched."""
    options = {"save_strategy": "steps", "save_steps": 1, "eval_strategy": "epoch"}
    make_trainer(folder, out, **options).train()
    return {step: str(out / f"checkpoint-{step}") for step in range(1, 11)}


def watched_from(checkpoint, folder, out, callback, **changed):
    """Resume a run, and return the warnings that it gave of its early point."""
    trainer = make_trainer(folder, out, callback, **changed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EarlyPointWarning)
        trainer.train(resume_from_checkpoint=checkpoint)
    found = [str(w.message) for w in caught if w.category is EarlyPointWarning]
    return trainer.state.global_step, found


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("rule", ["epochs", "median-loss"])
def test_an_early_point_passed_unseen_is_not_reached(tmp_path, rule, stop):
    folder = make_decoder(tmp_path / "m", "llama")
    past = past_of(folder, tmp_path)
    callback = early(rule=rule, stop=stop)
    options = {"save_strategy": "steps", "save_steps": 1}
    step, messages = watched_from(past[8], folder, tmp_path, callback, **options)
    assert len(messages) == 1
    assert "resumed past its early point; the scores are those of step 8" in messages[0]
    assert (callback.reached_, callback.early_step_) == (False, 8)
    assert [entry["step"] for entry in callback.history_] == [8]
    assert step == (9 if stop else 10)
    again = early(rule=rule, stop=stop)  # and its checkpoints say so too
    assert watched_from(past[9], folder, tmp_path, again)[1] == messages
    assert (again.reached_, again.early_step_) == (False, 8)
    np.testing.assert_array_equal(again.kept_indices_, callback.kept_indices_)


def test_a_run_resumed_at_its_early_point_is_there(tmp_path):
    folder = make_decoder(tmp_path / "m", "llama")
    past, callback = past_of(folder, tmp_path), early()
    assert watched_from(past[5], folder, tmp_path, callback) == (10, [])
    assert (callback.reached_, callback.early_step_) == (True, 5)


@pytest.mark.parametrize("drop", [1e-3, 0.999])
def test_a_gap_that_is_there_at_the_first_look_may_be_old(tmp_path, drop, monkeypatch):
    """The mean training loss is far below 0.8 of another one, or far above."""
    monkeypatch.setattr(
        "smilearn.finetuning._early_point.GAP", 1e9 if drop < 0.5 else 1e-9
    )
    folder = make_decoder(tmp_path / "m", "llama")
    past, callback = past_of(folder, tmp_path), early(rule="gap")
    options = {"eval_strategy": "epoch"}
    _, messages = watched_from(past[8], folder, tmp_path, callback, **options)
    assert (callback.reached_, callback.early_step_) == (False, 10)
    expected = "resumed past its early point" if drop < 0.5 else "ended after 10 steps"
    assert len(messages) == 1
    assert expected in messages[0]


def test_the_last_entry_of_the_history_is_of_all_samples_at_the_step_scored(
    tiny_encoder, tmp_path
):
    """Nine steps of batches of 8: the last look that was due is after step 8."""
    callback = early(rule="median-loss", loss_drop=0.999, evaluations_per_epoch=2)
    trainer = make_trainer(tiny_encoder, tmp_path, callback, max_steps=9)
    with pytest.warns(EarlyPointWarning, match="after 9 steps"):
        trainer.train()
    steps = [entry["step"] for entry in callback.history_]
    assert steps == [0, 3, 5, 8, 9]
    assert callback.early_step_ == 9
    assert callback.history_[-1]["n_evaluated"] == 40


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
    options |= {"per_device_train_batch_size": 4}
    trainer = make_trainer(
        tiny_encoder, tmp_path, callback, rows=Stream(rows), **options
    )
    trainer.train()
    assert (callback.reached_, callback.early_step_) == (True, 5)
    assert callback.history_[-1]["epoch"] == 1


def test_attached_it_finds_the_texts_that_the_loader_has_lost(tiny_encoder, tmp_path):
    rows = rows_of(tiny_encoder)
    trainer = make_trainer(tiny_encoder, tmp_path, rows=TextSet(rows))
    trainer.train_dataset = Columns(
        [{**row, "text": text} for row, text in zip(rows, TEXTS, strict=True)]
    )
    loader = trainer.get_train_dataloader
    trainer.get_train_dataloader = lambda: _without_texts(loader(), rows)
    callback = early().attach(trainer)
    trainer.train()
    assert callback.table_["text"].tolist() == TEXTS


def _without_texts(loader, rows):
    """As a Trainer does to the columns of `datasets.Dataset`."""
    object.__setattr__(loader, "dataset", TextSet(rows))
    return loader
