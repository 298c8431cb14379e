"""Runs that are killed and go on: the same bits in the end."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from finetuning_data import TEXTS, Y

from smilearn import FineTunedClassifier, FineTunedEmbedder
from smilearn.exceptions import CacheWarning, InvalidInputError
from smilearn.finetuning import _training
from smilearn.utils._files import RunFolder

pytestmark = pytest.mark.usefixtures("one_thread")


class KilledError(Exception):
    """What ends a run half-way in these tests."""


def make(model, folder, **changed):
    settings = {"learning_rate": 1e-2, "batch_size": 8, "max_epochs": 3}
    settings |= {"early_point": None, "evaluations_per_epoch": 2, "random_state": 0}
    settings |= {"checkpoint_folder": folder, **changed}
    return FineTunedEmbedder(model, **settings)


def killed_at(step, embedder, monkeypatch):
    """Run until a step ends, before it is noted anywhere."""
    evaluate = _training.Watcher.on_step_end

    def stop(self, args, state, control, **kwargs):
        if state.global_step == step:
            raise KilledError
        return evaluate(self, args, state, control, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(_training.Watcher, "on_step_end", stop)
        with pytest.raises(KilledError):
            embedder.fit(TEXTS, Y)


def same(one, other):
    """Bit for bit: weights, what was read, and the history."""
    for a, b in zip(
        one._network.parameters(), other._network.parameters(), strict=True
    ):
        assert torch.equal(a, b)
    np.testing.assert_array_equal(one.logits_, other.logits_)
    assert one.history_ == other.history_


@pytest.mark.parametrize(
    ("step", "options"),
    [
        (5, {}),  # the last checkpoint is within the first epoch
        (7, {}),  # at the end of an epoch
        (12, {"freeze_layers": 1}),
        (7, {"lora": 4, "gradient_accumulation": 1}),
        (9, {"early_point": "gap", "validation_share": 0.2}),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::smilearn.exceptions.EarlyPointWarning")
def test_a_killed_run_goes_on_to_the_same_bits(
    tiny_encoder, tmp_path, monkeypatch, step, options
):
    whole = make(tiny_encoder, None, **options).fit(TEXTS, Y)
    embedder = make(tiny_encoder, tmp_path / "run", **options)
    killed_at(step, embedder, monkeypatch)
    kept = RunFolder(tmp_path / "run").latest()[1]["history"]
    assert kept[-1]["step"] < step
    first_steps = []
    begin = _training.Trainer.training_step

    def noted(self, *args, **kwargs):
        first_steps.append(self.state.global_step)
        return begin(self, *args, **kwargs)

    monkeypatch.setattr(_training.Trainer, "training_step", noted)
    same(embedder.fit(TEXTS, Y), whole)
    assert first_steps[0] == kept[-1]["step"]


def test_a_finished_run_is_read_again_without_training(
    tiny_encoder, tmp_path, monkeypatch
):
    finished = make(tiny_encoder, tmp_path / "run").fit(TEXTS, Y)
    rule = {"early_point": "epochs", "stop_epoch": 1.5}
    stopped = make(tiny_encoder, tmp_path / "stopped", **rule).fit(TEXTS, Y)
    monkeypatch.setattr(_training.Trainer, "training_step", None)
    same(make(tiny_encoder, tmp_path / "run").fit(TEXTS, Y), finished)
    same(make(tiny_encoder, tmp_path / "stopped", **rule).fit(TEXTS, Y), stopped)
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["checkpoint-13", "checkpoint-15", "run.json"]


def test_a_checkpoint_that_is_not_whole_is_passed_over(
    tiny_encoder, tmp_path, monkeypatch
):
    whole = make(tiny_encoder, None).fit(TEXTS, Y)
    embedder = make(tiny_encoder, tmp_path / "run")
    killed_at(9, embedder, monkeypatch)
    last = tmp_path / "run" / "checkpoint-8"
    (last / "smilearn.json").unlink()  # killed while it was written
    (last / "optimizer.pt").write_bytes(b"half")
    same(embedder.fit(TEXTS, Y), whole)


def flipped(file):
    """Turn a bit in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def halved(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.fixture(scope="module")
def killed_run(tiny_encoder, tmp_path_factory, one_thread):
    """A run killed at step 9, with checkpoints of steps 5 and 8; the whole one."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        killed_at(9, make(tiny_encoder, folder), monkeypatch)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["checkpoint-5", "checkpoint-8", "run.json"]
    return folder, make(tiny_encoder, None).fit(TEXTS, Y)


_FLIPPED = ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"]
_FLIPPED += ["trainer_state.json", "smilearn.json"]
_HALVED = ["model.safetensors", "trainer_state.json", "smilearn.json"]
_MISSING = ["model.safetensors", "optimizer.pt", "rng_state.pth"]


@pytest.mark.parametrize(
    ("damage", "file"),
    [
        *((flipped, file) for file in _FLIPPED),
        *((halved, file) for file in _HALVED),
        *((os.remove, file) for file in _MISSING),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_taken(
    killed_run, tiny_encoder, tmp_path, file, damage
):
    killed, whole = killed_run
    run = shutil.copytree(killed, tmp_path / "run")
    damage(run / "checkpoint-8" / file)
    match = rf"checkpoint-8.{file} is damaged or missing\. The training goes on from"
    with pytest.warns(CacheWarning, match=match) as caught:
        same(make(tiny_encoder, run).fit(TEXTS, Y), whole)
    assert sum(each.category is CacheWarning for each in caught) == 1


def test_without_a_whole_checkpoint_a_run_starts_anew(
    killed_run, tiny_encoder, tmp_path
):
    killed, whole = killed_run
    run = shutil.copytree(killed, tmp_path / "run")
    for step in (5, 8):
        flipped(run / f"checkpoint-{step}" / "optimizer.pt")
    with pytest.warns(CacheWarning, match="damaged or missing") as caught:
        same(make(tiny_encoder, run).fit(TEXTS, Y), whole)
    assert sum(each.category is CacheWarning for each in caught) == 2
    names = sorted(path.name for path in run.iterdir())
    assert names == ["checkpoint-13", "checkpoint-15", "run.json"]


def test_what_is_no_checkpoint_is_passed_over(killed_run, tmp_path):
    run = shutil.copytree(killed_run[0], tmp_path / "run")
    (run / "checkpoint-8").rename(run / "checkpoint-old")
    (run / "checkpoint-9").mkdir()
    os.mkfifo(run / "checkpoint-9" / "smilearn.json")
    assert RunFolder(run).latest()[0] == run / "checkpoint-5"


@pytest.mark.parametrize(("old", "new"), [('"seed": ', '"seed": 1'), ("sum", "sun")])
def test_a_change_in_the_facts_of_a_run_is_found(finished_run, tmp_path, old, new):
    """Not all of them are asked for: the seed may be that of the folder."""
    run = shutil.copytree(finished_run, tmp_path / "run")
    text = (run / "run.json").read_text()
    (run / "run.json").write_text(text.replace(old, new, 1))
    with pytest.raises(InvalidInputError, match=r"its checksum is another .*Delete"):
        RunFolder(run).seed()


@pytest.mark.parametrize(
    ("changed", "texts", "y", "match"),
    [
        ({"learning_rate": 1e-3}, TEXTS, Y, "a run with other learning_rate. Give"),
        ({"random_state": 1}, TEXTS, Y, "a run with other seed."),
        ({}, TEXTS[::-1], Y, "a run with other texts. Give another folder, or delete"),
        ({}, TEXTS, 1 - Y, "a run with other labels."),
        ({"lora": 2}, TEXTS, Y, "a run with other lora, pretrained_weights."),
        ({"class_weight": {0: 2.0}}, TEXTS, Y, "with other class_weight, weights."),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_folder_of_another_run_is_refused(
    finished_run, tiny_encoder, changed, texts, y, match
):
    with pytest.raises(InvalidInputError, match=match):
        make(tiny_encoder, finished_run, **changed).fit(texts, y)


@pytest.fixture(scope="module")
def finished_run(tiny_encoder, tmp_path_factory, one_thread):
    folder = tmp_path_factory.mktemp("finished")
    make(tiny_encoder, folder).fit(TEXTS, Y)
    return folder


def test_what_does_not_change_the_result_may_change(finished_run, tiny_encoder):
    embedder = make(tiny_encoder, finished_run, device="cpu", verbose=False)
    embedder.fit(TEXTS, Y)
    kind = make(tiny_encoder, finished_run).get_params()
    with pytest.raises(InvalidInputError, match="a run with other caller"):
        FineTunedClassifier(**kind).fit(TEXTS, Y)


def test_a_folder_that_cannot_be_read_is_refused(tiny_encoder, tmp_path):
    (tmp_path / "run.json").write_text('{"seed": ')
    with pytest.raises(InvalidInputError, match=r"cannot be read .*Delete the folder"):
        make(tiny_encoder, tmp_path).fit(TEXTS, Y)


_CHILD = """
import os, sys
import torch
torch.set_num_threads(1)
from smilearn.finetuning import _training
from test_run_folder import TEXTS, Y, make
save = _training.Watcher.on_save
def die(self, args, state, control, **kwargs):
    save(self, args, state, control, **kwargs)
    if state.global_step == 8:
        os._exit(9)
_training.Watcher.on_save = die
make(sys.argv[1], sys.argv[2]).fit(TEXTS, Y)
"""


def test_a_process_that_died_goes_on_in_another(tiny_encoder, tmp_path):
    command = [sys.executable, "-c", _CHILD, tiny_encoder, str(tmp_path / "run")]
    here = os.path.dirname(__file__)  # noqa: PTH120
    paths = os.pathsep.join([here, os.path.dirname(here), *sys.path])  # noqa: PTH120
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 9
    copy = shutil.copytree(tmp_path / "run", tmp_path / "copy")
    whole = make(tiny_encoder, None).fit(TEXTS, Y)
    same(make(tiny_encoder, copy).fit(TEXTS, Y), whole)


def test_other_pretrained_weights_are_noticed(finished_run, tiny_encoder, tmp_path):
    """Two weights trade places deep inside a frozen matrix: no sum tells that."""
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(tiny_encoder)
    weight = model.encoder.layer[0].output.dense.weight
    with torch.no_grad():
        weight[7, [20, 21]] = weight[7, [21, 20]]
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path)
    match = "a run with other model, pretrained_weights."
    with pytest.raises(InvalidInputError, match=match):
        make(str(tmp_path), finished_run).fit(TEXTS, Y)
