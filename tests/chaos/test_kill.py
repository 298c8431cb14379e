"""Processes that are killed at any moment, and those that share what they write."""

import multiprocessing
import os
import shutil
import sys
import time

import numpy as np
import pytest
from chaotic import LABELS, TEXTS, start
from command_line import write

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="no fork server"),
]
KILLS = 3  # of each work; then it is left to end
OPTIONS = ["--text", "text", "--label", "label", "--seed", "0", "--quiet"]
SCORE = ["score", "data.csv", *OPTIONS, "--n-slices", "32"]
WORK = {
    "embed": ("embed", "kept", "out"),
    "tune": ("tune", "kept", "out"),
    "before": ("command", *SCORE, "--moment", "before", "--out", "out.csv"),
    "early": ("command", *SCORE, "--moment", "early", "--folder", "kept"),
    "held-out": ("command", *SCORE, "--moment", "held-out", "--folder", "kept"),
    "audit": ("command", "audit", "data.csv", *OPTIONS, "--folder", "kept"),
}


@pytest.fixture(scope="module")
def processes():
    """Processes that find everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["chaotic"])
    with pytest.MonkeyPatch.context() as monkeypatch:  # where the server looks
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        yield context


@pytest.fixture
def begin(processes, tiny_encoder, tmp_path, monkeypatch):
    """Begin some work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    write({"text": TEXTS, "label": LABELS}, "data.csv")

    def begin(name):
        work, *arguments = WORK[name]
        if work == "command":
            arguments += ["--model", tiny_encoder]
            arguments += [] if "--out" in arguments else ["--out", "out.csv"]
        else:
            arguments = [tiny_encoder, *arguments]
        process = processes.Process(target=start, args=(work, arguments))
        process.start()
        return process

    return begin


def ended(process):
    process.join(250)
    return process.exitcode


def result():
    """Bytes of what was written, and no trace of half a file."""
    [file] = [name for name in os.listdir() if "out" in name]  # noqa: PTH208
    with open(file, "rb") as written:  # noqa: PTH123
        return written.read()


@pytest.mark.parametrize("name", WORK)
def test_killed_at_any_moment_and_begun_again(begin, name, seed):
    began = time.monotonic()
    assert ended(begin(name)) == 0
    seconds, whole = time.monotonic() - began, result()
    shutil.rmtree("kept", ignore_errors=True)
    for file in ("out", "out.csv"):
        if os.path.exists(file):  # noqa: PTH110
            os.remove(file)  # noqa: PTH107
    rng, killed = np.random.default_rng(seed), 0
    for _ in range(KILLS):
        process = begin(name)
        time.sleep(rng.uniform(0.1, 0.9) * seconds)
        process.kill()
        killed += ended(process) == -9
    assert killed
    for file in os.listdir():  # noqa: PTH208
        if file.startswith((".out", "out.")) and file != "out.csv":
            os.remove(file)  # noqa: PTH107
    assert ended(begin(name)) == 0
    assert result() == whole


@pytest.mark.parametrize("name", ["embed", "before"])
def test_two_at_once(begin, name):
    both = [begin(name), begin(name)]
    assert [ended(each) for each in both] == [0, 0]
    together = result()
    assert ended(begin(name)) == 0
    assert result() == together
