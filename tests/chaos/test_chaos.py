"""Processes killed at random moments, two at once, full disks, read-only folders."""

import multiprocessing
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from chaotic import LABELS, TEXTS, begin
from command_line import write

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(sys.platform != "linux", reason="signals and mounts of Linux"),
]
N_KILLS = 10
SCORE = ["score", "data.csv", "--text=text", "--label=label", "--quiet"]
FOLDER = ["--folder=kept", "--out=out.csv"]
EARLY = [*SCORE, "--moment=early", *FOLDER]
AUDIT = ["audit", *SCORE[1:], "--max-epochs=1"]
COMMANDS = {
    "before": [*SCORE, "--moment=before", "--n-slices=4096", "--out=out.csv"],
    "early": EARLY,
    "held-out": [*SCORE, "--moment=held-out", *FOLDER],
    "audit": [*AUDIT, *FOLDER],
}


@pytest.fixture(scope="module")
def fork_server():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["chaotic"])
    with pytest.MonkeyPatch.context() as monkeypatch:  # where the server looks
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        yield context


@pytest.fixture
def start(fork_server, tiny_encoder, tmp_path):
    """Start some work in a folder with data: an estimator by name, or a command."""
    write({"text": TEXTS, "label": LABELS}, tmp_path / "data.csv")

    def start(work, **changed):
        if work in COMMANDS:
            options = [*COMMANDS[work], f"--model={tiny_encoder}"]
            options += [f"--{name}={value}" for name, value in changed.items()]
            arguments = ["command", *options]
        else:
            arguments = [work, tiny_encoder, *changed.values()]
        process = fork_server.Process(
            target=begin, args=(tmp_path, tmp_path / "errors", *arguments)
        )
        process.start()
        return process

    return start


def end(process):
    """Wait for the end; an exit code."""
    process.join(200)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


@pytest.mark.parametrize("work", ["embed", "tune", *COMMANDS])
def test_killed_at_random_moments_and_restarted_to_the_same_bytes(
    start, work, tmp_path, seed
):
    out, rng, n_killed = tmp_path / "out.csv", np.random.default_rng(seed), 0
    assert end(start(work)) == 0
    began, whole = time.monotonic(), out.read_bytes()
    shutil.rmtree(tmp_path / "kept", ignore_errors=True)
    assert end(start(work)) == 0
    seconds = time.monotonic() - began
    for _ in range(N_KILLS):
        shutil.rmtree(tmp_path / "kept", ignore_errors=True)
        out.unlink()
        process = start(work)
        time.sleep(rng.uniform(0.05, 0.95) * seconds)
        process.kill()
        n_killed += end(process) == -9
        assert not out.exists() or out.read_bytes() == whole
        assert end(start(work)) == 0, (tmp_path / "errors").read_text()
        assert out.read_bytes() == whole
    assert n_killed >= N_KILLS // 2


@pytest.mark.parametrize("work", ["embed", "before"])
def test_two_processes_on_one_output_and_one_cache(start, work, tmp_path):
    assert end(start(work)) == 0
    whole = (tmp_path / "out.csv").read_bytes()
    shutil.rmtree(tmp_path / "kept", ignore_errors=True)
    for _ in range(3):
        both = [start(work), start(work)]
        assert [end(process) for process in both] == [0, 0]
        assert (tmp_path / "out.csv").read_bytes() == whole


@pytest.fixture
def mounted(tmp_path):
    """Mount a file system in memory, with options, on a folder."""
    folder = tmp_path / "mount"
    folder.mkdir()

    def mount(options):
        call = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(call, capture_output=True).returncode:
            pytest.skip("mounting is not allowed here")
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True)


@pytest.mark.parametrize("options", ["size=4k", "ro"])
@pytest.mark.parametrize("work", COMMANDS)
def test_a_full_disk_or_a_read_only_folder_is_one_line(
    start, work, mounted, options, tmp_path
):
    folder = mounted(options)
    for changed in ({"out": folder / "out.csv"}, {"folder": folder / "kept"}):
        if work == "before" and "folder" in changed:
            continue
        assert end(start(work, **changed)) == 2
        [line] = (tmp_path / "errors").read_text().splitlines()
        assert line.startswith("smilearn: ")
        assert str(folder) in line
        assert not (folder / "out.csv").exists()
        assert not [*folder.glob(".out*")]


@pytest.mark.parametrize("options", ["size=64k", "ro"])
def test_a_cache_that_cannot_be_written_names_its_folder(
    start, mounted, options, tmp_path
):
    folder = mounted(options)
    assert end(start("embed", kept=str(folder / "kept"))) == 1
    assert "CacheError" in (tmp_path / "errors").read_text()
    assert str(folder) in (tmp_path / "errors").read_text()
